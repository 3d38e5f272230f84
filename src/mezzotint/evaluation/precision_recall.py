"""Precision, recall, density and coverage: fidelity and diversity as separate scores.

Precision and recall (Kynkaanniemi et al. 2019, eq. 1-2), density and coverage (Naeem et al. 2020, eq. 6 and
9). The ball of a point has the distance to its k-th nearest neighbour in the same set as its radius::

    precision  share of generated points inside at least one real ball
    recall     share of real points inside at least one generated ball
    density    mean number of real balls that contain a generated point, divided by k
    coverage   share of real balls that contain at least one generated point
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .distances import distances
from .requirements import Features, require_samples

K = 5
"""Default number k of neighbours."""


def _radii(x: Features, k: int, chunk: int = 1000) -> Float[Tensor, " n"]:
    """Distance of each point to its k-th nearest neighbour, the point itself not counted."""
    return torch.cat([distances(part, x).kthvalue(k + 1, dim=1).values for part in x.split(chunk)])


def precision_recall_density_coverage(
    real: Features, generated: Features, k: int = K, chunk: int = 1000
) -> dict[str, float]:
    """Return the four scores.

    Args:
        real: (n, d) features of real images, n > k.
        generated: (m, d) features of generated images, m > k.
        k: Number of neighbours that defines the radius of a ball.
        chunk: Rows per matrix of distances, which bounds the memory.

    Returns:
        ``precision``, ``recall`` and ``coverage``, 0 to 1, and ``density``, at least 0 and possibly over 1.

    Raises:
        TooFewImages: If a set has k points or fewer.
        ValueError: If a feature is NaN or infinite.
    """
    for features in (real, generated):
        require_samples(features, k + 1, f"precision and recall with k = {k}")
    real = real.double()
    generated = generated.double()
    real_radii = _radii(real, k, chunk)
    generated_radii = _radii(generated, k, chunk)
    real_balls = torch.zeros(len(generated))  # how many contain each generated point
    recall = torch.zeros(len(real), dtype=torch.bool)
    coverage = torch.zeros(len(real), dtype=torch.bool)
    for rows in torch.arange(len(real)).split(chunk):
        pairs = distances(real[rows], generated)
        in_real = pairs <= real_radii[rows, None]
        real_balls += in_real.sum(0)
        coverage[rows] = in_real.any(1)
        recall[rows] = (pairs <= generated_radii).any(1)
    return {
        "precision": (real_balls > 0).float().mean().item(),
        "recall": recall.float().mean().item(),
        "density": (real_balls / k).mean().item(),
        "coverage": coverage.float().mean().item(),
    }
