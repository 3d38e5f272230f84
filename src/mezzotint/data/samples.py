"""Samples that some other system made: an .npz or a folder of pictures."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..utils.classes import listed
from ..utils.console import printable
from .decode import read_picture
from .images import check_labels
from .listing import list_pictures
from .transforms import Frame

UNREADABLE = (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises for files that are not whole .npz files."""


@dataclass(frozen=True)
class Samples:
    """uint8 images (n, channels, height, width), and their labels if known."""

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"] | None


def read_images(path: Path, classes: Sequence[str]) -> Samples:
    """Samples of any system.

    Args:
        path: an .npz with ``images`` (uint8, n x h x w, n x h x w x c or n x c x h x w) and perhaps
            ``labels``, or a folder of pictures, in folders by class if they are labelled.
        classes: what labels are compared with; labels are left aside if there are none.

    Raises:
        OSError: if something cannot be read.
        ValueError: naming file and fault.
    """
    samples = _read_npz(path, classes) if path.suffix == ".npz" else _read_folder(path, classes)
    return Samples(grey_if_all_are(samples.images), samples.labels)


def grey_if_all_are(images: Tensor) -> Tensor:
    """One channel where three say the same throughout, as many programs write grey pictures."""
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
    if not any(name in classes for name in listing.classes):
        return Samples(torch.stack(pictures), None)
    for name in listing.classes:
        if name not in classes:
            raise ValueError(f"{path}: folder {name!r} is no class; classes are {listed(classes)}")
    names = [listing.classes[label] for label in listing.labels]
    return Samples(torch.stack(pictures), torch.tensor([classes.index(name) for name in names]))


def _read_npz(path: Path, classes: Sequence[str]) -> Samples:
    with opened_npz(path) as content:
        images = images_of(content, path, "images")
        labels = labels_of(content, path, "labels")
    if labels is None or not classes:
        return Samples(images, None)
    try:
        return Samples(images, check_labels(labels, classes))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@contextmanager
def opened_npz(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an .npz file, without unpickling any.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: naming the file, if it cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            if not isinstance(content, Mapping):
                raise ValueError("it is a single array, an .npy")
            yield _Arrays(content)
    except (FileNotFoundError, PermissionError, _WrongArray):
        raise
    except UNREADABLE as error:
        raise ValueError(
            f"{printable(str(path))} is no readable .npz file: {_without_advice(error)}"
        ) from error


def _without_advice(error: Exception) -> str:
    """What is wrong, without NumPy's advice to load objects all the same, which could run code."""
    if "allow_pickle" in str(error):
        return "it holds Python objects, which are not loaded, since that could run code in them"
    return str(error)


class _WrongArray(ValueError):
    """An array that is not what it should be, in our own words."""


class _Arrays(Mapping[str, np.ndarray]):
    """Arrays by name; what numpy.savez calls ``arr_0`` and ``arr_1`` is also images and labels."""

    def __init__(self, content: Mapping[str, np.ndarray]) -> None:
        unnamed = {"images": "arr_0", "labels": "arr_1"}
        self._content = content
        self._names = {name: name for name in content}
        for name, position in unnamed.items():
            if name not in content and position in content and "images" not in content:
                self._names[name] = position

    def __getitem__(self, name: str) -> np.ndarray:
        return self._content[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def images_of(
    content: Mapping[str, np.ndarray], path: Path, name: str
) -> UInt8[Tensor, "n channels height width"]:
    """The array of images in an .npz.

    Args:
        content: its arrays.
        path: of the file, for errors.
        name: of the array.
    """
    if name not in content:
        arrays = ", ".join(f"{key} {list(content[key].shape)}" for key in content)
        raise _WrongArray(
            f"{path} has no array {name!r}; it has {arrays or 'none'}: save it with"
            f" numpy.savez(file, {name}=...)"
        )
    images = np.asarray(content[name])
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise _WrongArray(
            f"{path}: {name!r} must be uint8 with 3 or 4 dimensions, not {images.dtype}"
            f" with {images.ndim} ({list(images.shape)})"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images))


def labels_of(content: Mapping[str, np.ndarray], path: Path, name: str) -> list[int] | None:
    """The array of labels in an .npz, if there is one: (n,) or (n, 1) whole numbers.

    Args:
        content: its arrays.
        path: of the file, for errors.
        name: of the array.
    """
    if name not in content:
        return None
    labels = np.asarray(content[name])
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise _WrongArray(
            f"{path}: {name!r} is one whole number for each image, (n,), not {list(labels.shape)}"
        )
    if labels.dtype.kind == "f" and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise _WrongArray(f"{path}: {name!r} are whole numbers, not {labels.dtype}")
    values: list[int] = labels.tolist()
    return values
