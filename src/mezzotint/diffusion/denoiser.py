"""Denoisers: the interface between models and everything that uses them.

``denoiser(x_t, t, labels) -> Prediction(x0, eps)``

A network with its schedule and parametrization is a denoiser; so are its moving average, a distilled
student and the closed form of a Gaussian. Guidance (docs/mathematics.md, eq. 8) and clipping wrap a
denoiser in another one.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..utils.precision import in_precision
from .level import Coefficient, Images, scale
from .parametrizations import Parametrization, Prediction, invert, with_noise
from .schedules import Schedule

Labels = Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
"""A class for each image, or weights of the classes, which mix their embeddings."""


@runtime_checkable
class Denoiser(Protocol):
    """Anything that estimates the clean image and the noise in a noisy image."""

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of the images that it denoises."""

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        """Estimate the clean image and the noise in each image.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), float64, in (0, 1].
            labels: classes (batch,), or None for an unconditional prediction.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """


@dataclass(frozen=True)
class NetworkDenoiser:
    """A network, its schedule and what it predicts.

    Args:
        network: called as ``network(x_t, timestep, labels)``, ``timestep`` (batch,) float32 = ``t * T``:
            for a table these are the integers 1..T that the original network embeds.
        schedule: the noise schedule; T is 1000 if its time is continuous.
        parametrization: what the network predicts.
        precision: number type of matrix products and convolutions; with fp32 they are computed as the
            surroundings, such as a training, have it.
    """

    network: nn.Module
    schedule: Schedule
    parametrization: Parametrization
    precision: torch.dtype = torch.float32

    @property
    def timesteps(self) -> int:
        """T, by which times are multiplied for the network."""
        return self.schedule.timesteps or 1000

    def output(
        self, x_t: Images, t: Coefficient, labels: Labels | None
    ) -> Float[Tensor, "batch channels height width"]:
        """The network's output, before it is converted to (x0, eps).

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the output, in the shape and dtype of ``x_t``, whatever precision the network computes in.
        """
        with in_precision(x_t.device, self.precision):
            output: Tensor = self.network(x_t, self._timestep(x_t, t), labels)
        return output.to(x_t.dtype)

    def features(
        self, x_t: Images, t: Coefficient, labels: Labels | None
    ) -> tuple[Float[Tensor, "batch _channels _height _width"], ...]:
        """What the network finds in noisy images, by its method ``features``, which not all networks have.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the features of several levels, each (batch, channels, height, width) of its own.
        """
        network: Any = self.network
        with in_precision(x_t.device, self.precision):
            return tuple(network.features(x_t, self._timestep(x_t, t), labels))

    def _timestep(self, x_t: Images, t: Coefficient) -> Float[Tensor, " batch"]:
        """Times as the network takes them."""
        timestep = (t.double() * self.timesteps).float().to(x_t.device)
        return timestep.expand(len(x_t))

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        """Estimate the clean image and the noise from the network's output.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """
        output = self.output(x_t, t, labels)
        return invert(self.parametrization, self.schedule.level(t), x_t, output)


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance, ``u + scale * (c - u)``.

    (Ho and Salimans 2022, eq. 6, with ``scale = 1 + w``.) A scale of 1 needs no second pass.

    Args:
        denoiser: the denoiser to guide.
        guidance: the scale: 0 ignores the label, 1 is the conditional model, more exaggerates the label.
        interval: times (low, high] at which guidance acts; at other times the conditional model is used
            alone (Kynkaanniemi et al. 2024).
    """

    denoiser: Denoiser
    guidance: float
    interval: tuple[float, float] = (0.0, 1.0)

    @property
    def schedule(self) -> Schedule:
        """The schedule of the inner denoiser."""
        return self.denoiser.schedule

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        """Combine the conditional and the unconditional prediction.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """
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
    """Clamp the predicted image to the range of images, [-1, 1], and keep ``eps`` consistent.

    Args:
        denoiser: the denoiser whose images are clamped.
    """

    denoiser: Denoiser

    @property
    def schedule(self) -> Schedule:
        """The schedule of the inner denoiser."""
        return self.denoiser.schedule

    def __call__(self, x_t: Images, t: Coefficient, labels: Labels | None) -> Prediction:
        """Predict with the inner denoiser, then clamp.

        Args:
            x_t: noisy images (batch, channels, height, width).
            t: time, () or (batch,), in (0, 1].
            labels: classes (batch,), or None.

        Returns:
            the clean images and the noise, each in the shape of ``x_t``.
        """
        level = self.schedule.level(t)
        x0 = self.denoiser(x_t, t, labels).x0.clamp(-1, 1)
        return with_noise(x0, x_t, level)
