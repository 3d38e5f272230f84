"""Many images of a model, shared out among the processes there are."""

import torch
from accelerate.utils.operations import gather_object

from . import pixels
from .data.foreign import Images
from .model import Model, SamplingOptions
from .progress import progress
from .runtime import processes


def balanced(count: int, classes: int) -> list[int]:
    """``count`` labels, the classes in turn."""
    return [k % classes for k in range(count)]


def draw(model: Model, count: int, seed: int, changes: SamplingOptions, batch: int = 250) -> Images:
    """``count`` images of a model, the classes in turn, with a progress bar.

    Under torchrun each process draws its share, and all get all: the same images as one process
    draws, since an image depends on its seed and number alone.
    """
    classes, state = len(model.spec.classes), processes()
    labels = balanced(count, classes) if classes else None
    with state.split_between_processes(list(range(count))) as mine:
        part = None if labels is None else [labels[number] for number in mine]
        size, steps = len(mine) if part is None else None, model.sampling(**changes).steps
        moments = model.moments(part, count=size, seed=seed, batch=batch, first=mine[0], **changes)
        total = -(-len(mine) // batch) * (steps + 1)
        shown = progress(moments, total, f"{count} images, seed {seed}")
        drawn = torch.cat([pixels.to_uint8(step.x.cpu()) for step in shown if step.t == 0])
    images = torch.cat(gather_object([drawn]))
    return Images(images, None if labels is None else torch.tensor(labels))
