"""Elementwise losses, and weights of the noise levels.

    loss = E_{t, eps} [ elementwise( sqrt(w(t)) * (x0 - x0_hat) ) ]

Every parametrization's error is the x0 error times ``det / sigma`` (see ``diffusion/parametrizations``), so
weightings are written once, on the x0 error, and hold whatever the network predicts. "constant" weighs
the network's own target equally at all times: with eps, L1 and constant weighting this is the original
system's loss.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..diffusion.level import Coefficient, NoiseLevel
from ..diffusion.parametrizations import Parametrization, determinant

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


def constant(level: NoiseLevel, parametrization: Parametrization) -> Coefficient:
    """Weigh the network's own target equally at all times."""
    return (determinant(parametrization, level) / level.sigma).square()


def min_snr(level: NoiseLevel, parametrization: Parametrization) -> Coefficient:
    """``min(SNR, 5)``: keep nearly clean images from dominating the rest (Hang et al. 2023, eq. 10)."""
    return (level.alpha / level.sigma).square().clamp(max=5)
