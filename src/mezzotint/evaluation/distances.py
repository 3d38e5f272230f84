"""Distances that are 0 between equal points, whatever they are computed together with.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a b

loses what is left of float32 where a and b are close. In float64 it is exact for pixel values, and good to
about 12 digits for features, so that what is smaller than that is 0, and the rest equal in float32.
"""

import torch
from jaxtyping import Float
from torch import Tensor

RESOLUTION = 1e-12
"""Squared distances below this share of the squared norms are rounding."""


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances between two sets of points.

    Args:
        a: (n, d) points.
        b: (m, d) points.

    Returns:
        (n, m) float64: exact if the points are whole numbers and their squared norms below 2**52.
    """
    a = a.double()
    b = b.double()
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    squares = norms - 2 * (a @ b.T)
    return torch.where(squares > RESOLUTION * norms, squares, 0.0)


def distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Euclidean distances between two sets of points, as float32; see :func:`squared_distances`."""
    return squared_distances(a, b).sqrt().float()
