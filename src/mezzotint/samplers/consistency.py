"""Multistep consistency sampling: jump to the end, step back by adding noise, jump again.

    x0 = f(x_t, t),     x_s = alpha_s x0 + sigma_s z,  z ~ N(0, 1)     (Song et al. 2023, algorithm 1)

One step is one jump; each further one mends what the jump before got wrong. For models trained by
``mezzotint distill``: an ordinary denoiser's x0 is an average over images, not the end of a path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from ..diffusion.process import diffuse
from .grids import Grid
from .step import Noise, Sampler, Step


@dataclass(frozen=True, kw_only=True)
class Multistep(Sampler):
    """As many network evaluations as steps."""

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        for t, s in pairwise(grid):
            x0 = denoiser(x, t, labels).x0
            yield Step(x, x0, t.item())
            x = diffuse(x0, noise(), denoiser.schedule.level(s)) if s > 0 else x0
        yield Step(x, x, 0.0)
