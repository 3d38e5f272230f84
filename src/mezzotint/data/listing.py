"""The pictures in a folder, and what is left out, with the reason."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..utils.classes import class_name, listed, spellings_of
from ..utils.console import printable
from .decode import SUFFIXES, is_picture
from .images import Split
from .left_out import DANGLING, HIDDEN, LOOP, NO_PICTURE, SPECIAL, UNREADABLE, LeftOut
from .sources import Source

SPLITS: dict[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval"), "val"),
}
"""Usual names of splits, in any case, and which split each is."""

FOREIGN = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
"""Folders that operating systems and archive programs add."""

HELD_OUT = 10
"""One picture in this many is for testing, if the data have no splits."""


@dataclass(frozen=True)
class Listing:
    """Pictures with labels.

    Args:
        pictures: their sources.
        labels: the number of each picture's class; all 0 if there are no classes.
        classes: names of the classes.
        notes: what is unusual about them, in words.
    """

    pictures: Sequence[Source]
    labels: list[int]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def part(self, split: Split, names: Sequence[str] | None = None) -> "Listing":
        """The pictures of a split, for data without splits.

        Args:
            split: "train" or "test".
            names: of the pictures, which decide, with the class names; their numbers if not given.

        Returns:
            The listing of that split.
        """
        test = held_out(
            [self.classes[label] if self.classes else "" for label in self.labels],
            names or [str(k) for k in range(len(self.pictures))],
        )
        rows = [k for k, is_test in enumerate(test) if is_test == (split == "test")]
        return Listing(
            [self.pictures[k] for k in rows],
            [self.labels[k] for k in rows],
            self.classes,
            self.notes,
        )


def held_out(classes: Sequence[str], names: Sequence[str]) -> list[bool]:
    """Choose items for testing, about one in ten, by a hash of class and name.

    If this would take every item of a class, they are all for training.

    Args:
        classes: the class name of each item.
        names: the name of each item.

    Returns:
        For each item, whether it is for testing.
    """
    test = []
    for class_, name in zip(classes, names, strict=True):
        text = f"{class_}\0{name}".encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(text, digest_size=8).digest()
        test.append(int.from_bytes(digest) % HELD_OUT == 0)
    train_classes = {class_ for class_, is_test in zip(classes, test, strict=True) if not is_test}
    return [
        is_test and class_ in train_classes for class_, is_test in zip(classes, test, strict=True)
    ]


def list_pictures(folder: Path) -> Listing:
    """All pictures of a folder, with or without folders of classes of any names.

    Raises:
        FileNotFoundError: if there is no folder.
        ValueError: if it has no pictures.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {printable(str(folder))}")
    _, listing = list_classes(folder, LeftOut())
    return listing


def list_classes(
    folder: Path, left_out: LeftOut, expected: tuple[str, ...] | None = None
) -> tuple[list[str], Listing]:
    """The pictures of a folder, with their names.

    Args:
        folder: with folders of classes, or with pictures.
        left_out: what is not taken is added here.
        expected: classes of the training split; any if not given.

    Returns:
        The names of the pictures, relative to their class folders, and the listing.

    Raises:
        ValueError: if there are no pictures to train on, or the class of one is not clear.
    """
    where = printable(str(folder))
    below = folders_in(folder, left_out)
    loose = loose_pictures(folder, left_out)
    if not (below or loose) and expected is not None:
        return [], Listing([], [], expected)
    if not below:
        if not loose:
            reasons = "; ".join(left_out.lines())
            raise ValueError(f"{where} holds no pictures{f': {reasons}' if reasons else ''}")
        if expected:
            raise ValueError(
                f"{where}: of train and test, one has folders of classes, and one has not"
            )
        names = [file.name for file in loose]
        return names, Listing(loose, [0] * len(loose), ())
    if loose:
        raise ValueError(
            f"{where}: {class_name(loose[0].name)} lies beside folders of classes; to which does it belong?"
        )
    if expected == ():
        raise ValueError(f"{where}: of train and test, one has folders of classes, and one has not")
    classes = _classes_of(below, left_out, where)
    if expected is not None:
        for name in classes:
            if name not in expected:
                raise ValueError(
                    f"{where}/{name} is no class of the training images: {listed(expected)}"
                )
        classes = expected
    names, listing = _pictures_of_classes(folder, below, classes, left_out)
    if not listing.pictures and expected is None:
        reasons = "; ".join(left_out.lines())
        raise ValueError(
            f"{where} holds folders, but not one picture in them{f': {reasons}' if reasons else ''}"
        )
    return names, listing


