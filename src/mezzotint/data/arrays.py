"""Images of your own that are arrays already: an .npz, or IDX files."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def from_npz(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """``images`` and perhaps ``labels`` of an .npz; names of the classes in ``classes``, or their
    numbers. ``images_test`` and ``labels_test`` are the test split, or one image in about ten is."""
    data, own_test = _read_npz(Path(where).expanduser(), split)
    return (data if own_test else _held_out(data, split)).framed(frame)


def _read_npz(path: Path, split: Split) -> tuple[ImageData, bool]:
    """The arrays of a split, or, where there are none for testing, all there are; and which of the two."""
    with Arrays.opened(path) as arrays:
        own_test = "images_test" in arrays
        ending = "_test" if split == "test" and own_test else ""
        images = grey_if_all_are(arrays.images(f"images{ending}"))
        labels = arrays.labels(f"labels{ending}")
        train_labels = arrays.labels("labels")
        names = arrays["classes"].ravel().tolist() if "classes" in arrays else None
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
        positions = [find_class(x, classes) if isinstance(x, str) else x for x in labels]
        return ImageData(images, check_labels(positions, classes), classes, notes), own_test
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _classes(labels: list[int] | list[str], names: list[Any] | None, where: str) -> tuple[str, ...]:
    """The names of the classes that labels are of: those of the file, or the labels' own."""
    if names is not None:
        in_order(map(str, names), where)  # which refuses two spellings of one
        return tuple(class_name(str(name)) for name in names)
    if labels and isinstance(labels[0], str):
        return in_order(sorted({str(label) for label in labels}), where)
    return tuple(str(k) for k in range(max((int(label) for label in labels), default=-1) + 1))


def from_idx(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """An IDX file of images, and, where its name has a twin with ``labels-idx1`` for ``images-idx3``,
    their labels; one image in about ten is the test split."""
    path = Path(where).expanduser()
    images = idx.read(path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"{path} holds no grey images, but {images.dtype} {images.shape}")
    pixels = torch.from_numpy(images)[:, None]
    none = torch.zeros(len(images), dtype=torch.int64)
    twin = _labels_beside(path)
    if twin is None:
        return _held_out(ImageData(pixels, none, ()), split).framed(frame)
    labels = torch.from_numpy(idx.read(twin)).long()
    classes = tuple(str(k) for k in range(int(labels.max()) + 1))
    return _held_out(ImageData(pixels, labels, classes), split).framed(frame)


def _labels_beside(path: Path) -> Path | None:
    """The file of labels that belongs to one of images, packed or not."""
    name = path.name.removesuffix(".gz").replace("images-idx3", "labels-idx1")
    if name == path.name.removesuffix(".gz"):
        return None
    found = (path.with_name(f"{name}{ending}") for ending in ("", ".gz"))
    return next((twin for twin in found if twin.is_file()), None)


def _held_out(data: ImageData, split: Split) -> ImageData:
    """The images of ``data`` that a split takes, where the file itself has none: by a hash of the image, so
    that copies are on one side, and each stays there whatever is added."""
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
