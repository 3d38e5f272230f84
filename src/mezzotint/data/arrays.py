"""Images of your own that are arrays already: an .npz, or IDX files."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..utils.classes import class_name, listed
from . import idx
from .decode import Broken
from .images import ImageData, Split, check_labels
from .listing import HELD_OUT, held_out
from .samples import grey_if_all_are, images_of, labels_of, opened_npz
from .transforms import Frame


def from_npz(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """``images`` and perhaps ``labels`` of an .npz; names of the classes in ``classes``, or their
    numbers. ``images_test`` and ``labels_test`` are the test split, or one image in about ten is."""
    data, own_test = _read_npz(Path(where).expanduser(), split)
    return (data if own_test else _held_out(data, split)).framed(frame)


def _read_npz(path: Path, split: Split) -> tuple[ImageData, bool]:
    """The arrays of a split, or, where there are none for testing, all there are; and which of the two."""
    with opened_npz(path) as content:
        own_test = "images_test" in content
        ending = "_test" if split == "test" and own_test else ""
        images = images_of(content, path, f"images{ending}")
        labels = labels_of(content, path, f"labels{ending}")
        every_label = labels if not ending else labels_of(content, path, "labels")
        names = np.asarray(content["classes"]) if "classes" in content else None
    images = grey_if_all_are(images)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"{path}: images are grey or RGB, n x h x w or n x h x w x 3, not {list(images.shape)}"
        )
    if every_label is None:
        return ImageData(images, torch.zeros(len(images), dtype=torch.int64), ()), own_test
    if labels is None:
        raise ValueError(f"{path} has labels, but no labels_test")
    if names is not None:
        classes = tuple(class_name(str(name)) for name in names.ravel())
        if len(set(classes)) != len(classes):
            raise ValueError(f"{path}: two of the classes {listed(classes)} have the same name")
    else:
        classes = tuple(map(str, range(max(every_label, default=-1) + 1)))
    try:
        return ImageData(images, check_labels(labels, classes), classes), own_test
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


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
