"""Sampling of many images, distributed over processes."""

import torch
from typing_extensions import Unpack

from .data.samples import Samples
from .model import Model, SamplingOptions
from .utils.processes import processes


def round_robin_labels(count: int, classes: int) -> list[int]:
    """Labels of the classes in turn: 0, 1, ..., classes - 1, 0, 1, ...

    Args:
        count: number of labels.
        classes: number of classes.

    Returns:
        the labels.
    """
    return [k % classes for k in range(count)]


def sample_distributed(
    model: Model, count: int, seed: int, batch: int = 250, **options: Unpack[SamplingOptions]
) -> Samples:
    """Sample images of a model, the classes in turn, with a progress bar.

    Under torchrun each process samples a part, and all processes get all images. They are the images of a
    single process, since an image depends on the seed and its number only.

    Args:
        model: the model.
        count: number of images.
        seed: integer from 0 to 2**63 - 1.
        batch: number of images that a process computes at once.
        options: differences from the recipe's ``[sampling]``.

    Returns:
        the images, with their labels if the model has classes.
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
    images = torch.cat(group.gather(images))
    return Samples(images, None if labels is None else torch.tensor(labels))


def _share(count: int, rank: int, processes: int) -> range:
    """The numbers of the images that a process samples: a contiguous range, possibly empty."""
    return range(count * rank // processes, count * (rank + 1) // processes)
