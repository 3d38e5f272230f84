"""Heun's method on the probability flow, in coordinates that make its paths as straight as possible.

Every schedule is equivalent to a rectified flow (docs/mathematics.md, eq. 11 and 12): with::

    y = x / (alpha + sigma),    u = sigma / (alpha + sigma),    y = (1 - u) x0 + u eps

the flow is dy/du = eps_hat - x0_hat, finite from pure noise (u = 1) to the image (u = 0). Heun
averages the slopes at both ends of a step (Karras et al. 2022, algorithm 1). The last step, whose end is
the image, is an Euler step. n steps cost 2n - 1 evaluations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images, NoiseLevel, scale
from ..diffusion.parametrizations import Prediction
from .grids import Grid
from .step import Noise, Sampler, Step


def _advance(x: Images, slope: Images, level_t: NoiseLevel, level_s: NoiseLevel) -> Images:
    """Move from one noise level to another along ``slope`` = dy/du."""
    size_t = level_t.alpha + level_t.sigma
    size_s = level_s.alpha + level_s.sigma
    du = level_s.sigma / size_s - level_t.sigma / size_t
    return scale(size_s / size_t, x) + scale(size_s * du, slope)


def _slope(prediction: Prediction) -> Images:
    return prediction.eps - prediction.x0


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
            slope = _slope(prediction)
            if s > 0:
                prediction = denoiser(_advance(x, slope, level_t, level_s), s, labels)
                slope = (slope + _slope(prediction)) / 2
            x = _advance(x, slope, level_t, level_s)
        yield Step(x, x, 0.0)

    def evaluations(self, grid: Grid) -> list[float]:
        """The times of the 2n - 1 evaluations: the start of each step, and its end unless that is 0."""
        times: list[float] = grid[:-1].tolist()
        inner: list[float] = grid[1:-1].tolist()
        return times + inner
