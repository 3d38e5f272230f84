"""Elementwise losses, and weights of the noise levels.

The objective is (docs/mathematics.md, eq. 7)::

    loss = E_{t, eps} [ elementwise( sqrt(w(t)) * (x0 - x0_hat) ) ]

The error of every parametrization is the x0 error times ``det / sigma`` (see
``diffusion/parametrizations``), so weightings are written once, for the x0 error, and hold for all
parametrizations. "constant" weights the target of the network equally at all times: eps, L1 and constant
weighting give the loss of the original system.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..diffusion.level import Coefficient, NoiseLevel
from ..diffusion.parametrizations import Parametrization, determinant

Residual = Float[Tensor, "batch channels height width"]


def l1(residual: Residual) -> Residual:
    """The absolute error ``|r|``, the loss of the original."""
    return residual.abs()


def l2(residual: Residual) -> Residual:
    """The squared error ``r^2``, of the likelihood (Ho et al. 2020, eq. 14)."""
    return residual.square()


def huber(residual: Residual) -> Residual:
    """The Huber loss: ``r^2 / 2`` up to 1 and ``|r| - 1/2`` beyond (Huber 1964)."""
    return F.smooth_l1_loss(residual, torch.zeros_like(residual), reduction="none")


def constant(level: NoiseLevel, parametrization: Parametrization) -> Coefficient:
    """Weight the target of the network equally at all times.

    Args:
        level: the noise level.
        parametrization: what the network predicts.

    Returns:
        weight of the squared x0 error, () or (batch,).
    """
    return (determinant(parametrization, level) / level.sigma).square()


def min_snr(level: NoiseLevel, parametrization: Parametrization) -> Coefficient:
    """Weight by ``min(SNR, 5)``, so that nearly clean images do not dominate (Hang et al. 2023, eq. 10).

    Args:
        level: the noise level.
        parametrization: not used.

    Returns:
        weight of the squared x0 error, () or (batch,).
    """
    return (level.alpha / level.sigma).square().clamp(max=5)
