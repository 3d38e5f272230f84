"""Embeddings of the time step and the label."""

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor, nn

Labels = Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
"""A class for each image, or weights of the classes."""


class Sinusoids(nn.Module):
    """The sinusoidal embedding of time steps (Vaswani et al. 2017, section 3.5).

    ``sin(w_i step)`` and ``cos(w_i step)`` alternate, with ``w_i = 10000^(-2i / width)``.

    Args:
        width: length of the embedding, even.

    Raises:
        ValueError: if ``width`` is odd or below 2.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"a sinusoidal embedding needs an even width, not {width}")
        frequencies = 10_000.0 ** (-torch.arange(0, width, 2, device="cpu") / width)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, steps: Real[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """The embeddings (batch, width) of time steps (batch,)."""
        angles = steps[:, None].float() * self.frequencies
        return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class OptionalLabels(nn.Embedding):
    """The original's embedding of labels, with an index for "no label".

    Each class has a row; the index ``num_embeddings`` means no label and embeds as zeros, so that
    single images of a batch can go without one. Weights of the classes mix their embeddings.
    """

    def forward(self, labels: Labels) -> Float[Tensor, "batch width"]:
        """The embeddings (batch, width) of labels.

        Args:
            labels: in 0..num_embeddings (batch,), or weights (batch, num_embeddings).

        Returns:
            the embeddings (batch, width).
        """
        if labels.is_floating_point():
            return labels.to(self.weight) @ self.weight
        no_label = (labels == self.num_embeddings)[:, None]
        return super().forward(labels.masked_fill(no_label[:, 0], 0)).masked_fill(no_label, 0.0)
