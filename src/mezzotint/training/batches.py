"""Which images a step sees: a function of (seed, step), never of what came before.

The data are an endless row of shuffled epochs, and step k takes the k-th piece of it. No batch is
ever short, no image is seen twice before all have been seen once, and a data set smaller than a
batch is simply gone through several times.
"""

from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

from ..runtime import generator

ORDER, QUESTION, INIT = 0, 1, 2
"""First number of the path of each kind of randomness."""


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> Int64[Tensor, " count"]:
    """The order in which ``count`` images are seen in an epoch."""
    return torch.randperm(count, generator=generator(seed, ORDER, epoch))


def batch_indices(seed: int, step: int, batch: int, count: int) -> Int64[Tensor, " batch"]:
    """The images of the whole batch at ``step``, over all processes."""
    positions = torch.arange(step * batch, (step + 1) * batch)
    pieces = [
        epoch_order(seed, epoch, count)[positions[positions // count == epoch] % count]
        for epoch in (positions // count).unique().tolist()
    ]
    return torch.cat(pieces)


def balanced_rows(labels: Int64[Tensor, " n"]) -> Int64[Tensor, " rows"]:
    """The rows of an epoch in which every class that has images is seen equally often: those of rare
    classes are repeated, evenly, until there are as many as of the most common one."""
    members = [(labels == label).nonzero()[:, 0] for label in labels.unique().tolist()]
    most = max(len(rows) for rows in members)
    return torch.cat([rows.repeat(-(-most // len(rows)))[:most] for rows in members])
