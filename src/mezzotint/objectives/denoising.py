"""The denoising objective: how wrong is the network about an image it sees through noise?"""

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
from ..registry import LOSSES, TIMES, WEIGHTINGS
from .base import Context, Draws, Noise, Objective
from .losses import Residual, constant, l2
from .times import OFF, Curriculum, Uniforms, stratified, uniforms


@dataclass(frozen=True)
class DenoisingDraws(Draws):
    """``label_u`` (batch,): uniform in [0, 1); a label is dropped where it is below the label dropout."""

    label_u: Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class DenoisingObjective(Objective[DenoisingDraws]):
    """Denoising, as the sum of its choices (Ho et al. 2020, eq. 14).

    Args:
        null_label: the network's index for "no label": the number of classes.
        loss_function: elementwise loss.
        weighting: weight of the squared x0 error at a noise level.
        times: distribution of training times.
        curriculum: progressive training.
        label_dropout: probability that a label is replaced by the null label, image by image.
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
        times = self.times(uniforms(count, generator)) * self.curriculum.horizon(progress)
        label_u = torch.rand(count, generator=generator)
        return DenoisingDraws(schedule.snap(times), label_u)

    def drop(self, labels: Labels, label_u: Float[Tensor, " batch"]) -> Labels:
        """Replace each label by the null label with probability ``label_dropout``, image by image."""
        return torch.where(label_u.to(labels.device) < self.label_dropout, self.null_label, labels)

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Images,
        labels: Labels | None,
        draws: DenoisingDraws,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """The loss of each image, averaged over its pixels."""
        eps = noise[:, 0]
        level = denoiser.schedule.level(draws.t)
        if labels is not None:
            labels = self.drop(labels, draws.label_u)
        parametrization = denoiser.parametrization
        output = denoiser.output(diffuse(x0, eps, level), draws.t, labels)
        residual = output.to(x0.dtype) - target(parametrization, level, x0, eps)
        # The weight is that of an x0 error, the residual one of the target: for "constant" the gain is 1.
        gain = self.weighting(level, parametrization).sqrt()
        gain = gain * level.sigma / determinant(parametrization, level).abs()
        return self.loss_function(scale(gain, residual)).flatten(1).mean(1)


def from_section(section: Any, context: Context) -> DenoisingObjective:
    """The objective of a section ``denoising``."""
    return DenoisingObjective(
        null_label=context.classes,
        loss_function=LOSSES[section.loss],
        weighting=WEIGHTINGS[section.weighting],
        times=TIMES[section.times],
        curriculum=Curriculum(start=section.curriculum_start, until=section.curriculum_until),
        label_dropout=section.label_dropout,
    )
