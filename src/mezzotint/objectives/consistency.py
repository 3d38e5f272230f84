"""Few-step training: a network that jumps from any moment of a path straight to its end.

The probability flow leads every noise along a path to an image, and a consistency function answers,
anywhere on a path, with its end (Song et al. 2023, "Consistency Models", section 3)::

    f(x_t, t) = x_0 on the path through x_t,        f(x_0, 0) = x_0.

Two neighbours on a path have the same end, and that is the whole objective. With one step of the
teacher's from t to r < t along its path (DDIM's)::

    x_r = alpha_r x0_hat(x_t) + sigma_r eps_hat(x_t)
    loss = d( f(x_t, t), f(x_r, r) without gradient ) / (t - r),     d(a, b) = sqrt(|a - b|^2 + c^2) - c,

c = 0.00054 sqrt(dimensions) (Song and Dhariwal 2024, section 3.3; the weight: Geng et al. 2024,
"Consistency Models Made Easy", section 3.3). Tuning begins where the teacher already is: with
r = (1 - gap) t and gap = 1 the target is the teacher's own x0_hat, and each stage of the run halves
the gap (Geng et al., section 3.2). The teacher is followed with guidance, so that the student's
images are guided ones and need no second pass.

``f(x_0, 0) = x_0`` is not left to the network, which at t = 0 could divide by zero (x0 prediction has no
inverse there).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..diffusion.denoiser import Clipped, Denoiser, Guided, Labels
from ..diffusion.level import Coefficient, Images
from ..diffusion.process import diffuse
from ..diffusion.schedules import Schedule
from ..registry import TIMES
from .base import Context, Draws, Noise, Objective
from .times import Uniforms, stratified, uniforms


@dataclass(frozen=True)
class TimePair(Draws):
    """Two moments of one path: ``t``, and ``r`` (batch,), nearer to the image."""

    r: Coefficient


@dataclass(frozen=True, kw_only=True)
class ConsistencyTuning(Objective[TimePair]):
    """Consistency tuning after a teacher.

    Args:
        teacher: the denoiser to follow, with the guidance and clipping that the student takes over.
        stages: how many stages the run goes through, the first at gap 1, each later one at half of it.
        times: distribution of training times.
    """

    teacher: Denoiser
    stages: int = 6
    times: Callable[[Uniforms], Uniforms] = stratified

    def gap(self, progress: float) -> float:
        """``(t - r) / t`` when the share ``progress`` of training is done."""
        return 0.5 ** min(int(progress * self.stages), self.stages - 1)

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> TimePair:
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
        """The distance of each image's two answers, over the time between them."""
        t, r, level = draws.t, draws.r, denoiser.schedule.level
        x_t = diffuse(x0, noise[:, 0], level(t))
        with torch.no_grad():
            prediction = self.teacher(x_t, t, labels)
            x_r = diffuse(prediction.x0, prediction.eps, level(r))
            target = self._end(denoiser, x_r, r, labels)
        distance = _pseudo_huber(denoiser(x_t, t, labels).x0 - target)
        return distance / (t - r).to(distance)

    def _end(
        self, denoiser: Denoiser, x_r: Images, r: Coefficient, labels: Labels | None
    ) -> Images:
        """``f(x_r, r)``. The network is not asked where no image needs it, as in the first stage."""
        clean = r == 0
        if clean.all():
            return x_r
        answer = denoiser(x_r, r, labels).x0
        return torch.where(clean.to(x_r.device)[:, None, None, None], x_r, answer)


def _pseudo_huber(
    difference: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """``sqrt(|difference|^2 + c^2) - c`` of each image: a distance, with a gradient at 0 too."""
    flat = difference.flatten(1)
    c = 0.00054 * math.sqrt(flat.shape[1])
    return (flat.square().sum(1) + c**2).sqrt() - c


def from_section(section: Any, context: Context) -> ConsistencyTuning:
    """The objective of a section ``distillation``: the teacher is followed as images are sampled from it."""
    teacher = context.require_initial(section.name)
    guided = Clipped(Guided(teacher, section.guidance, section.interval))
    return ConsistencyTuning(teacher=guided, stages=section.stages, times=TIMES[section.times])
