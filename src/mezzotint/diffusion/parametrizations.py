"""What a network predicts: a target ``a * x0 + b * eps``, one pair (a, b) per noise level.

Together with ``x_t = alpha * x0 + sigma * eps`` a target is a 2x2 system (docs/mathematics.md, eq. 3 and 4)::

    | alpha  sigma | | x0  |   | x_t    |          det = alpha * b - sigma * a,
    |   a      b   | | eps | = | target |          x0  = (b * x_t - sigma * target) / det,
                                                   eps = (alpha * target - a * x_t) / det,

so target, inversion and the conversion of errors are written once, and a new parametrization is a
function of one line.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .level import Coefficient, Images, NoiseLevel, scale

Parametrization = Callable[[NoiseLevel], tuple[Coefficient, Coefficient]]


@dataclass(frozen=True)
class Prediction:
    """A denoiser's estimates, which together make ``x_t``.

    Args:
        x0: of the clean image (batch, channels, height, width).
        eps: of the noise, in the same shape.
    """

    x0: Images
    eps: Images


def with_noise(x0: Images, x_t: Images, level: NoiseLevel) -> Prediction:
    """The prediction of a given clean image: its noise is what else is in ``x_t``.

    Args:
        x0: clean images (batch, channels, height, width).
        x_t: noisy images, of the same shape.
        level: the noise level of ``x_t``.

    Returns:
        the clean images and the noise.
    """
    return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))


def eps(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The noise (Ho et al. 2020, eq. 12)."""
    return torch.zeros_like(level.alpha), torch.ones_like(level.alpha)


def x0(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The clean image."""
    return torch.ones_like(level.alpha), torch.zeros_like(level.alpha)


def v(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The velocity ``alpha * eps - sigma * x0`` of the rotation (Salimans and Ho 2022, eq. 11)."""
    return -level.sigma, level.alpha


def flow(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The velocity ``eps - x0`` of the straight path (Lipman et al. 2023, eq. 23)."""
    return -torch.ones_like(level.alpha), torch.ones_like(level.alpha)


def target(parametrization: Parametrization, level: NoiseLevel, x0: Images, eps: Images) -> Images:
    """The output that a network is trained to give.

    Args:
        parametrization: what the network predicts.
        level: the noise level.
        x0: clean images (batch, channels, height, width).
        eps: the noise, of the same shape.

    Returns:
        the target, of the same shape.
    """
    a, b = parametrization(level)
    return scale(a, x0) + scale(b, eps)


def determinant(parametrization: Parametrization, level: NoiseLevel) -> Coefficient:
    """The determinant ``det = alpha * b - sigma * a``.

    An error e of the target is an error ``sigma / det * e`` of x0.

    Args:
        parametrization: what the network predicts.
        level: the noise level.

    Returns:
        ``det``, () or (batch,); 0 if ``x_t`` and the target do not determine both x0 and eps.
    """
    a, b = parametrization(level)
    return level.alpha * b - level.sigma * a


def invert(
    parametrization: Parametrization, level: NoiseLevel, x_t: Images, output: Images
) -> Prediction:
    """Convert a network's output to (x0, eps).

    Args:
        parametrization: what the network predicts.
        level: the noise level of ``x_t``.
        x_t: noisy images (batch, channels, height, width).
        output: the network's output, of the same shape.

    Returns:
        the clean images and the noise.
    """
    a, b = parametrization(level)
    det = determinant(parametrization, level)
    return Prediction(
        x0=scale(b / det, x_t) - scale(level.sigma / det, output),
        eps=scale(level.alpha / det, output) - scale(a / det, x_t),
    )
