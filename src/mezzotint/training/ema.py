"""The moving average of the weights, which is what samples are drawn from.

    average <- d_n average + (1 - d_n) weights,    d_n = min(decay, (1 + n) / (10 + n))

after update n = 0, 1, ...: a short memory at first, so that the random start is soon forgotten.
"""

import copy

import torch
from torch import nn


class Ema:
    """``network`` is the average: a copy that follows ``source``, updated after every step."""

    def __init__(self, source: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"the decay of a moving average lies between 0 and 1, not {decay}")
        self.decay = decay
        self.network = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, n: int, skip: torch.Tensor | None = None) -> None:
        """Take in the weights after an optimizer step.

        Args:
            source: the network that was trained.
            n: the number of the step, counted from 0.
            skip: a number on the device; where it is not 0 the average stays as it is, without the host
                having to know.
        """
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        averages: list[torch.Tensor] = list(self.network.parameters())
        weights: list[torch.Tensor] = list(source.parameters())
        if skip is None:
            torch._foreach_lerp_(averages, weights, weight)
        else:
            share = torch.where(skip != 0, 0.0, weight)
            for average, new in zip(averages, weights, strict=True):
                average.lerp_(new, share.to(average.dtype))
        for average, buffer in zip(self.network.buffers(), source.buffers(), strict=True):
            average.copy_(buffer)
