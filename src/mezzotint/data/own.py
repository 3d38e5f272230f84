"""Images of your own: a folder of pictures, an .npz, or a pair of IDX files.

A folder has one folder of pictures for each class, or pictures alone, which have no classes. Folders
``train`` and ``test`` at its top are the splits; otherwise one picture in ten, the same ones every
time, is kept for testing.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from . import idx
from .cache import cached
from .foreign import UNREADABLE, read_images
from .images import ImageData, Split, check_labels
from .pictures import GREY, SUFFIXES, Frame, glance

HELD_OUT = 10
"""One image in so many is for testing."""

Broken = Literal["refuse", "skip"]


@dataclass(frozen=True)
class Listing:
    """``files`` of a folder in order, the number of each one's class, and the classes' names."""

    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]

    def part(self, split: Split) -> "Listing":
        """Every tenth file of each class, in a shuffled order that is always the same, or the rest."""
        order = np.random.default_rng(0).permutation(len(self.files))
        place: dict[int, int] = {}
        chosen = []
        for k in order.tolist():
            number = place[self.labels[k]] = place.get(self.labels[k], -1) + 1
            if (number % HELD_OUT == HELD_OUT - 1) == (split == "test"):
                chosen.append(k)
        chosen.sort()
        return Listing(
            [self.files[k] for k in chosen], [self.labels[k] for k in chosen], self.classes
        )


def list_folder(folder: Path, classes: tuple[str, ...] | None = None) -> Listing:
    """The pictures of a folder. ``classes``: those to expect; the folders' names if not given.

    Raises FileNotFoundError where there is no folder, ValueError where there are no pictures, and
    where pictures lie beside folders of classes.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = _pictures(folder.iterdir())
    if not below:
        if not loose:
            raise ValueError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
        return Listing(loose, [0] * len(loose), ())
    if loose:
        raise ValueError(
            f"{folder}: {loose[0].name} lies beside folders of classes; to which does it belong?"
        )
    names = classes or tuple(p.name for p in below)
    for place in below:
        if place.name not in names:
            raise ValueError(f"{place} is no class of the training images: {', '.join(names)}")
    files, labels = list[Path](), list[int]()
    for number, name in enumerate(names):
        found = _pictures((folder / name).rglob("*")) if (folder / name).is_dir() else []
        files += found
        labels += [number] * len(found)
    if not files:
        raise ValueError(f"{folder} holds folders, but not one picture in them")
    return Listing(files, labels, names)


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        p
        for p in paths
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    )


def listing_of(folder: Path, split: Split) -> Listing:
    """The pictures of a split of a folder."""
    if not ((folder / "train").is_dir() and (folder / "test").is_dir()):
        listing = list_folder(folder)
        if listing.classes in (("train",), ("test",)):
            raise ValueError(
                f"{folder} holds {listing.classes[0]} and nothing else: name that folder itself, and one"
                " picture in ten is kept for testing, or put both train and test there"
            )
        return listing.part(split)
    train = list_folder(folder / "train")
    if split == "train":
        return train
    test = list_folder(folder / "test", train.classes)
    if test.classes != train.classes:
        raise ValueError(
            f"{folder}: of train and test, one has folders of classes, and one has not"
        )
    return test


def settled(listing: Listing, frame: Frame, folder: Path) -> tuple[tuple[int, int], int]:
    """Size and channels of the arrays: those asked for, or those that all pictures have.

    Raises ValueError where the sizes differ and none is asked for.
    """
    size, channels = frame.size, frame.channels
    if size is not None and channels is not None:
        return size, channels
    seen = [_glance_or_none(file) for file in listing.files]
    whole = [found for found in seen if found is not None]
    if not whole:
        raise ValueError(
            f"{folder}: not one of {len(seen)} pictures can be read, {listing.files[0]} first"
        )
    sizes = {found[1] for found in whole}
    if size is None and len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:4])
        raise ValueError(
            f"the pictures of {folder} are of {len(sizes)} sizes ({some}, ...):"
            " say which to bring them to, such as --data.size 32"
        )
    grey = all(mode in GREY for mode, _ in whole)
    return size or sizes.pop(), channels or (1 if grey else 3)


def _glance_or_none(file: Path) -> tuple[str, tuple[int, int]] | None:
    try:
        return glance(file)
    except ValueError:
        return None


def folder_of_pictures(path: Path, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The pictures under ``path``, decoded once into a cache that is mapped into memory.

    Raises ValueError naming the first broken picture, unless those are to be skipped.
    """
    listing = listing_of(path, split)
    if not listing.files:
        raise ValueError(
            f"{path}: no picture is left for testing, which takes one of every {HELD_OUT} of a class"
        )
    # Those for testing become what those for training are.
    train = listing if split == "train" else listing_of(path, "train")
    size, channels = settled(train, frame, path)
    exact = Frame(size=size, fit=frame.fit, channels=channels, background=frame.background)
    images, kept = cached(listing.files, exact, channels, broken)
    if left_out := sorted(set(range(len(listing.files))) - set(kept)):
        first = listing.files[left_out[0]]
        tqdm.write(f"{len(left_out):,} broken pictures are left out, {first} first", sys.stderr)
    labels = torch.tensor(listing.labels, dtype=torch.int64)[kept]
    return ImageData(images, labels, listing.classes)


def npz(path: Path, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """``images`` and perhaps ``labels`` of an .npz; names of the classes in ``classes``, or their
    numbers. ``images_test`` and ``labels_test`` are the test split, or one image in ten is."""
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
        data = ImageData(found, torch.zeros(len(found), dtype=torch.int64), ())
        return data if own_test else _held_out(data, split)
    labels = arrays.get(f"labels{ending}")
    if labels is None:
        raise ValueError(f"{path} has labels, but no labels_test")
    if not {array.dtype.kind for array in (arrays["labels"], labels)} <= {"i", "u"}:
        raise ValueError(f"{path}: labels are whole numbers, not {labels.dtype}")
    count = int(arrays["labels"].max()) + 1 if arrays["labels"].size else 0
    names = tuple(map(str, arrays.get("classes", range(count))))
    data = ImageData(found, check_labels(labels.tolist(), names), names)
    return data if own_test else _held_out(data, split)


def idx_files(path: Path, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """An IDX file of images, and, where its name has a twin with ``labels-idx1`` for ``images-idx3``,
    their labels; one image in ten is the test split."""
    images = idx.read(path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"{path} holds no grey images, but {images.dtype} {images.shape}")
    twin = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    pixels = torch.from_numpy(images)[:, None]
    if twin == path or not twin.is_file():
        return _held_out(ImageData(pixels, torch.zeros(len(pixels), dtype=torch.int64), ()), split)
    labels = torch.from_numpy(idx.read(twin)).long()
    classes = tuple(str(k) for k in range(int(labels.max()) + 1))
    return _held_out(ImageData(pixels, labels, classes), split)


def _held_out(data: ImageData, split: Split) -> ImageData:
    listing = Listing([Path(str(k)) for k in range(len(data))], data.labels.tolist(), data.classes)
    rows = torch.tensor([int(str(file)) for file in listing.part(split).files], dtype=torch.int64)
    return ImageData(data.images[rows], data.labels[rows], data.classes)


KINDS: dict[str, Callable[[Path, Split, Frame, Broken], ImageData]] = {
    "folder": folder_of_pictures,
    "npz": npz,
    "idx": idx_files,
}
