"""Inpainting by pseudoinverse guidance: one gradient of the model's prediction for each step.

With y the known pixels, H the choice of them, and p(x0 | x_t) approximated by N(x0_hat, r^2),
r^2 = sigma^2 / (alpha^2 + sigma^2), the posterior mean moves to::

    x0 = x0_hat + sigma^2 / (alpha r^2) (y - H x0_hat)^T H d x0_hat / d x_t

(Song et al. 2023, "Pseudoinverse-guided diffusion models", section 3; docs/mathematics.md, eq. 20). At pure
noise, where alpha is 0, the prediction does not depend on x_t, and is left as it is.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Coefficient, Images, scale
from ..diffusion.parametrizations import Prediction, with_noise
from ..diffusion.schedules import Schedule
from .base import Plan
from .known import Known
from .method import Method


@dataclass(frozen=True)
class PseudoinverseGuided:
    """A denoiser that is guided to the known pixels by the gradient of its own prediction.

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
        """Predict, and move the prediction towards images with the known pixels.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """
        level = self.schedule.level(t)
        if not (level.alpha > 0).any():
            return self.denoiser(x_t, t, labels)
        x0, gradient = self._prediction_and_gradient(x_t, t, labels)
        # sigma^2 / r^2 = alpha^2 + sigma^2, which has no pole at the clean image
        weight = (level.alpha.square() + level.sigma.square()) / level.alpha
        x0 = x0 + scale(weight, gradient)
        return with_noise(x0, x_t, level)

    def _prediction_and_gradient(
        self, x_t: Images, t: Coefficient, labels: Labels | None
    ) -> tuple[Images, Images]:
        """The prediction x0_hat, and (y - H x0_hat)^T H d x0_hat / d x_t."""
        # Sampling runs in inference mode, whose tensors autograd refuses: it gets copies.
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.clone().requires_grad_()
            x0 = self.denoiser(x, t.clone(), None if labels is None else labels.clone()).x0
            residual = self.known.paste(torch.zeros_like(x0), self.known.images - x0.detach())
            gradient = torch.autograd.grad(x0, x, residual)[0]
        return x0.detach(), gradient


@dataclass(frozen=True, kw_only=True)
class PiGDM(Method):
    """Pseudoinverse guidance, with any sampler; a step costs about three evaluations."""

    few_step: ClassVar[bool] = False
    steps: ClassVar[int] = 24

    def plan(self, plan: Plan, known: Known) -> Plan:
        """The same sampler with a guided denoiser."""
        return replace(plan, denoiser=PseudoinverseGuided(plan.denoiser, known))
