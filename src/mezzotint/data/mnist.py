"""MNIST (LeCun et al. 1998): 60,000 and 10,000 grey digits of 28x28, shipped with the package."""

import hashlib
from pathlib import Path
from typing import Literal

import torch

from ..shipped import ASSETS
from . import idx
from .images import ImageData

Split = Literal["train", "test"]

# SHA-256 of the uncompressed content: archives elsewhere pack the same bytes differently.
FILES = {
    "train": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    "test": {
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"neither {name}.gz nor {name} is in {folder}")


def mnist(split: Split = "train", folder: Path | None = None) -> ImageData:
    """MNIST's ``split``, from the package or from a ``folder`` that holds its files, .gz or raw.

    Raises FileNotFoundError where a file is missing, ValueError where one is not MNIST's.
    """
    if folder is None:
        folder = ASSETS / "mnist"
    arrays = []
    for name, sha256 in FILES[split].items():
        path = _find(folder, name)
        content = idx.read_bytes(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"{path} is not MNIST's {name}: its SHA-256 is wrong; fetch it again")
        arrays.append(torch.from_numpy(idx.parse(content, str(path))))
    images, labels = arrays
    return ImageData(images[:, None], labels.long(), tuple("0123456789"))
