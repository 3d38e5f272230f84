"""Embeddings of the time step and of the label."""

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """``sin(w_i step)`` and ``cos(w_i step)`` in turn, ``w_i = 10000^(-2i / width)``
    (Vaswani et al. 2017, section 3.5): (batch,) -> (batch, width)."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"a sinusoidal embedding needs an even width, not {width}")
        frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, steps: Real[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        angles = steps[:, None].float() * self.frequencies
        return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class OptionalLabels(nn.Embedding):
    """One row per class; no label, given as None or as the index ``num_embeddings``, is zero.

    The original's ``Embedding(10, 128)``, with the absent label addressable image by image.
    """

    def forward(self, labels: Int[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        absent = (labels == self.num_embeddings)[:, None]
        return super().forward(labels.masked_fill(absent[:, 0], 0)).masked_fill(absent, 0.0)
