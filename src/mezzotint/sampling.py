"""Sampling of many images, distributed over processes."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from typing_extensions import Unpack

from .data.samples import Samples
from .model import Model, SamplingOptions
from .utils.processes import processes

MOST_COLUMNS = 64
"""The most classes in a grid of samples; of a model with more, the first ones."""

GRID_BATCH = 256
"""Images of a grid that are sampled together."""


def round_robin_labels(count: int, classes: int) -> list[int]:
    """Labels of the classes in turn: 0, 1, ..., classes - 1, 0, 1, ...

    Args:
        count: number of labels.
        classes: number of classes.

    Returns:
        the labels.
    """
    return [k % classes for k in range(count)]


def sample_grid(
    model: Model, *, progress: bool
) -> tuple[UInt8[Tensor, "images channels height width"], int]:
    """Sample the images of a grid with one column for each class, always with the same noise.

    It has four rows, or a single one if the model takes more than 50 steps.

    Args:
        model: the model.
        progress: whether to show a progress bar.

    Returns:
        the images, row by row, and the number of columns.
    """
    classes = min(len(model.spec.classes), MOST_COLUMNS)
    columns = classes or 8
    rows = 4 if model.recipe.sampling.steps <= 50 else 1
    count = columns * rows
    labels = round_robin_labels(count, classes) if classes else None
    number = None if classes else count
    images = model.sample(labels, count=number, batch=min(count, GRID_BATCH), progress=progress)
    return images, columns


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
    # Other machines may measure otherwise, and a part of the images would not be those of a single process.
    precision = model.precision(model.sampling_options(**options)) if group.is_main else ""
    options["precision"] = group.from_main(precision)
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
