"""Optimizers by name, and the learning rate as a function of the step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..recipe.schema import Training
from .muon import Muon

ADAMW_SCALE = 0.15
"""Learning rate of AdamW as a multiple of Muon's.

Muon's learning rate is the change of singular values per step, AdamW's that of elements.
"""


def can_fuse(parameters: list[nn.Parameter]) -> bool:
    """Whether torch has fused optimizer kernels for the parameters' devices."""
    return all(p.device.type in ("cpu", "cuda") for p in parameters)


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def adam(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam, without weight decay (Kingma and Ba 2015).

    Args:
        network: the network to train.
        training: settings of the training.

    Returns:
        the optimizer, at the full learning rate.
    """
    parameters = _trainable(network)
    return torch.optim.Adam(parameters, lr=training.learning_rate, fused=can_fuse(parameters))


def adamw(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), without weight decay for biases, norms and vectors.

    Args:
        network: the network to train.
        training: settings of the training.

    Returns:
        the optimizer, at the full learning rate.
    """
    parameters = _trainable(network)
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": training.decoupled_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=can_fuse(parameters))


def muon(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Muon for matrices, AdamW for embedding tables and all other parameters (``muon.py``).

    Args:
        network: the network to train.
        training: settings of the training.

    Returns:
        the optimizer, at the full learning rate.
    """
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    parameters = _trainable(network)
    matrices = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
    others = [p for p in parameters if p.ndim <= 1 or id(p) in tables]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": training.decoupled_decay, "use_muon": True},
        {"params": others, "weight_decay": 0.0, "lr_scale": ADAMW_SCALE},
    ]
    return Muon(groups, training.learning_rate, can_fuse(parameters))


def check_beside(beside: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Check the further networks that an objective trains.

    Args:
        beside: the networks, by name.
        optimizer: the optimizer of all networks.

    Raises:
        ValueError: if a name is reserved, or a parameter is not in the optimizer.
    """
    optimizer_ids = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, module in beside.items():
        if name in ("network", "optimizer", "scaler", "images"):
            raise ValueError(f"an objective's module cannot be called {name!r}")
        if any(p.requires_grad and id(p) not in optimizer_ids for p in module.parameters()):
            raise ValueError(
                f"the objective's module {name!r} is in no parameter group: give it one in param_groups()"
            )


def adam_groups(groups: list[dict[str, Any]], training: Training) -> torch.optim.Optimizer:
    """Adam for the parameter groups of an objective.

    Args:
        groups: parameter groups; keys such as ``betas`` replace the defaults.
        training: settings of the training.

    Returns:
        the optimizer, at the full learning rate.

    Raises:
        ValueError: if the settings name another optimizer.
    """
    if training.optimizer != "adam":
        raise ValueError(
            f"training.optimizer = {training.optimizer!r}: this objective brings its own groups for 'adam'"
        )
    parameters = [p for group in groups for p in group["params"]]
    return torch.optim.Adam(groups, lr=training.learning_rate, fused=can_fuse(parameters))


def total_norm(parameters: list[nn.Parameter], device: torch.device) -> Tensor:
    """The norm of the gradients of all parameters together.

    Args:
        parameters: parameters, with or without gradients.
        device: device of the result if there are no gradients.

    Returns:
        the norm, a scalar on the device; 0 if there are no gradients.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros((), device=device)
    return torch.nn.utils.get_total_norm(gradients)


def learning_rate(step: int, training: Training) -> float:
    """The learning rate of a step: linear warmup, then a decay over the rest of the run.

    Args:
        step: number of the step, from 0.
        training: settings of the training.

    Returns:
        the learning rate.
    """
    rate = training.learning_rate
    warmup = min(training.warmup, training.steps)
    if step < warmup:
        return rate * (step + 1) / warmup
    remaining = (training.steps - step) / max(1, training.steps - warmup)
    match training.decay:
        case "none":
            return rate
        case "linear":
            return rate * remaining
        case "cosine":
            return rate * (1 - math.cos(math.pi * remaining)) / 2
