"""Samples of another system: an .npz or a folder of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..utils.classes import class_name, find_class, listed
from ..utils.console import printable
from .decode import read_picture
from .images import check_labels
from .listing import list_pictures
from .npz import Arrays
from .transforms import Frame


@dataclass(frozen=True)
class Samples:
    """Images of any system.

    Args:
        images: uint8 (n, channels, height, width).
        labels: a class for each (n,); None if unknown.
    """

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"] | None


def read_images(path: Path, classes: Sequence[str]) -> Samples:
    """Samples of any system.

    Args:
        path: an .npz with ``images`` (uint8, n x h x w, n x h x w x c or n x c x h x w) and perhaps
            ``labels``, or a folder of pictures, in folders by class if they are labelled.
        classes: the class names that labels refer to; labels are ignored if this is empty.

    Returns:
        The images and, if known, their labels.

    Raises:
        OSError: if something cannot be read.
        ValueError: naming the file and what is wrong with it.
    """
    samples = _read_npz(path, classes) if path.suffix == ".npz" else _read_folder(path, classes)
    return Samples(grey_if_all_are(samples.images), samples.labels)


def grey_if_all_are(images: Tensor) -> Tensor:
    """One channel if all three are equal in every image, as many programs write grey pictures."""
    if images.shape[1] == 3 and (images == images[:, :1]).all():
        return images[:, :1].contiguous()
    return images


def _read_folder(path: Path, classes: Sequence[str]) -> Samples:
    listing = list_pictures(path)
    pictures: list[Tensor] = []
    for file in listing.pictures:
        picture = torch.from_numpy(read_picture(file, 3, Frame()).copy())
        if pictures and picture.shape != pictures[0].shape:
            first = f"{listing.pictures[0]} of {tuple(pictures[0].shape[1:])}"
            sizes = f"{tuple(picture.shape[1:])}, {first}"
            raise ValueError(f"images must be of one size, but {file} is of {sizes}")
        pictures.append(picture)
    known = [class_name(name) for name in classes]
    if not any(name in known for name in listing.classes):
        return Samples(torch.stack(pictures), None)
    for name in listing.classes:
        if name not in known:
            raise ValueError(f"{path}: folder {name!r} is no class; classes are {listed(classes)}")
    names = [listing.classes[label] for label in listing.labels]
    return Samples(torch.stack(pictures), torch.tensor([known.index(name) for name in names]))


def _read_npz(path: Path, classes: Sequence[str]) -> Samples:
    with Arrays.opened(path) as arrays:
        images = arrays.images("images")
        labels = arrays.labels("labels") if classes else None
    if labels is None:
        return Samples(images, None)
    try:
        positions = [find_class(x, classes) if isinstance(x, str) else x for x in labels]
        return Samples(images, check_labels(positions, classes))
    except ValueError as error:
        raise ValueError(f"{printable(str(path))}: {error}") from error
