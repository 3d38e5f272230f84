"""DPM-Solver++(2M): extrapolate the predicted image along log-SNR (Lu et al. 2022b, algorithm 2).

With lambda = log(alpha / sigma), h = lambda_s - lambda_t, and x0' and h' those of the previous step
(docs/mathematics.md, eq. 10)::

    D   = x0_t + h / (2 h') (x0_t - x0')
    x_s = sigma_s / sigma_t x_t + (alpha_s - alpha_t sigma_s / sigma_t) D

This is the x_s of the paper with alpha_s (1 - e^-h) written without logarithms, so that it also holds
at both ends, where lambda is infinite. At the first and the last step, and if h or h' is infinite,
D = x0_t.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images, scale
from .grids import Grid
from .step import Noise, Sampler, Step


@dataclass(frozen=True, kw_only=True)
class DPMSolver(Sampler):
    """The two-step multistep solver: second order, one evaluation per step."""

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
        previous_x0 = x
        previous_h = None
        for t, s in pairwise(grid):
            level_t = level(t)
            level_s = level(s)
            x0 = denoiser(x, t, labels).x0
            yield Step(x, x0, t.item())
            h = (level_s.log_snr - level_t.log_snr) / 2
            d = x0
            if previous_h is not None and h.isfinite() and previous_h.isfinite():
                d = x0 + scale(h / (2 * previous_h), x0 - previous_x0)
            ratio = level_s.sigma / level_t.sigma
            x = scale(ratio, x) + scale(level_s.alpha - level_t.alpha * ratio, d)
            previous_x0 = x0
            previous_h = h
        yield Step(x, x, 0.0)
