"""The denoising objective: the error of the network's prediction for a noisy image.

(docs/mathematics.md, eq. 7, computed on the network's own target by eq. 3 and 4.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..diffusion.denoiser import Labels, NetworkDenoiser
from ..diffusion.level import Coefficient, Images, NoiseLevel, scale
from ..diffusion.parametrizations import Parametrization, determinant, target
from ..diffusion.process import diffuse
from ..diffusion.schedules import Schedule
from ..registry import LOSSES, WEIGHTINGS
from .base import Context, Draws, Noise, Objective
from .losses import Residual, constant, l2
from .times import OFF, Curriculum, Uniforms, make_times, stratified, uniforms


@dataclass(frozen=True)
class DenoisingDraws(Draws):
    """Draws of times and label dropout.

    Args:
        label_u: uniform numbers (batch,) in [0, 1); if one is below the label dropout, the label is dropped.
    """

    label_u: Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class DenoisingObjective(Objective[DenoisingDraws]):
    """Denoising, with the choices that define it (Ho et al. 2020, eq. 14).

    Args:
        null_label: the network's index for "no label": the number of classes.
        loss_function: elementwise loss.
        weighting: weight of the squared x0 error at a noise level.
        times: distribution of training times.
        curriculum: progressive training.
        label_dropout: probability that the label of an image is replaced by the null label.
    """

    null_label: int
    loss_function: Callable[[Residual], Residual] = l2
    weighting: Callable[[NoiseLevel, Parametrization], Coefficient] = constant
    times: Callable[[Uniforms], Uniforms] = stratified
    curriculum: Curriculum = OFF
    label_dropout: float = 0.0

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> DenoisingDraws:
        """Draw times and label dropout.

        Args:
            count: images in the batch, over all processes.
            schedule: the noise schedule; times are rounded up to its discrete times, if it has them.
            generator: source of all random numbers, on the CPU.
            progress: share of the training steps that are done, in [0, 1].

        Returns:
            the draws of ``count`` images.
        """
        times = self.times(uniforms(count, generator)) * self.curriculum.horizon(progress)
        label_u = torch.rand(count, generator=generator)
        return DenoisingDraws(schedule.snap(times), label_u)

    def drop(self, labels: Labels, label_u: Float[Tensor, " batch"]) -> Labels:
        """Replace labels by the null label with probability ``label_dropout``.

        Args:
            labels: classes (batch,).
            label_u: uniform numbers (batch,) in [0, 1).

        Returns:
            labels (batch,) in 0..null_label.
        """
        return torch.where(label_u.to(labels.device) < self.label_dropout, self.null_label, labels)

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Images,
        labels: Labels | None,
        draws: DenoisingDraws,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """The loss of each image, averaged over its pixels.

        Args:
            denoiser: the network that is trained.
            x0: clean images (batch, channels, height, width) in [-1, 1].
            labels: their classes (batch,), or None.
            draws: from :meth:`draw`, for these images.
            noise: standard normal (batch, 1, channels, height, width).

        Returns:
            the losses (batch,).
        """
        eps = noise[:, 0]
        level = denoiser.schedule.level(draws.t)
        if labels is not None:
            labels = self.drop(labels, draws.label_u)
        parametrization = denoiser.parametrization
        output = denoiser.output(diffuse(x0, eps, level), draws.t, labels)
        residual = output.to(x0.dtype) - target(parametrization, level, x0, eps)
        # The weighting is for errors of x0, the residual is one of the target: for "constant" the gain is 1.
        gain = self.weighting(level, parametrization).sqrt()
        gain = gain * level.sigma / determinant(parametrization, level).abs()
        return self.loss_function(scale(gain, residual)).flatten(1).mean(1)


def from_section(section: Any, context: Context) -> DenoisingObjective:
    """The objective of a section ``denoising``.

    Args:
        section: of the recipe.
        context: the number of classes.

    Returns:
        the objective.
    """
    return DenoisingObjective(
        null_label=context.classes,
        loss_function=LOSSES[section.loss],
        weighting=WEIGHTINGS[section.weighting],
        times=make_times(section.times),
        curriculum=Curriculum(start=section.curriculum_start, until=section.curriculum_until),
        label_dropout=section.label_dropout,
    )
