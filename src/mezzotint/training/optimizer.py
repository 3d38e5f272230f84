"""The optimizer, and its learning rate as a function of the step."""

import math
from typing import Any

import torch
from torch import nn

from ..config import Training
from .muon import Muon

# Muon's steps are measured in singular values, AdamW's in elements: beside Muon's rate AdamW's is
# this share of it.
ADAM_SHARE = 0.15


# A critic and what it judges change under each other's eyes: little is to be learnt from past gradients.
JUDGED_BETAS, CRITIC_BETAS = (0.5, 0.99), (0.0, 0.99)


def make_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019), fused where torch can, or Muon
    for the matrices and AdamW for the rest (``muon.py``).

    Weight decay spares biases, norms and embeddings of one dimension.
    """
    if training.optimizer == "muon":
        return _muon(network, training)
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if training.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=training.learning_rate, fused=fused)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=fused)


def _muon(network: nn.Module, training: Training) -> Muon:
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    parameters = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
    rest = [p for p in parameters if p.ndim <= 1 or id(p) in tables]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    groups = [
        {"params": matrices, "weight_decay": training.weight_decay, "orthogonal": True},
        {"params": rest, "weight_decay": 0.0, "share": ADAM_SHARE},
    ]
    return Muon(groups, training.learning_rate, fused)


def make_duel_optimizer(
    network: nn.Module, critic: nn.Module, training: Training, critic_rate: float
) -> torch.optim.Adam:
    """Adam with short memories for both; the critic's rate is the network's times ``critic_rate``."""
    judged, judges = list(network.parameters()), list(critic.parameters())
    groups: list[dict[str, Any]] = [
        {"params": judged, "betas": JUDGED_BETAS},
        {"params": judges, "betas": CRITIC_BETAS, "share": critic_rate},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in judged + judges)
    return torch.optim.Adam(groups, lr=training.learning_rate, fused=fused)


def learning_rate(step: int, training: Training) -> float:
    """The rate for ``step``, counted from 0: a linear rise, then a fall that ends with the run."""
    rate, warmup = training.learning_rate, min(training.warmup, training.steps)
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
