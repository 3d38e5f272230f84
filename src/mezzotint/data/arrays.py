"""Images of your own that are arrays already: an .npz, or IDX files."""

from pathlib import Path

import numpy as np
import torch

from . import idx
from .decode import Broken
from .images import ImageData, Split, check_labels, split_rows
from .samples import UNREADABLE, read_images
from .transforms import Frame


def from_npz(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """``images`` and perhaps ``labels`` of an .npz; names of the classes in ``classes``, or their
    numbers. ``images_test`` and ``labels_test`` are the test split, or one image in ten is."""
    data, own_test = _read_npz(Path(where).expanduser(), split)
    return (data if own_test else _held_out(data, split)).framed(frame)


def _read_npz(path: Path, split: Split) -> tuple[ImageData, bool]:
    """The arrays of a split, or, where there are none for testing, all there are; and which of the two."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            own_test = "images_test" in content
            wanted = [key for key in ("labels", "labels_test", "classes") if key in content]
            arrays = {key: content[key] for key in wanted}
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise ValueError(f"{path} is no readable .npz file: {error}") from error
    ending = "_test" if split == "test" and own_test else ""
    found = read_images(path, (), f"images{ending}").images
    if found.shape[1] not in (1, 3):
        raise ValueError(
            f"{path}: images are grey or RGB, n x h x w or n x h x w x 3, not {list(found.shape)}"
        )
    if "labels" not in arrays:
        return ImageData(found, torch.zeros(len(found), dtype=torch.int64), ()), own_test
    labels = arrays.get(f"labels{ending}")
    if labels is None:
        raise ValueError(f"{path} has labels, but no labels_test")
    if not {array.dtype.kind for array in (arrays["labels"], labels)} <= {"i", "u"}:
        raise ValueError(f"{path}: labels are whole numbers, not {labels.dtype}")
    count = int(arrays["labels"].max()) + 1 if arrays["labels"].size else 0
    names = tuple(map(str, arrays.get("classes", range(count))))
    return ImageData(found, check_labels(labels.tolist(), names), names), own_test


def from_idx(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """An IDX file of images, and, where its name has a twin with ``labels-idx1`` for ``images-idx3``,
    their labels; one image in ten is the test split."""
    path = Path(where).expanduser()
    images = idx.read(path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"{path} holds no grey images, but {images.dtype} {images.shape}")
    pixels, none = torch.from_numpy(images)[:, None], torch.zeros(len(images), dtype=torch.int64)
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
    """The images of ``data`` that a split takes, where the file itself has none."""
    rows = torch.tensor(split_rows(data.labels.tolist(), split), dtype=torch.int64)
    return ImageData(data.images[rows], data.labels[rows], data.classes)
