"""DDIM: keep the predicted noise, or replace a part of it.

(Song et al. 2021, eq. 12 and 16; docs/mathematics.md, eq. 9)::

    x_s = alpha_s x0_hat + sqrt(sigma_s^2 - r^2) eps_hat + r z,    r = eta * std q(x_s | x_t, x0)

``eta = 0`` is deterministic, a first-order solver of the probability flow; ``eta = 1`` is DDPM with
the small variance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images, NoiseLevel, scale
from ..diffusion.process import diffuse, transition_variance
from .grids import Grid
from .step import Noise, Sampler, Step


@dataclass(frozen=True, kw_only=True)
class DDIM(Sampler):
    """The sampler DDIM.

    Args:
        eta: the share of DDPM's noise that is added at each step, in [0, 1].
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must lie in [0, 1], not {self.eta}")

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Go from noise to images; see :class:`Sampler`."""
        level = denoiser.schedule.level
        for t, s in pairwise(grid):
            level_t = level(t)
            level_s = level(s)
            prediction = denoiser(x, t, labels)
            yield Step(x, prediction.x0, t.item())
            ratio = level_s.sigma / level_t.sigma
            variance = self.eta**2 * transition_variance(level_t, level_s) * ratio**2
            old_noise = (level_s.sigma.square() - variance).clamp(min=0).sqrt()
            x = diffuse(prediction.x0, prediction.eps, NoiseLevel(level_s.alpha, old_noise))
            if variance > 0:
                x = x + scale(variance.sqrt(), noise())
        yield Step(x, x, 0.0)
