"""Heun's method on the probability flow.

It averages the slopes at both ends of a step (Karras et al. 2022, algorithm 1), in the coordinates of
:mod:`mezzotint.diffusion.flow`. The last step, whose end is the image, is an Euler step. n steps cost 2n - 1
evaluations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.flow import advance, slope
from ..diffusion.level import Images
from .grids import Grid
from .step import Noise, Sampler, Step


@dataclass(frozen=True, kw_only=True)
class Heun(Sampler):
    """Heun's method: second order, two evaluations per step."""

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Sample images.

        Args:
            denoiser: the model.
            x: pure noise (batch, channels, height, width).
            grid: n + 1 decreasing times, from 1 to 0.
            labels: classes (batch,), or None.
            noise: not used.

        Yields:
            n + 1 steps, the first at t = 1, the last the image.
        """
        level = denoiser.schedule.level
        for t, s in pairwise(grid):
            level_t = level(t)
            level_s = level(s)
            prediction = denoiser(x, t, labels)
            yield Step(x, prediction.x0, t.item())
            direction = slope(prediction)
            if s > 0:
                prediction = denoiser(advance(x, direction, level_t, level_s), s, labels)
                direction = (direction + slope(prediction)) / 2
            x = advance(x, direction, level_t, level_s)
        yield Step(x, x, 0.0)

    def evaluations(self, grid: Grid) -> list[float]:
        """The times of the 2n - 1 evaluations: the start of each step, and its end unless that is 0."""
        times: list[float] = grid[:-1].tolist()
        inner: list[float] = grid[1:-1].tolist()
        return times + inner
