"""Memorization: distances from generated images to their nearest training images.

Distances are root mean squares over pixels and channels, in pixel values (0 to 255). The same distances of
test images, which cannot have been memorized, are the baseline: a model that copies has smaller ones.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from ..utils.progress import progress
from .distances import nearest_rows

Uint8Images = UInt8[Tensor, "n channels height width"]


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each image.

    Attributes:
        distance: (n,) root mean square differences, 0 to 255.
        index: (n,) int64 positions in the training set.
    """

    distance: Float[Tensor, " n"]
    index: Int64[Tensor, " n"]

    def summary(self) -> dict[str, float]:
        """Return ``median``, ``percentile_1`` and ``minimum`` of the distances."""
        quantiles = torch.quantile(self.distance, torch.tensor([0.5, 0.01, 0.0])).tolist()
        return dict(zip(("median", "percentile_1", "minimum"), quantiles, strict=True))


def nearest(images: Uint8Images, training: Uint8Images, chunk: int = 1000) -> Neighbours:
    """Find the training image nearest to each image.

    Args:
        images: (n, channels, height, width) uint8.
        training: (m, channels, height, width) uint8, m >= 1.
        chunk: Images per matrix of distances, which bounds the memory.

    Returns:
        Distances and positions of the nearest training images.

    Raises:
        ValueError: If channels, height or width differ.
    """
    if images.shape[1:] != training.shape[1:]:
        shape = tuple(images.shape[1:])
        training_shape = tuple(training.shape[1:])
        raise ValueError(
            f"images of {shape} cannot be compared with training images of {training_shape}"
        )
    training_flat = training.flatten(1)
    distances = []
    indices = []
    parts = images.split(chunk)
    for part in progress(parts, len(parts), "nearest neighbours", "batch"):
        flat = part.flatten(1)
        square = torch.full((len(part),), torch.iinfo(torch.int64).max)
        index = torch.zeros(len(part), dtype=torch.int64)
        for start in range(0, len(training_flat), 10_000):
            rows_square, rows = nearest_rows(flat, training_flat[start : start + 10_000])
            nearer = rows_square < square
            square = torch.where(nearer, rows_square, square)
            index = torch.where(nearer, rows + start, index)
        distances.append((square.double() / flat.shape[1]).sqrt().float())
        indices.append(index)
    return Neighbours(torch.cat(distances), torch.cat(indices))
