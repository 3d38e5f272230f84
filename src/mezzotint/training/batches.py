"""Which images a step sees: a function of the seed and of how many images were seen before, never of
how training came there.

The data are an endless row of shuffled epochs, and a batch is the next piece of it. No batch is ever
short, no image is seen twice before all have been seen once, and a data set smaller than a batch is simply
gone through several times. Another batch size in the middle of a run goes on at the same place.
"""

from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

from ..utils.randomness import Stream, generator


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> Int64[Tensor, " count"]:
    """The order in which ``count`` images are seen in an epoch."""
    return torch.randperm(count, generator=generator(seed, Stream.ORDER, epoch))


def batch_indices(seed: int, start: int, batch: int, count: int) -> Int64[Tensor, " batch"]:
    """The images of a batch, over all processes.

    Args:
        seed: the run's.
        start: images seen before, over all epochs.
        batch: images in the batch.
        count: images in an epoch.
    """
    positions = torch.arange(start, start + batch)
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


def rows_of_process(count: int, group: int, rank: int, processes: int) -> Int64[Tensor, " rows"]:
    """Which rows of a batch one process computes: every N-th group of them.

    Args:
        count: images in the batch, over all processes.
        group: images that have to stay together.
        rank: the number of the process.
        processes: how many there are.
    """
    position = torch.arange(count)
    return position[position // group % processes == rank]


def batch_parts(count: int, group: int, parts: int) -> list[slice]:
    """The parts of a batch that are computed at once: full groups of it.

    Args:
        count: images in the batch, on this process.
        group: images that have to stay together.
        parts: how many parts, or fewer if there are fewer groups.
    """
    groups = torch.arange(count // group)
    pieces = groups.tensor_split(min(parts, len(groups)))
    return [slice(int(p[0]) * group, (int(p[-1]) + 1) * group) for p in pieces]
