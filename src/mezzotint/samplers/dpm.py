"""DPM-Solver++(2M): extrapolate the predicted image along log-SNR (Lu et al. 2022b, algorithm 2).

With lambda = log(alpha / sigma), h = lambda_s - lambda_t and h' the step before,

    D   = x0_t + h / (2 h') (x0_t - x0_before)
    x_s = sigma_s / sigma_t x_t + (alpha_s - alpha_t sigma_s / sigma_t) D

which is the paper's x_s with alpha_s (1 - e^-h) written without logarithms, so that it also holds
at both ends, where lambda is infinite. D is x0_t alone at the first and the last step, and wherever
h or h' is infinite.
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
    """The two-step multistep solver: second order at one evaluation a step."""

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        level = denoiser.schedule.level
        x0_before, h_before = x, None
        for t, s in pairwise(grid):
            level_t, level_s = level(t), level(s)
            x0 = denoiser(x, t, labels).x0
            yield Step(x, x0, t.item())
            h = (level_s.log_snr - level_t.log_snr) / 2
            d = x0
            if h_before is not None and h.isfinite() and h_before.isfinite():
                d = x0 + scale(h / (2 * h_before), x0 - x0_before)
            ratio = level_s.sigma / level_t.sigma
            x = scale(ratio, x) + scale(level_s.alpha - level_t.alpha * ratio, d)
            x0_before, h_before = x0, h
        yield Step(x, x, 0.0)
