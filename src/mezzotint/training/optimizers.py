"""Optimizers, by name, and the learning rate as a function of the step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..recipe.schema import Training
from .muon import Muon

ADAMW_SCALE = 0.15
"""Muon's steps are measured in singular values, AdamW's in elements: beside Muon's rate AdamW's is this
share of it."""


def can_fuse(parameters: list[nn.Parameter]) -> bool:
    """Whether torch has a fused kernel for them."""
    return all(p.device.type in ("cpu", "cuda") for p in parameters)


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def adam(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam, without weight decay (Kingma and Ba 2015)."""
    parameters = _trained(network)
    return torch.optim.Adam(parameters, lr=training.learning_rate, fused=can_fuse(parameters))


def adamw(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); biases, norms and vectors are spared from weight decay."""
    parameters = _trained(network)
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": training.decoupled_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=can_fuse(parameters))


def muon(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Muon for matrices, AdamW for embedding tables and all else (``muon.py``)."""
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    parameters = _trained(network)
    matrices = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
    rest = [p for p in parameters if p.ndim <= 1 or id(p) in tables]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": training.decoupled_decay, "use_muon": True},
        {"params": rest, "weight_decay": 0.0, "lr_scale": ADAMW_SCALE},
    ]
    return Muon(groups, training.learning_rate, can_fuse(parameters))


def check_beside(beside: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Refuse networks beside the main one that nothing would train, or whose names the state has itself."""
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, module in beside.items():
        if name in ("network", "optimizer", "scaler", "images"):
            raise ValueError(f"an objective's module cannot be called {name!r}")
        if any(p.requires_grad and id(p) not in owned for p in module.parameters()):
            raise ValueError(
                f"the objective's module {name!r} is in no parameter group: give it one in param_groups()"
            )


def adam_groups(groups: list[dict[str, Any]], training: Training) -> torch.optim.Optimizer:
    """Adam for the parameter groups that an objective asks for.

    Raises ValueError where the settings ask for another optimizer, or for weight decay.
    """
    if training.optimizer != "adam":
        raise ValueError(
            f"training.optimizer = {training.optimizer!r}: this objective brings its own groups for 'adam'"
        )
    parameters = [p for group in groups for p in group["params"]]
    return torch.optim.Adam(groups, lr=training.learning_rate, fused=can_fuse(parameters))


def total_norm(parameters: list[nn.Parameter], device: torch.device) -> Tensor:
    """The norm of all their gradients; 0 where there are none."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros((), device=device)
    return torch.nn.utils.get_total_norm(gradients)


def learning_rate(step: int, training: Training) -> float:
    """The rate for ``step``, counted from 0: a linear rise, then a fall that ends with the run."""
    rate = training.learning_rate
    warmup = min(training.warmup, training.steps)
    if step < warmup:
        return rate * (step + 1) / warmup
    left = (training.steps - step) / max(1, training.steps - warmup)
    match training.decay:
        case "none":
            return rate
        case "linear":
            return rate * left
        case "cosine":
            return rate * (1 - math.cos(math.pi * left)) / 2
