"""Multistep consistency sampling: jump to the end, add noise, jump again.

(Song et al. 2023, algorithm 1; docs/mathematics.md, eq. 15)::

    x0 = f(x_t, t),     x_s = alpha_s x0 + sigma_s z,  z ~ N(0, 1)

One step is one jump; each further one corrects errors of the previous jump. It is for models trained by
``mezzotint distill``: the x0 of an ordinary denoiser is an average over images, not the end of a path.
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
    """The multistep consistency sampler: one evaluation per step."""

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Sample images.

        Args:
            denoiser: the model.
            x: pure noise (batch, channels, height, width).
            grid: n + 1 decreasing times, from 1 to 0.
            labels: classes (batch,), or None.
            noise: fresh standard normal noise at each call.

        Yields:
            n + 1 steps, the first at t = 1, the last the image.
        """
        for t, s in pairwise(grid):
            x0 = denoiser(x, t, labels).x0
            yield Step(x, x0, t.item())
            x = diffuse(x0, noise(), denoiser.schedule.level(s)) if s > 0 else x0
        yield Step(x, x, 0.0)
