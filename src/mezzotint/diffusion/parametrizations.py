"""What a network predicts: a target ``a * x0 + b * eps``, one pair (a, b) per noise level.

Together with ``x_t = alpha * x0 + sigma * eps`` a target is a 2x2 system,

    | alpha  sigma | | x0  |   | x_t    |          det = alpha * b - sigma * a,
    |   a      b   | | eps | = | target |          x0  = (b * x_t - sigma * target) / det,
                                                   eps = (alpha * target - a * x_t) / det,

so target, inversion and the exchange of errors are written once, and a new parametrization is a
function of one line.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .level import Coefficient, Images, NoiseLevel, scale

Parametrization = Callable[[NoiseLevel], tuple[Coefficient, Coefficient]]


@dataclass(frozen=True)
class Prediction:
    """What a denoiser believes: the clean image and the noise that together make ``x_t``."""

    x0: Images
    eps: Images


def eps(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The noise (Ho et al. 2020, eq. 12)."""
    return torch.zeros_like(level.alpha), torch.ones_like(level.alpha)


def x0(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The clean image."""
    return torch.ones_like(level.alpha), torch.zeros_like(level.alpha)


def v(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The rotation's velocity ``alpha * eps - sigma * x0`` (Salimans and Ho 2022, eq. 11)."""
    return -level.sigma, level.alpha


def flow(level: NoiseLevel) -> tuple[Coefficient, Coefficient]:
    """The straight path's velocity ``eps - x0`` (Lipman et al. 2023, eq. 23)."""
    return -torch.ones_like(level.alpha), torch.ones_like(level.alpha)


def target(parametrization: Parametrization, level: NoiseLevel, x0: Images, eps: Images) -> Images:
    """What a perfect network would say, given the truth."""
    a, b = parametrization(level)
    return scale(a, x0) + scale(b, eps)


def determinant(parametrization: Parametrization, level: NoiseLevel) -> Coefficient:
    """``det = alpha * b - sigma * a``: an error e of the target is one of ``sigma / det * e`` in x0."""
    a, b = parametrization(level)
    return level.alpha * b - level.sigma * a


def invert(
    parametrization: Parametrization, level: NoiseLevel, x_t: Images, output: Images
) -> Prediction:
    """The (x0, eps) that a network's output stands for, given ``x_t``."""
    a, b = parametrization(level)
    det = determinant(parametrization, level)
    return Prediction(
        x0=scale(b / det, x_t) - scale(level.sigma / det, output),
        eps=scale(level.alpha / det, output) - scale(a / det, x_t),
    )
