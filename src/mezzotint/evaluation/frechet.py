"""The Frechet distance between two Gaussians, which FID is in Inception's features (Heusel et al. 2017,
eq. 6) and digit-FID in our classifier's::

    |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1^1/2 C_2 C_1^1/2)^1/2)

Written with the symmetric square root, so that it is real and not negative by construction.
"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .requirements import Features, require_samples


@dataclass(frozen=True)
class Moments:
    """Count, mean (d,) and covariance (d, d), unbiased, of features, float64."""

    count: int
    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]


def moments(features: Features) -> Moments:
    """The moments of features (n, d). Raises TooFewImages for n < 2."""
    require_samples(features, 2, "a Frechet distance")
    x = features.double()
    mean = x.mean(0)
    return Moments(len(x), mean, (x - mean).T @ (x - mean) / (len(x) - 1))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets together, as if computed from all features at once."""
    n, shift = a.count + b.count, b.mean - a.mean
    scatter = (a.count - 1) * a.covariance + (b.count - 1) * b.covariance
    scatter = scatter + torch.outer(shift, shift) * (a.count * b.count / n)
    return Moments(n, a.mean + shift * (b.count / n), scatter / (n - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared distance; 0 for equal moments. Warns where there are fewer images than features,
    whose covariance is then singular."""
    fewest, features = min(a.count, b.count), len(a.mean)
    if fewest <= features:
        warnings.warn(
            f"{fewest} images for {features} features: the Frechet distance is finite but biased"
            f" upwards; use many more than {features}",
            stacklevel=2,
        )
    root = _sqrt(a.covariance)
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, ((a.mean - b.mean).square().sum() + spread).item())


def _sqrt(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
