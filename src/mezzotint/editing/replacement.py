"""Inpainting with a few-step model: known pixels are put in the place of predicted ones.

Song et al. 2023, "Consistency Models", algorithm 4, with a mask (docs/mathematics.md, eq. 22): each jump sees
fresh noise on the known pixels and on what the last jump made of the others.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Coefficient, Images
from ..diffusion.parametrizations import Prediction, with_noise
from ..diffusion.schedules import Schedule
from .base import Plan
from .known import Known
from .method import Method


@dataclass(frozen=True)
class Pasted:
    """A denoiser whose predicted images have the known pixels.

    Args:
        denoiser: the denoiser.
        known: images, and which of their pixels are known.
    """

    denoiser: Denoiser
    known: Known

    @property
    def schedule(self) -> Schedule:
        """The schedule of the inner denoiser."""
        return self.denoiser.schedule

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        """Predict with the inner denoiser, then paste.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """
        level = self.schedule.level(t)
        x0 = self.known.paste(self.denoiser(x_t, t, labels).x0)
        return with_noise(x0, x_t, level)


@dataclass(frozen=True, kw_only=True)
class Replace(Method):
    """Replace the known pixels after each jump of a few-step model, and add noise anew."""

    few_step: ClassVar[bool] = True
    steps: ClassVar[int] = 24

    def plan(self, plan: Plan, known: Known) -> Plan:
        """The same sampler with a pasted prediction."""
        return replace(plan, denoiser=Pasted(plan.denoiser, known))