def _classes_of(folders: Sequence[Path], left_out: LeftOut, where: str) -> tuple[str, ...]:
    """The classes that folders are named after; folders whose names differ in spelling are one class."""
    spellings = spellings_of((place.name for place in folders), where)
    for name, texts in spellings.items():
        if len(texts) > 1:
            left_out.remarks.append(
                f"{' and '.join(map(ascii, texts))} are spellings of one name and make one class, {name}"
            )
    return tuple(spellings)


def _pictures_of_classes(
    folder: Path, below: Sequence[Path], classes: tuple[str, ...], left_out: LeftOut
) -> tuple[list[str], Listing]:
    """The pictures in folders of classes, in the order of the classes, with their names in these folders."""
    files: list[Path] = []
    labels: list[int] = []
    names: list[str] = []
    for place in sorted(below, key=lambda place: classes.index(class_name(place.name))):
        _check_no_splits(place)
        pictures = sorted(_walk(place, left_out, (folder.resolve(),)))
        files += pictures
        labels += [classes.index(class_name(place.name))] * len(pictures)
        names += [str(picture.relative_to(place)) for picture in pictures]
    return names, Listing(files, labels, classes)


def _check_no_splits(class_folder: Path) -> None:
    """Refuse folders of splits within a class: their pictures would be mixed."""
    below = folders_in(class_folder, LeftOut())
    splits = [place.name for place in below if place.name.casefold() in SPLITS]
    if len({SPLITS[name.casefold()] for name in splits}) > 1:
        raise ValueError(
            f"{printable(str(class_folder))} holds {printable(' and '.join(splits))}: put splits at the top,"
            " with the folders of classes in them, such as train/cat and test/cat"
        )


def folders_in(folder: Path, left_out: LeftOut) -> list[Path]:
    """The folders in a folder, without hidden ones and links that contain the folder itself.

    Args:
        folder: the folder.
        left_out: what is not taken is added here.

    Returns:
        Their paths, sorted.
    """
    places = []
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        if _is_hidden(path):
            left_out.add(HIDDEN, path)
        elif path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            left_out.add(LOOP, path)
        else:
            places.append(path)
    return places


def loose_pictures(folder: Path, left_out: LeftOut) -> list[Path]:
    """The pictures directly in a folder.

    Args:
        folder: the folder.
        left_out: what is not taken is added here.

    Returns:
        Their paths, sorted.
    """
    return [path for path in sorted(folder.iterdir()) if _is_taken(path, left_out)]


def _walk(folder: Path, left_out: LeftOut, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The pictures in a folder and all folders below; links are followed, but not in cycles."""
    above = (*above, folder.resolve())
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            if _is_taken(path, left_out):
                yield path
        elif _is_hidden(path):
            left_out.add(HIDDEN, path)
        elif path.is_symlink() and path.resolve() in above:
            left_out.add(LOOP, path)
        else:
            yield from _walk(path, left_out, above)


def _opens(path: Path) -> bool:
    """Whether a file can be opened: ``os.access`` may say no although it can."""
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.casefold() in FOREIGN


def _is_taken(path: Path, left_out: LeftOut) -> bool:
    """Whether a path is a picture to take; if it is neither that nor a folder, the reason is noted."""
    try:
        kind = path.stat().st_mode
    except OSError:  # a link to nothing, or a cycle of links
        left_out.add(HIDDEN if _is_hidden(path) else DANGLING, path)
        return False
    if stat.S_ISDIR(kind):
        return False
    reason = None
    if _is_hidden(path):
        reason = HIDDEN
    elif not stat.S_ISREG(kind):
        reason = SPECIAL
    elif not (os.access(path, os.R_OK) or _opens(path)):
        reason = UNREADABLE
    elif path.suffix.lower() not in SUFFIXES and not is_picture(path):
        reason = NO_PICTURE
    if reason is not None:
        left_out.add(reason, path)
    return reason is None
