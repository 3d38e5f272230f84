"""Fidelity and variety apart: precision and recall (Kynkaanniemi et al. 2019, eq. 1-2), density and
coverage (Naeem et al. 2020, eq. 6 and 9). A point's ball reaches to its k-th nearest neighbour in
its own set::

    precision  share of generated points in some real ball       recall    the other way round
    density    mean number of real balls a generated point        coverage  share of real balls with
               lies in, over k                                              a generated point inside
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .requirements import Features, require_samples

K = 5


def _radii(x: Features, k: int, chunk: int = 1000) -> Float[Tensor, " n"]:
    """Each point's distance to its k-th nearest other."""
    return torch.cat(
        [torch.cdist(part, x).kthvalue(k + 1, dim=1).values for part in x.split(chunk)]
    )


def precision_recall_density_coverage(
    real: Features, generated: Features, k: int = K, chunk: int = 1000
) -> dict[str, float]:
    """The four numbers. Raises TooFewImages where a set has no k other points."""
    for features in (real, generated):
        require_samples(features, k + 1, f"precision and recall with k = {k}")
    real, generated = real.float(), generated.float()
    real_radii, generated_radii = _radii(real, k), _radii(generated, k)
    inside = torch.zeros(len(generated))
    reached = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows in torch.arange(len(real)).split(chunk):
        distances = torch.cdist(real[rows], generated)
        in_real = distances <= real_radii[rows, None]
        inside += in_real.sum(0)
        covered[rows] = in_real.any(1)
        reached[rows] = (distances <= generated_radii).any(1)
    return {
        "precision": (inside > 0).float().mean().item(),
        "recall": reached.float().mean().item(),
        "density": (inside / k).mean().item(),
        "coverage": covered.float().mean().item(),
    }
