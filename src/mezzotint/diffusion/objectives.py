"""The denoising objective: how wrong is the network about an image it sees through noise?

    loss = E_{t, eps} [ elementwise( sqrt(w(t)) * (x0 - x0_hat) ) ]

Every parametrization's error is the x0 error times ``det / sigma`` (see ``parametrizations``), so
weightings are written once, on the x0 error, and hold whatever the network predicts. "constant"
weighs the network's own target equally at all times: with eps, L1 and constant weighting this is
the original system's loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .denoiser import Labels, NetworkDenoiser
from .level import Coefficient, Images, NoiseLevel, scale
from .parametrizations import Parametrization, determinant, target
from .process import diffuse
from .schedules import Schedule

Residual = Float[Tensor, "batch channels height width"]


def l1(residual: Residual) -> Residual:
    """``|r|``: the original's loss."""
    return residual.abs()


def l2(residual: Residual) -> Residual:
    """``r^2``: the likelihood's (Ho et al. 2020, eq. 14)."""
    return residual.square()


def huber(residual: Residual) -> Residual:
    """``r^2 / 2`` up to 1 and ``|r| - 1/2`` beyond (Huber 1964)."""
    return F.smooth_l1_loss(residual, torch.zeros_like(residual), reduction="none")


LOSSES: dict[str, Callable[[Residual], Residual]] = {"l1": l1, "l2": l2, "huber": huber}


def constant(level: NoiseLevel, own: Parametrization) -> Coefficient:
    """Weigh the network's own target equally at all times."""
    return (determinant(own, level) / level.sigma).square()


def min_snr(level: NoiseLevel, own: Parametrization) -> Coefficient:
    """``min(SNR, 5)``: stop nearly clean images from drowning the rest (Hang et al. 2023, eq. 10)."""
    return (level.alpha / level.sigma).square().clamp(max=5)


WEIGHTINGS: dict[str, Callable[[NoiseLevel, Parametrization], Coefficient]] = {
    "constant": constant,
    "min-snr": min_snr,
}

Uniforms = Float[Tensor, " batch"]


def _stratify(u: Uniforms) -> Uniforms:
    """One draw from each of ``batch`` equal intervals of (0, 1): same mean, less variance."""
    return (torch.arange(len(u), dtype=u.dtype) + u) / len(u)


def uniform(u: Uniforms) -> Uniforms:
    """All times alike, drawn independently: the original's."""
    return u


def stratified(u: Uniforms) -> Uniforms:
    """All times alike, spread evenly over the batch (Kingma et al. 2021, appendix I.1)."""
    return _stratify(u)


def logit_normal(u: Uniforms) -> Uniforms:
    """More often in the middle, where most is to be learnt, spread evenly over the batch
    (Esser et al. 2024, eq. 19, with location 0 and scale 1)."""
    return torch.special.ndtri(_stratify(u)).sigmoid()


TIMES: dict[str, Callable[[Uniforms], Uniforms]] = {
    "uniform": uniform,
    "stratified": stratified,
    "logit-normal": logit_normal,
}


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Progressive training: begin with the first ``start`` of the times, the nearly clean ones, and
    grow evenly to all of them by the share ``until`` of training. ``start = 1`` is off."""

    start: float = 1.0
    until: float = 0.5

    def horizon(self, progress: float) -> float:
        """The largest time in use when the share ``progress`` of training is done."""
        grown = 1.0 if progress >= self.until else progress / self.until
        return self.start + (1 - self.start) * grown


Asked = TypeVar("Asked", bound="Question")


@dataclass(frozen=True)
class Question:
    """What a training step asks about a batch: which noise, how much of it, which labels hidden."""

    t: Coefficient
    eps: Images
    hidden: Float[Tensor, " batch"]  # uniform in [0, 1): hidden where it is under label_dropout

    def part(self: Asked, rows: slice) -> Asked:
        """What it asks about some of the images: those rows of every tensor."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in tensors.items() if isinstance(v, Tensor)})


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss as the sum of its choices. ``null_label`` is the network's "no label" class."""

    loss: Callable[[Residual], Residual] = l2
    weighting: Callable[[NoiseLevel, Parametrization], Coefficient] = constant
    times: Callable[[Uniforms], Uniforms] = stratified
    curriculum: Curriculum = Curriculum()
    label_dropout: float = 0.0
    null_label: int = 0

    def ask(
        self, shape: torch.Size, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> Question:
        """Draw times, noise and label dropout for a batch of ``shape``, all from ``generator``."""
        u = torch.rand(shape[0], generator=generator, dtype=torch.float64).clamp(min=1e-9)
        t = schedule.snap(self.times(u) * self.curriculum.horizon(progress))
        hidden = torch.rand(shape[0], generator=generator)
        return Question(t, torch.randn(shape, generator=generator), hidden)

    def drop(self, labels: Labels, hidden: Float[Tensor, " batch"]) -> Labels:
        """Replace each label by the null label with probability ``label_dropout``, image by image."""
        return torch.where(hidden.to(labels.device) < self.label_dropout, self.null_label, labels)

    def __call__(
        self, denoiser: NetworkDenoiser, x0: Images, labels: Labels | None, question: Question
    ) -> Float[Tensor, " batch"]:
        """The loss of each image, averaged over its pixels."""
        eps, level = question.eps.to(x0), denoiser.schedule.level(question.t)
        if labels is not None:
            labels = self.drop(labels, question.hidden)
        own = denoiser.parametrization
        output = denoiser.output(diffuse(x0, eps, level), question.t, labels)
        residual = output.to(x0.dtype) - target(own, level, x0, eps)
        gain = self.weighting(level, own).sqrt() * level.sigma / determinant(own, level).abs()
        return self.loss(scale(gain, residual)).flatten(1).mean(1)
