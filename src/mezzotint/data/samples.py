"""Samples that some other system made: an .npz or a folder of pictures."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from .decode import SUFFIXES, read_picture
from .images import check_labels
from .transforms import Frame

UNREADABLE = (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises for files that are not whole .npz files."""


@dataclass(frozen=True)
class Samples:
    """uint8 images (n, channels, height, width), and their labels if known."""

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"] | None


def read_images(path: Path, classes: Sequence[str], name: str = "images") -> Samples:
    """Samples of any system: an .npz with ``images`` (or another ``name``; uint8, n x h x w,
    n x h x w x c or n x c x h x w) and perhaps ``labels``, or a folder of pictures,
    in folders by class if they are labelled.

    Without ``classes``, labels are left aside. Raises ValueError, naming file and fault.
    """
    found = _read_npz(path, classes, name) if path.suffix == ".npz" else _read_folder(path, classes)
    return Samples(_grey_if_all_are(found.images), found.labels)


def _grey_if_all_are(images: Tensor) -> Tensor:
    """One channel where three say the same throughout, as many programs write grey pictures."""
    if images.shape[1] == 3 and (images == images[:, :1]).all():
        return images[:, :1].contiguous()
    return images


def _read_folder(path: Path, classes: Sequence[str]) -> Samples:
    found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    files = sorted(p for p in found if not p.name.startswith("."))
    if not files:
        raise ValueError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    pictures = [torch.from_numpy(read_picture(file, 3, Frame()).copy()) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            sizes = f"{tuple(picture.shape[1:])}, {files[0]} of {tuple(pictures[0].shape[1:])}"
            raise ValueError(f"images must be of one size, but {file} is of {sizes}")
    names = [file.parent.name for file in files]
    if not any(name in classes for name in names):
        return Samples(torch.stack(pictures), None)
    for name in names:
        if name not in classes:
            known = ", ".join(classes)
            raise ValueError(f"{path}: folder {name!r} is no class; classes are {known}")
    return Samples(torch.stack(pictures), torch.tensor([classes.index(name) for name in names]))


def _read_npz(path: Path, classes: Sequence[str], images_name: str) -> Samples:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in (images_name, "labels") if name in content}
    except UNREADABLE as error:
        raise ValueError(f"{path} is no readable .npz file: {error}") from error
    if images_name not in arrays:
        raise ValueError(f"{path} has no array {images_name!r}")
    images = arrays[images_name]
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{path}: 'images' must be uint8 with 3 or 4 dimensions, not {images.dtype}"
            f" with {images.ndim}"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    labels = (
        check_labels(arrays["labels"].tolist(), classes) if "labels" in arrays and classes else None
    )
    return Samples(torch.from_numpy(np.ascontiguousarray(images)), labels)
