"""Which images a step trains on: a function of the seed and the number of images before it.

The data are an endless sequence of shuffled epochs, and a batch is the next piece of it. All batches are
full, no image comes twice before all have come once, and a batch larger than the data set contains several
epochs. A change of the batch size during a run continues at the same position.
"""

from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

from ..utils.randomness import Stream, generator


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> Int64[Tensor, " count"]:
    """The order of the images in an epoch.

    Args:
        seed: seed of the run.
        epoch: number of the epoch, from 0.
        count: images in an epoch.

    Returns:
        a permutation of 0..count - 1.
    """
    return torch.randperm(count, generator=generator(seed, Stream.ORDER, epoch))


def batch_indices(seed: int, start: int, batch: int, count: int) -> Int64[Tensor, " batch"]:
    """The images of a batch, over all processes.

    Args:
        seed: seed of the run.
        start: images of all steps before, over all epochs.
        batch: images in the batch.
        count: images in an epoch.

    Returns:
        indices (batch,) in 0..count - 1.
    """
    positions = torch.arange(start, start + batch)
    pieces = [
        epoch_order(seed, epoch, count)[positions[positions // count == epoch] % count]
        for epoch in (positions // count).unique().tolist()
    ]
    return torch.cat(pieces)


def balanced_rows(labels: Int64[Tensor, " n"]) -> Int64[Tensor, " rows"]:
    """The rows of an epoch in which every class that has images is equally frequent.

    The rows of rare classes are repeated, evenly, until each class has as many as the most common one.
    """
    class_rows = [(labels == label).nonzero()[:, 0] for label in labels.unique().tolist()]
    most = max(len(rows) for rows in class_rows)
    return torch.cat([rows.repeat(-(-most // len(rows)))[:most] for rows in class_rows])


def rows_of_process(count: int, group: int, rank: int, processes: int) -> Int64[Tensor, " rows"]:
    """Which rows of a batch one process computes: every N-th group of them.

    Args:
        count: images in the batch, over all processes.
        group: images that have to stay together.
        rank: the number of the process.
        processes: how many there are.

    Returns:
        Numbers of rows, in 0..count - 1.
    """
    position = torch.arange(count)
    return position[position // group % processes == rank]


def batch_parts(count: int, group: int, parts: int) -> list[slice]:
    """The parts of a batch that are computed at once: full groups of it.

    Args:
        count: images in the batch, on this process.
        group: images that have to stay together.
        parts: how many parts, or fewer if there are fewer groups.

    Returns:
        A slice of the batch for each part.
    """
    groups = torch.arange(count // group)
    pieces = groups.tensor_split(min(parts, len(groups)))
    return [slice(int(p[0]) * group, (int(p[-1]) + 1) * group) for p in pieces]
