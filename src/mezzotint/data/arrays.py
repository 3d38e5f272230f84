"""Your own images in arrays: an .npz, or IDX files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..utils.classes import class_name, find_class, in_order
from ..utils.console import printable
from . import idx
from .decode import Broken
from .images import ImageData, Split, check_labels
from .listing import HELD_OUT, held_out
from .npz import Arrays
from .samples import grey_if_all_are
from .transforms import Frame

MOST_CLASSES = 65_536
"""Classes that labels may number; a larger label is no number of a class."""


def from_npz(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The images of an .npz with the array ``images`` and optionally ``labels`` and ``classes`` (names).

    ``images_test`` and ``labels_test`` are the test split. Without them, it is about one image in ten.

    Args:
        where: path of the .npz.
        split: "train" or "test".
        frame: how images are cut and resized, and their channels.
        broken: not used: an .npz is read completely or not at all.

    Returns:
        The images of the split. Without ``classes``, the class names come from the labels.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file is broken, or its arrays do not match.
    """
    data, own_test = _read_npz(Path(where).expanduser(), split)
    return (data if own_test else _held_out(data, split)).framed(frame)


def _read_npz(path: Path, split: Split) -> tuple[ImageData, bool]:
    """The images of a split, or all if the file has no test split; and whether it has one."""
    with Arrays.opened(path) as arrays:
        own_test = "images_test" in arrays
        ending = "_test" if split == "test" and own_test else ""
        images = grey_if_all_are(arrays.images(f"images{ending}"))
        labels = arrays.labels(f"labels{ending}")
        train_labels = arrays.labels("labels")
        names = arrays.labels("classes")
        if labels is not None and len(labels) != len(images):
            shape = list(arrays[f"images{ending}"].shape)
            raise ValueError(
                f"{printable(str(path))}: {len(images)} images do not match {len(labels)} labels: the array"
                f" of images is {shape}, and its first dimension counts them"
            )
        notes = arrays.notes("images", "labels", "images_test", "labels_test", "classes")
    if train_labels is None:
        none = torch.zeros(len(images), dtype=torch.int64)
        return ImageData(images, none, (), notes), own_test
    where = printable(str(path))
    if labels is None:
        raise ValueError(f"{where} has labels, but no labels_test")
    try:
        classes = _classes(train_labels, names, where)
        places = {name: place for place, name in enumerate(classes)}
        positions = [_place(label, places, classes) for label in labels]
        return ImageData(images, check_labels(positions, classes), classes, notes), own_test
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _place(label: int | str, places: Mapping[str, int], classes: Sequence[str]) -> int:
    """The number of a label's class; ``places`` has those of the names in their usual spelling."""
    if isinstance(label, str):
        return places[label] if label in places else find_class(label, classes)
    return label


def _classes(
    labels: list[int] | list[str], names: list[int] | list[str] | None, where: str
) -> tuple[str, ...]:
    """The class names: those in the file, or else the values of the labels."""
    if names is not None:
        if len(names) > MOST_CLASSES:
            raise ValueError(f"{len(names):,} classes: {MOST_CLASSES:,} are the most")
        in_order(map(str, names), where)  # raises if two are spellings of one name
        return tuple(class_name(str(name)) for name in names)
    if labels and isinstance(labels[0], str):
        return in_order(sorted({str(label) for label in labels}), where)
    return _numbered(max((int(label) for label in labels), default=-1))


def _numbered(largest: int) -> tuple[str, ...]:
    """The names of classes that labels number, of which this is the largest.

    Raises:
        ValueError: if that is no number of a class.
    """
    if largest >= MOST_CLASSES:
        raise ValueError(
            f"label {largest}: labels number the classes from 0, and {MOST_CLASSES:,} are the most"
        )
    return tuple(map(str, range(largest + 1)))


def from_idx(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The images of an IDX file; about one in ten is the test split.

    Labels are read if the same folder has a file of the same name with ``labels-idx1`` for ``images-idx3``.

    Args:
        where: path of the file of images, plain or gzip.
        split: "train" or "test".
        frame: how images are cut and resized, and their channels.
        broken: not used: an IDX file is read completely or not at all.

    Returns:
        The images of the split. Class names are the numbers of the labels.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if a file is broken, or does not hold grey uint8 images.
    """
    path = Path(where).expanduser()
    images = idx.read(path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"{path} holds no grey images, but {images.dtype} {images.shape}")
    pixels = torch.from_numpy(images)[:, None]
    none = torch.zeros(len(images), dtype=torch.int64)
    label_path = _label_path(path)
    if label_path is None:
        return _held_out(ImageData(pixels, none, ()), split).framed(frame)
    labels = torch.from_numpy(idx.read(label_path)).long()
    if labels.ndim != 1 or len(labels) != len(images):
        raise ValueError(
            f"{label_path}: {len(images)} images do not match {len(labels)} labels {list(labels.shape)}"
        )
    try:
        classes = _numbered(max(labels.tolist(), default=-1))
        return _held_out(ImageData(pixels, labels, classes), split).framed(frame)
    except ValueError as error:
        raise ValueError(f"{label_path}: {error}") from error


def _label_path(path: Path) -> Path | None:
    """The file of labels for a file of images, gzip or plain, if there is one."""
    name = path.name.removesuffix(".gz").replace("images-idx3", "labels-idx1")
    if name == path.name.removesuffix(".gz"):
        return None
    candidates = (path.with_name(f"{name}{ending}") for ending in ("", ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _held_out(data: ImageData, split: Split) -> ImageData:
    """The images of a split, for a file without splits.

    A hash of each image decides. So copies are in the same split, and adding images moves no other.
    """
    contents = [hashlib.blake2b(image.tobytes()).hexdigest() for image in data.images.numpy()]
    classes = [data.classes[label] if data.classes else "" for label in data.labels.tolist()]
    test = torch.tensor(held_out(classes, contents))
    rows = test if split == "test" else ~test
    if not rows.any():
        raise ValueError(
            f"no image is left for testing, which takes one of about {HELD_OUT}: there are"
            f" {len(data)} in all"
        )
    return replace(data, images=data.images[rows], labels=data.labels[rows])
