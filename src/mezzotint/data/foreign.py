"""Images that some other system made: an .npz or a folder of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from .images import check_labels


@dataclass(frozen=True)
class Images:
    """uint8 images (n, channels, height, width), and their labels if known."""

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"] | None


def read_images(path: Path, classes: Sequence[str]) -> Images:
    """Images of any system: an .npz with ``images`` (uint8, n x h x w, n x h x w x c or n x c x h x w)
    and perhaps ``labels``, or a folder of pictures, in folders by class if they are labelled.

    Raises ValueError, naming what is wrong.
    """
    if path.suffix == ".npz":
        return _read_npz(path, classes)
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".bmp"))
    if not files:
        raise ValueError(f"{path} holds no .png, .jpg or .bmp images")
    stacked = torch.stack([_read_grey(file) for file in files])
    names = [file.parent.name for file in files]
    known = [name for name in names if name in classes]
    if known and len(known) < len(names):
        wrong = next(name for name in names if name not in classes)
        raise ValueError(f"{path}: folder {wrong!r} is no class; classes are {', '.join(classes)}")
    labels = torch.tensor([classes.index(name) for name in names]) if known else None
    return Images(stacked, labels)


def _read_grey(file: Path) -> Tensor:
    with Image.open(file) as picture:
        return torch.from_numpy(np.asarray(picture.convert("L")).copy())[None]


def _read_npz(path: Path, classes: Sequence[str]) -> Images:
    with np.load(path, allow_pickle=False) as content:
        if "images" not in content:
            raise ValueError(f"{path} has no array 'images', only {', '.join(content)}")
        images, labels = content["images"], content.get("labels")
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{path}: 'images' must be uint8 with 3 or 4 dimensions, not {images.dtype}"
            f" with {images.ndim}"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    checked = None if labels is None else check_labels(labels.tolist(), classes)
    return Images(torch.from_numpy(np.ascontiguousarray(images)), checked)
