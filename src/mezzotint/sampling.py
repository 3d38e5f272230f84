"""Many images of a model, shared out among the processes there are."""

import torch
from typing_extensions import Unpack

from .data.samples import Samples
from .model import Model, SamplingOptions
from .utils.processes import processes


def round_robin_labels(count: int, classes: int) -> list[int]:
    """``count`` labels, the classes in turn."""
    return [k % classes for k in range(count)]


def sample_distributed(
    model: Model, count: int, seed: int, batch: int = 250, **options: Unpack[SamplingOptions]
) -> Samples:
    """``count`` images of a model, the classes in turn, with a progress bar.

    Under torchrun each process draws its share, and all get all: the same images as one process
    draws, since an image depends on its seed and number alone.
    """
    classes = len(model.spec.classes)
    group = processes()
    labels = round_robin_labels(count, classes) if classes else None
    numbers = _share(count, group.rank, group.count)
    images = torch.zeros(0, *model.spec.shape, dtype=torch.uint8)
    if len(numbers):
        images = model.sample(
            None if labels is None else [labels[number] for number in numbers],
            count=len(numbers) if labels is None else None,
            seed=seed,
            batch=batch,
            first=numbers[0],
            progress=True,
            **options,
        )
    gathered = torch.cat(group.gather(images))
    return Samples(gathered, None if labels is None else torch.tensor(labels))


def _share(count: int, rank: int, processes: int) -> range:
    """The numbers of the images that a process draws: one stretch, perhaps of none."""
    return range(count * rank // processes, count * (rank + 1) // processes)
