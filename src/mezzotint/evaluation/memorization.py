"""Memorisation: how near are generated images to training images?

Distances are root mean squares over pixels, in levels of grey (0 to 255). Beside them stands the same
for test images, which nobody can have memorised: a model that copies is nearer than that.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from ..utils.progress import progress

Uint8Images = UInt8[Tensor, "n channels height width"]


@dataclass(frozen=True)
class Neighbours:
    """For each image, the distance to its nearest training image, and which it is."""

    distance: Float[Tensor, " n"]
    index: Int64[Tensor, " n"]

    def summary(self) -> dict[str, float]:
        """Median, 1st percentile and minimum of the distances."""
        quantiles = torch.quantile(self.distance, torch.tensor([0.5, 0.01, 0.0])).tolist()
        return dict(zip(("median", "percentile_1", "minimum"), quantiles, strict=True))


def nearest(images: Uint8Images, training: Uint8Images, chunk: int = 1000) -> Neighbours:
    """The nearest of ``training`` to each of ``images``.

    Raises ValueError where their shapes differ.
    """
    if images.shape[1:] != training.shape[1:]:
        ours, theirs = tuple(images.shape[1:]), tuple(training.shape[1:])
        raise ValueError(f"images of {ours} cannot be compared with training images of {theirs}")
    theirs_flat = training.flatten(1).float()
    best, where = [], []
    parts = images.split(chunk)
    for part in progress(parts, len(parts), "nearest neighbours", "batch"):
        distance = torch.full((len(part),), float("inf"))
        index = torch.zeros(len(part), dtype=torch.int64)
        mine = part.flatten(1).float()
        for start in range(0, len(theirs_flat), 10_000):
            found = torch.cdist(mine, theirs_flat[start : start + 10_000]).min(1)
            nearer = found.values < distance
            distance = torch.where(nearer, found.values, distance)
            index = torch.where(nearer, found.indices + start, index)
        best.append(distance / mine.shape[1] ** 0.5)
        where.append(index)
    return Neighbours(torch.cat(best), torch.cat(where))
