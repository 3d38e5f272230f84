"""Folders of pictures of your own, or an archive of one.

A folder has one folder of pictures for each class, or pictures alone, which have no classes. Folders
``train`` and ``test`` at its top are the splits; otherwise one picture in ten, the same ones every
time, is kept for testing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..utils.console import warn
from .cache import cached
from .decode import GREY, SUFFIXES, Broken, glance
from .images import HELD_OUT, ImageData, Split, split_rows
from .sources import Source, unpacked
from .transforms import Frame


@dataclass(frozen=True)
class Listing:
    """Pictures in order, the number of each one's class, and the classes' names."""

    pictures: Sequence[Source]
    labels: list[int]
    classes: tuple[str, ...]

    def part(self, split: Split) -> "Listing":
        """Those that a split takes, where there are no splits."""
        rows = split_rows(self.labels, split)
        return Listing(
            [self.pictures[k] for k in rows], [self.labels[k] for k in rows], self.classes
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


def settled(listing: Listing, frame: Frame, where: str) -> tuple[tuple[int, int], int]:
    """Size and channels of the arrays: those asked for, or those that all pictures have.

    Raises ValueError where the sizes differ and none is asked for.
    """
    size, channels = frame.size, frame.channels
    if size is not None and channels is not None:
        return size, channels
    seen = [_glance_or_none(picture) for picture in listing.pictures]
    whole = [found for found in seen if found is not None]
    if not whole:
        raise ValueError(
            f"{where}: not one of {len(seen)} pictures can be read, {listing.pictures[0]} first"
        )
    sizes = {frame.cut(found[1]) for found in whole}
    if size is None and len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:4])
        raise ValueError(
            f"the pictures of {where} are of {len(sizes)} sizes ({some}, ...):"
            " say which to bring them to, such as --data.size 32"
        )
    grey = all(mode in GREY for mode, _ in whole)
    return size or sizes.pop(), channels or (1 if grey else 3)


def _glance_or_none(picture: Source) -> tuple[str, tuple[int, int]] | None:
    try:
        return glance(picture)
    except ValueError:
        return None


def decoded(
    listing: Listing, train: Listing, frame: Frame, broken: Broken, where: str
) -> ImageData:
    """The pictures of a listing, decoded once into a cache that is mapped into memory; size and channels
    are those of the ``train`` listing. ``where`` is for errors.

    Raises ValueError naming the first broken picture, unless those are to be skipped.
    """
    if not listing.pictures:
        raise ValueError(
            f"{where}: no picture is left for testing, which takes one of every {HELD_OUT} of a class"
        )
    size, channels = settled(train, frame, where)
    exact = replace(frame, size=size, channels=channels)
    images, kept = cached(listing.pictures, exact, channels, broken)
    if left_out := sorted(set(range(len(listing.pictures))) - set(kept)):
        first = listing.pictures[left_out[0]]
        warn(f"{len(left_out):,} broken pictures are left out, {first} first")
    labels = torch.tensor(listing.labels, dtype=torch.int64)[kept]
    return ImageData(images, labels, listing.classes)


def from_folder(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The pictures under ``where``, a folder or a .zip of one."""
    path = Path(where).expanduser()
    place = place_of(path)
    listing, train = listing_of(place, split), listing_of(place, "train")
    return decoded(listing, train, frame, broken, str(path))


def place_of(path: Path) -> Path:
    """The folder of pictures that ``path`` is, or that its archive holds, unpacked once: in a folder of its
    own, as most programs pack it, or bare."""
    if not path.is_file():
        return path
    folder = unpacked(path)
    below = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return below[0] if len(below) == 1 and not _pictures(folder.iterdir()) else folder


CELEBA_CROP = 140
CELEBA_TRAIN, CELEBA_TEST = range(1, 162_771), range(182_638, 202_600)


def from_celeba(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """CelebA's aligned faces (Liu et al. 2015), from the folder or the archive ``img_align_celeba``:
    the square of 140 pixels in the middle, as in the code of Song et al. (2021, "Score-Based Generative
    Modeling through SDEs"), by the official splits, of which that for validation is left aside. No classes.

    Raises FileNotFoundError, naming the first face that is missing.
    """
    path = Path(where).expanduser()
    place = place_of(path)
    if not place.is_dir():
        raise FileNotFoundError(f"there is neither a folder nor a .zip {path}")
    numbers = CELEBA_TRAIN if split == "train" else CELEBA_TEST
    faces = [place / f"{number:06}.jpg" for number in numbers]
    if missing := next((face for face in faces if not face.is_file()), None):
        raise FileNotFoundError(f"{path} is not the whole of CelebA: {missing.name} is missing")
    listing = Listing(faces, [0] * len(faces), ())
    framed = replace(frame, crop=frame.crop or CELEBA_CROP, channels=frame.channels or 3)
    return decoded(listing, listing, framed, broken, str(path))
