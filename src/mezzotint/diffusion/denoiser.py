"""Denoisers: the one call that samplers, measures and pictures see.

    denoiser(x_t, t, labels) -> Prediction(x0, eps)

A network with its schedule and parametrization is one; so are its moving average, a distilled
student and the closed form of a Gaussian. Guidance and clipping wrap a denoiser into another.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from .level import Coefficient, Images, scale
from .parametrizations import Parametrization, Prediction, invert
from .schedules import Schedule

Labels = Int[Tensor, " batch"]


@runtime_checkable
class Denoiser(Protocol):
    """Anything that knows, for ``x_t`` (batch, channels, height, width), where it came from.

    ``t`` is () or (batch,), float64, in (0, 1]. ``labels`` (batch,) holds classes; None means
    unconditional.
    """

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction: ...


@dataclass(frozen=True)
class NetworkDenoiser:
    """A network, its schedule and what it predicts.

    The network is called as ``network(x_t, steps, labels)`` with ``steps`` (batch,) float32 =
    ``t * T``: for a table these are the integers 1..T that the original network embeds.
    """

    network: nn.Module
    schedule: Schedule
    parametrization: Parametrization

    def output(
        self, x_t: Images, t: Coefficient, labels: Labels | None
    ) -> Float[Tensor, "batch channels height width"]:
        """The network's output, before it is turned into (x0, eps), in the type of ``x_t``, whatever
        precision the network computes in."""
        steps = (t.double() * (self.schedule.timesteps or 1000)).float().to(x_t.device)
        output: Tensor = self.network(x_t, steps.expand(len(x_t)), labels)
        return output.to(x_t.dtype)

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        output = self.output(x_t, t, labels)
        return invert(self.parametrization, self.schedule.level(t), x_t, output)


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance, ``u + scale * (c - u)`` (Ho and Salimans 2022, eq. 6, with
    ``scale = 1 + w``): 0 ignores the label, 1 is the plain conditional model, more exaggerates it.

    ``interval``: the times (low, high] at which guidance acts; outside it the conditional model is
    used alone (Kynkaanniemi et al. 2024). Where the scale is 1 no second pass is made.
    """

    denoiser: Denoiser
    guidance: float
    interval: tuple[float, float] = (0.0, 1.0)

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        low, high = self.interval
        active = (t > low) & (t <= high)
        if labels is None or self.guidance == 1 or not active.any():
            return self.denoiser(x_t, t, labels)
        conditional = self.denoiser(x_t, t, labels)
        unconditional = self.denoiser(x_t, t, None)
        weight = 1 + (self.guidance - 1) * active.double()
        return Prediction(
            x0=unconditional.x0 + scale(weight, conditional.x0 - unconditional.x0),
            eps=unconditional.eps + scale(weight, conditional.eps - unconditional.eps),
        )


@dataclass(frozen=True)
class Clipped:
    """Clamp the predicted image to the range of images, [-1, 1], and keep ``eps`` consistent."""

    denoiser: Denoiser

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        level = self.schedule.level(t)
        x0 = self.denoiser(x_t, t, labels).x0.clamp(-1, 1)
        return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))
