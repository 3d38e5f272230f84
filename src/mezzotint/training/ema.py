"""The moving average of the weights, which is used for sampling.

After update n = 0, 1, ... it is::

    average <- d_n average + (1 - d_n) weights,    d_n = min(decay, (1 + n) / (10 + n))

The decay is small at first, so that the random initialization is soon forgotten.
"""

import copy

import torch
from torch import nn


class Ema:
    """The moving average of a network's weights, as ``network``.

    Args:
        source: the network to average, of which a copy is made.
        decay: largest decay of the average, in (0, 1).

    Raises:
        ValueError: if the decay is out of range.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"the decay of a moving average lies between 0 and 1, not {decay}")
        self.decay = decay
        self.network = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, n: int, skip: torch.Tensor | None = None) -> None:
        """Update the average after an optimizer step.

        Args:
            source: the network that is trained.
            n: number of the step, counted from 0.
            skip: number on the device; if it is not 0, the average does not change. The host does not
                need to know it, so it need not wait for the device.
        """
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        averages: list[torch.Tensor] = list(self.network.parameters())
        weights: list[torch.Tensor] = list(source.parameters())
        if skip is None:
            torch._foreach_lerp_(averages, weights, weight)
        else:
            masked_weight = torch.where(skip != 0, 0.0, weight)
            for average, parameter in zip(averages, weights, strict=True):
                average.lerp_(parameter, masked_weight.to(average.dtype))
        for average, buffer in zip(self.network.buffers(), source.buffers(), strict=True):
            average.copy_(buffer)
