"""Data sets in the format of MNIST: MNIST, which the package includes, Fashion-MNIST, KMNIST and EMNIST."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ..utils.assets import ASSETS
from ..utils.cache import cache_entry
from ..utils.files import read_bytes
from . import idx
from .download import fetch
from .images import ImageData, Split


def _names(prefix: str, train: str, test: str) -> dict[Split, tuple[str, str]]:
    return {
        "train": (f"{prefix}{train}-images-idx3-ubyte", f"{prefix}{train}-labels-idx1-ubyte"),
        "test": (f"{prefix}{test}-images-idx3-ubyte", f"{prefix}{test}-labels-idx1-ubyte"),
    }


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """A data set of four IDX files; call it with a split.

    Args:
        title: its name, for errors.
        classes: names of the classes.
        files: names of the file of images and the file of labels, by split.
        content: SHA-256 of the uncompressed content of each file, if known. Archives from other places may
            compress the same bytes differently.
        packed: otherwise, MD5 of each ``.gz`` that the mirrors have.
        mirrors: URLs of folders with the files.
        places: local folders that may have the files.
        transposed: whether rows and columns of the images are exchanged in the files.
        first_label: the number of the first class in the files.
    """

    title: str
    classes: tuple[str, ...]
    files: Mapping[Split, tuple[str, str]] = field(
        default_factory=lambda: _names("", "train", "t10k")
    )
    content: Mapping[str, str] = field(default_factory=dict)
    packed: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()
    places: tuple[Path, ...] = ()
    transposed: bool = False
    first_label: int = 0

    def __call__(self, split: Split = "train", folder: Path | None = None) -> ImageData:
        """Read a split.

        Args:
            split: "train" or "test".
            folder: a folder with the files, .gz or raw. If not given, they are taken from ``places``, or
                downloaded once.

        Returns:
            Its images, uint8 (n, 1, height, width), with labels and class names.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a file is not that of the data set.
        """
        images, labels = (self._array(name, folder) for name in self.files[split])
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{self.title}: {images.shape} images do not go with {labels.shape} labels"
            )
        pixels = torch.from_numpy(images.swapaxes(1, 2).copy() if self.transposed else images)
        numbers = torch.from_numpy(labels).long() - self.first_label
        return ImageData(pixels[:, None], numbers, self.classes)

    def _array(self, name: str, folder: Path | None) -> NDArray[Any]:
        path = self._find(name, folder)
        content = idx.read_bytes(path)
        if name in self.content and hashlib.sha256(content).hexdigest() != self.content[name]:
            raise ValueError(
                f"{path} is not {self.title}'s {name}: its SHA-256 is wrong; fetch it again"
            )
        return idx.parse(content, str(path))

    def _find(self, name: str, folder: Path | None) -> Path:
        for place in (folder,) if folder else self.places:
            for candidate in (place / f"{name}.gz", place / name):
                if candidate.is_file():
                    return candidate
        if folder is not None:
            raise FileNotFoundError(f"neither {name}.gz nor {name} is in {folder}")
        urls = [f"{mirror}/{name}.gz" for mirror in self.mirrors]
        slug = self.title.lower()
        return fetch(
            cache_entry(f"data/{slug}", f"{name}.gz"), urls, lambda p: self._check(name, p)
        )

    def _check(self, name: str, path: Path) -> None:
        """Refuse a download that is not the file ``name``."""
        if name in self.packed and hashlib.md5(read_bytes(path)).hexdigest() != self.packed[name]:
            raise ValueError(f"it is not {self.title}'s {name}.gz: its MD5 is wrong")
        content = idx.read_bytes(path)
        if name in self.content and hashlib.sha256(content).hexdigest() != self.content[name]:
            raise ValueError(f"it is not {self.title}'s {name}: its SHA-256 is wrong")
        idx.parse(content, name)


# LeCun et al. 1998: 60,000 and 10,000 grey digits of 28x28.
MNIST = IdxSet(
    title="MNIST",
    classes=tuple("0123456789"),
    content={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    places=(ASSETS / "mnist",),
)

# Xiao et al. 2017: as many pictures of clothes, also in Debian's package dataset-fashion-mnist.
FASHION_MNIST = IdxSet(
    title="Fashion-MNIST",
    classes=(
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle-boot",
    ),
    content={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ),
    places=(Path("/usr/share/datasets/fashion-mnist"),),
)

# Clanuwat et al. 2018: cursive hiragana.
KMNIST = IdxSet(
    title="KMNIST",
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    packed={
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
    },
    mirrors=(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
    ),
)


def _emnist(split: str, classes: str, first_label: int = 0) -> IdxSet:
    """A split of EMNIST (Cohen et al. 2017), whose images are transposed.

    The mirrors have one archive of half a gigabyte with all splits, so its files must be in a folder.
    """
    return IdxSet(
        title=f"EMNIST-{split}",
        classes=tuple(classes),
        files=_names(f"emnist-{split}-", "train", "test"),
        transposed=True,
        first_label=first_label,
    )


DIGITS = "0123456789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = "abcdefghijklmnopqrstuvwxyz"
EMNIST_BYCLASS = _emnist("byclass", DIGITS + UPPER + LOWER)
EMNIST_BYMERGE = _emnist("bymerge", DIGITS + UPPER + "abdefghnqrt")
EMNIST_BALANCED = _emnist("balanced", DIGITS + UPPER + "abdefghnqrt")
EMNIST_LETTERS = _emnist("letters", LOWER, first_label=1)
EMNIST_DIGITS = _emnist("digits", DIGITS)
EMNIST_MNIST = _emnist("mnist", DIGITS)
