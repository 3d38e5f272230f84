"""Few-step training: a network that jumps from any time of a path to its end.

The probability flow leads every noise along a path to an image. A consistency function maps
every point of a path to its end (Song et al. 2023, "Consistency Models", section 3;
docs/mathematics.md, eq. 13)::

    f(x_t, t) = x_0 on the path through x_t,        f(x_0, 0) = x_0.

Two neighbours on a path have the same end, which gives the objective (docs/mathematics.md, eq. 14). With
one step of the teacher, by DDIM, from t to r < t along its path::

    x_r = alpha_r x0_hat(x_t) + sigma_r eps_hat(x_t)
    loss = d( f(x_t, t), f(x_r, r) without gradient ) / (t - r),     d(a, b) = sqrt(|a - b|^2 + c^2) - c,

c = 0.00054 sqrt(dimensions) (Song and Dhariwal 2024, section 3.3; the weight: Geng et al. 2024,
"Consistency Models Made Easy", section 3.3). Training starts from the teacher: with
r = (1 - gap) t and gap = 1 the target is the x0_hat of the teacher, and each stage of the run halves
the gap (Geng et al., section 3.2). The teacher has guidance, so that the student needs no second pass
for guided images. Its step can be Heun's instead (Song et al. 2023, section 6), of second order, which asks
it once more, at r.

``f(x_0, 0) = x_0`` is set without the network, whose output could not be inverted at t = 0 (x0 prediction
would divide by zero).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..diffusion.denoiser import Clipped, Denoiser, Guided, Labels
from ..diffusion.flow import advance, slope
from ..diffusion.level import Coefficient, Images
from ..diffusion.process import diffuse
from ..diffusion.schedules import Schedule
from .base import Context, Draws, Noise, Objective
from .times import Uniforms, make_times, stratified, uniforms

Solver = Literal["ddim", "heun"]


@dataclass(frozen=True)
class TimePair(Draws):
    """Two times of one path: ``t``, and ``r`` (batch,) < t, nearer to the image."""

    r: Coefficient


@dataclass(frozen=True, kw_only=True)
class ConsistencyTuning(Objective[TimePair]):
    """Consistency tuning with a teacher.

    Args:
        teacher: the denoiser to imitate, with its guidance and clipping.
        solver: how the teacher steps along its path.
        stages: number of stages of the run; the gap is 1 in the first and halved in each later one.
        times: distribution of training times.
    """

    teacher: Denoiser
    solver: Solver = "ddim"
    stages: int = 6
    times: Callable[[Uniforms], Uniforms] = stratified

    def gap(self, progress: float) -> float:
        """The gap ``(t - r) / t`` when the share ``progress`` of training, in [0, 1], is done."""
        return 0.5 ** min(int(progress * self.stages), self.stages - 1)

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> TimePair:
        """Draw pairs of times.

        Args:
            count: images in the batch, over all processes.
            schedule: the noise schedule; discrete times are rounded to, t up and r down.
            generator: source of all random numbers, on the CPU.
            progress: share of the training steps that are done, in [0, 1].

        Returns:
            the draws of ``count`` images.
        """
        t = schedule.snap(self.times(uniforms(count, generator)))
        r = t * (1 - self.gap(progress))
        if schedule.timesteps is not None:
            r = (r * schedule.timesteps).floor() / schedule.timesteps
        return TimePair(t, r)

    def loss(
        self,
        denoiser: Denoiser,
        x0: Images,
        labels: Labels | None,
        draws: TimePair,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """The distance between the predictions at t and r, divided by t - r.

        Args:
            denoiser: the network that is trained.
            x0: clean images (batch, channels, height, width) in [-1, 1].
            labels: their classes (batch,), or None.
            draws: from :meth:`draw`, for these images.
            noise: standard normal (batch, 1, channels, height, width).

        Returns:
            the losses (batch,).
        """
        t = draws.t
        r = draws.r
        level = denoiser.schedule.level
        x_t = diffuse(x0, noise[:, 0], level(t))
        with torch.no_grad():
            x_r = self._step(x_t, draws, labels)
            target = self._end(denoiser, x_r, r, labels)
        distance = _pseudo_huber(denoiser(x_t, t, labels).x0 - target)
        return distance / (t - r).to(distance)

    def _step(self, x_t: Images, draws: TimePair, labels: Labels | None) -> Images:
        """The teacher's step from ``x_t`` to the times r."""
        level_t = self.teacher.schedule.level(draws.t)
        level_r = self.teacher.schedule.level(draws.r)
        prediction = self.teacher(x_t, draws.t, labels)
        x_r = diffuse(prediction.x0, prediction.eps, level_r)
        at_zero = draws.r == 0
        if self.solver == "ddim" or at_zero.all():
            return x_r
        # An image is nothing that a denoiser knows, so a step that ends there stays as it is.
        time = torch.where(at_zero, draws.t, draws.r)
        direction = (slope(prediction) + slope(self.teacher(x_r, time, labels))) / 2
        corrected = advance(x_t, direction, level_t, level_r)
        return torch.where(at_zero.to(x_r.device)[:, None, None, None], x_r, corrected)

    def _end(
        self, denoiser: Denoiser, x_r: Images, r: Coefficient, labels: Labels | None
    ) -> Images:
        """The target ``f(x_r, r)``, without the network if all r are 0, as in the first stage."""
        at_zero = r == 0
        if at_zero.all():
            return x_r
        prediction = denoiser(x_r, r, labels).x0
        return torch.where(at_zero.to(x_r.device)[:, None, None, None], x_r, prediction)


def _pseudo_huber(
    difference: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """The distance ``sqrt(|difference|^2 + c^2) - c`` of each image, differentiable at 0."""
    flat = difference.flatten(1)
    c = 0.00054 * math.sqrt(flat.shape[1])
    return (flat.square().sum(1) + c**2).sqrt() - c


def from_section(section: Any, context: Context) -> ConsistencyTuning:
    """The objective of a section ``distillation``; the teacher has guidance and clipping.

    Args:
        section: of the recipe.
        context: the trained model that is the teacher.

    Returns:
        the objective.

    Raises:
        ValueError: if there is no teacher.
    """
    initial = context.require_initial(section.name)
    teacher = Clipped(Guided(initial, section.guidance, section.interval))
    return ConsistencyTuning(
        teacher=teacher,
        solver=section.solver,
        stages=section.stages,
        times=make_times(section.times),
    )
