"""Ancestral sampling: draw each ``x_s`` from the posterior, given the predicted x0.

``x_s ~ q(x_s | x_t, x0_hat(x_t))`` (Ho et al. 2020, algorithm 2; docs/mathematics.md, eq. 6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images, scale
from ..diffusion.process import Variance, posterior
from .grids import Grid
from .step import Noise, Sampler, Step


@dataclass(frozen=True, kw_only=True)
class DDPM(Sampler):
    """The sampler DDPM.

    Args:
        variance: of a step: "small", that of the posterior (as in the original system), or "large", beta.
    """

    variance: Variance = "small"

    def __post_init__(self) -> None:
        if self.variance not in get_args(Variance):
            choices = " or ".join(get_args(Variance))
            raise ValueError(f"variance must be {choices}, not {self.variance!r}")

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Go from noise to images; see :class:`Sampler`."""
        level = denoiser.schedule.level
        for t, s in pairwise(grid):
            x0 = denoiser(x, t, labels).x0
            yield Step(x, x0, t.item())
            mean, std = posterior(x, x0, level(t), level(s), self.variance)
            x = mean + scale(std, noise()) if std > 0 else mean
        yield Step(x, x, 0.0)
