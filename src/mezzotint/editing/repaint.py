"""Inpainting by RePaint: known pixels come from the noised image, and parts of the way are walked again.

(Lugmayr et al. 2022, algorithm 1; docs/mathematics.md, eq. 21, with noise added again by eq. 5.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images, NoiseLevel, scale
from ..diffusion.process import diffuse, posterior, transition_variance
from ..samplers.grids import Grid
from ..samplers.step import Noise, Step
from .base import Plan
from .known import Known
from .method import Method


@dataclass(frozen=True, kw_only=True)
class RePaint(Method):
    """RePaint. It has a sampler of its own, DDPM, whichever the recipe names.

    Args:
        jump: steps that are taken back at once.
        repeats: how many times each part of ``jump`` steps is walked; n steps cost ``repeats`` times n
            evaluations.
    """

    few_step: ClassVar[bool] = False
    steps: ClassVar[int] = 12
    own_sampler: ClassVar[bool] = True

    jump: int = 1
    repeats: int = 4

    def __post_init__(self) -> None:
        for name in ("jump", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def plan(self, plan: Plan, known: Known) -> Plan:
        """A sampler that knows these pixels."""

        def walk(
            denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
        ) -> Iterator[Step]:
            return self._walk(denoiser, x, grid, labels, noise, known)

        return replace(plan, walk=walk)

    def _walk(
        self,
        denoiser: Denoiser,
        x: Images,
        grid: Grid,
        labels: Labels | None,
        noise: Noise,
        known: Known,
    ) -> Iterator[Step]:
        """Go from noise to images; only the last walk of each part is shown."""
        level = denoiser.schedule.level
        times = list(grid)
        for start in range(0, len(times) - 1, self.jump):
            part = times[start : start + self.jump + 1]
            for repeat in range(self.repeats):
                if repeat:
                    x = _noised_again(x, level(part[-1]), level(part[0]), noise())
                for t, s in pairwise(part):
                    x0 = denoiser(x, t, labels).x0
                    if repeat == self.repeats - 1:
                        yield Step(x, x0, t.item())
                    mean, std = posterior(x, x0, level(t), level(s))
                    x_s = mean + scale(std, noise()) if s > 0 else mean
                    x = known.paste(x_s, _noised(known.images, level(s), noise))
        yield Step(x, x, 0.0)


def _noised(images: Images, level: NoiseLevel, noise: Noise) -> Images:
    """Clean images at a noise level."""
    if level.sigma == 0:
        return images
    eps = noise()
    return diffuse(images.to(eps).expand_as(eps), eps, level)


def _noised_again(x_s: Images, level_s: NoiseLevel, level_t: NoiseLevel, eps: Images) -> Images:
    """Noise added from s up to t: a draw from q(x_t | x_s)."""
    variance = transition_variance(level_t, level_s)
    return diffuse(x_s, eps, NoiseLevel(level_t.alpha / level_s.alpha, variance.sqrt()))
