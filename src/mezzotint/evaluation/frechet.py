"""Frechet distance between Gaussians with the moments of two sets of features.

It is FID in Inception's features (Heusel et al. 2017, eq. 6), and digit-FID in those of the shipped
classifier::

    |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1^1/2 C_2 C_1^1/2)^1/2)

The symmetric square root makes the result real and non-negative by construction.
"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .requirements import Features, require_samples


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features.

    Attributes:
        count: Number n of feature vectors.
        mean: (d,) float64.
        covariance: (d, d) float64, unbiased (divided by n - 1).
    """

    count: int
    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]


def moments(features: Features) -> Moments:
    """Return the moments of features.

    Args:
        features: (n, d), n >= 2.

    Returns:
        Count, mean and covariance, computed in float64.

    Raises:
        TooFewImages: If n < 2.
        ValueError: If a feature is NaN or infinite.
    """
    require_samples(features, 2, "a Frechet distance")
    x = features.double()
    mean = x.mean(0)
    return Moments(len(x), mean, (x - mean).T @ (x - mean) / (len(x) - 1))


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of the union of two sets, as if computed from all features at once.

    Args:
        a: Moments of one set.
        b: Moments of the other, with the same number of features.

    Returns:
        The moments of all ``a.count + b.count`` feature vectors.
    """
    n = a.count + b.count
    shift = b.mean - a.mean
    scatter = (a.count - 1) * a.covariance + (b.count - 1) * b.covariance
    scatter = scatter + torch.outer(shift, shift) * (a.count * b.count / n)
    return Moments(n, a.mean + shift * (b.count / n), scatter / (n - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return the squared Frechet distance.

    Warns if a set has no more images than features: its covariance is then singular and the distance
    biased upwards.

    Args:
        a: Moments of one set.
        b: Moments of the other, with the same number of features.

    Returns:
        The squared distance, at least 0; 0 for equal moments, up to rounding.
    """
    count = min(a.count, b.count)
    features = len(a.mean)
    if count <= features:
        warnings.warn(
            f"{count} images for {features} features: the Frechet distance is finite but biased"
            f" upwards; use many more than {features}",
            stacklevel=2,
        )
    root = _sqrt(a.covariance)
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, ((a.mean - b.mean).square().sum() + trace).item())


def _sqrt(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
