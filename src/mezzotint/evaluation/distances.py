"""Distances that are 0 between equal points, whatever they are computed together with.

The usual formula::

    |a - b|^2 = |a|^2 + |b|^2 - 2 a b

loses what is left of float32 where a and b are close. Features are compared in float64, where it is good to
about 12 digits: what is smaller is 0, and the rest equal in float32. Pixel values are exact.
"""

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

RESOLUTION = 1e-12
"""Squared distances below this share of the largest squared norms are rounding."""


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances between two sets of points.

    Args:
        a: (n, d) points.
        b: (m, d) points.

    Returns:
        (n, m) float64, 0 for equal points.
    """
    a = a.double()
    b = b.double()
    a_squares = a.square().sum(1)
    b_squares = b.square().sum(1)
    squares = (a @ b.T).mul_(-2).add_(a_squares[:, None]).add_(b_squares)
    rounding = RESOLUTION * (a_squares + b_squares.max())
    return squares.masked_fill_(squares <= rounding[:, None], 0.0)


def distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Euclidean distances between two sets of points, as float32; see :func:`squared_distances`."""
    return squared_distances(a, b).sqrt_().float()


EXACT = 1024
"""Products of as many pairs of whole numbers from -128 to 127 add up without rounding in float32."""


def nearest_rows(
    images: UInt8[Tensor, "n d"], others: UInt8[Tensor, "m d"]
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Find the nearest of other images to each image, exactly.

    Args:
        images: (n, d) pixel values.
        others: (m, d) pixel values, m >= 1.

    Returns:
        Squared distances (n,) and positions in ``others`` (n,).
    """
    dimensions = images.shape[1]
    # Sums of b^2 - 2ab are at most this large; with a^2 as well they may be larger.
    integer = torch.int32 if 3 * dimensions * 128**2 < 2**31 else torch.int64
    a_squares = torch.zeros(len(images), dtype=integer)
    squares = torch.zeros(len(images), len(others), dtype=integer)
    for start in range(0, dimensions, EXACT):
        a = images[:, start : start + EXACT].float() - 128
        b = others[:, start : start + EXACT].float() - 128
        a_squares += a.square().sum(1).to(integer)
        squares += b.square().sum(1).to(integer)
        squares.sub_((a @ b.T).to(integer), alpha=2)
    smallest = squares.min(1)
    return smallest.values.long() + a_squares, smallest.indices
