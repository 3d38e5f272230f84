"""A model and the images it is measured with meet by the names of their classes, whatever their order."""

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from ..data import ImageData
from ..model import Model
from .measure import Reference


def labels_by_name(
    labels: Int64[Tensor, " n"] | None, model: Model, reference: Reference
) -> Int64[Tensor, " n"] | None:
    """Translate labels of a model to those of a reference.

    Args:
        labels: (n,) positions in the model's classes, or None.
        model: Gives the names of its classes.
        reference: Gives the names of the other classes.

    Returns:
        (n,) positions in the reference's classes; None if the names are others.
    """
    classes = reference.test.classes
    if labels is None or sorted(classes) != sorted(model.spec.classes):
        return None
    return torch.tensor([classes.index(name) for name in model.spec.classes])[labels]


def test_images_of(model: Model, reference: Reference) -> ImageData | None:
    """Bring the reference's test images to the format of a model.

    Args:
        model: Gives channels, size and classes.
        reference: Gives the test images.

    Returns:
        The test images, or None if their classes are not the model's.
    """
    classes = model.spec.classes
    if sorted(reference.test.classes) != sorted(classes):
        return None
    section = model.recipe.data
    positions = torch.tensor([classes.index(name) for name in reference.test.classes] or [0])
    test = replace(reference.test, labels=positions[reference.test.labels], classes=classes)
    test = test.in_channels(model.spec.channels)
    return test.fitted(model.spec.size, section.fit, section.background)
