"""Where results go: checked before anything is computed, so that no work is lost to a wrong name."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .console import printable


def output_file(path: Path, endings: Sequence[str], size: int = 0) -> Path:
    """A file to write.

    Args:
        path: of the file; ``~`` is the user's home.
        endings: those of the formats that can be written, such as ".png".
        size: bytes that it takes, about.

    Returns:
        The path, with home in the place of ``~``.

    Raises:
        ValueError: if the ending is another, or the file cannot be written there.
    """
    path = path.expanduser()
    if path.suffix.lower() not in endings:
        raise ValueError(f"out = {_name(path)}: its ending must be {' or '.join(endings)}")
    _check(path, [path], size)
    return path


def output_folder(folder: Path, names: Sequence[str] = (), size: int = 0) -> Path:
    """A folder to write to, which need not be there yet.

    Args:
        folder: its path; ``~`` is the user's home.
        names: of the files that will be written there.
        size: bytes that these take, about.

    Returns:
        The path, with home in the place of ``~``.

    Raises:
        ValueError: if it cannot be made, or written to, or has no room.
    """
    folder = folder.expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out = {_name(folder)} is no folder")
    _check(folder, [folder / name for name in names] or [folder / "x"], size)
    return folder


def replaced_folder(folder: Path, names: Sequence[str] = (), size: int = 0) -> Path:
    """A folder that is written as a whole: a new one, or one that takes the place of what is there.

    Args:
        folder: its path; ``~`` is the user's home.
        names: of the files that will be written there.
        size: bytes that these take, about.

    Returns:
        The path, with home in the place of ``~``.

    Raises:
        ValueError: if it cannot be made or replaced, or has no room.
    """
    folder = output_folder(folder, names, size)
    whole = folder.resolve()
    here = Path.cwd()
    if whole in (here, *here.parents):
        raise ValueError(
            f"out = {_name(folder)} is the folder that you are in, or around it: name another one"
        )
    if whole.is_mount():
        raise ValueError(
            f"out = {_name(folder)} is where a disk is mounted, and cannot be replaced: name a folder in it"
        )
    _check_place(folder, whole.parent)
    return folder


def free_space(path: Path) -> tuple[Path, int]:
    """The room on the disk where a file or folder is, or is to be made.

    Args:
        path: of it.

    Returns:
        the nearest of the folders above that is there, and its free bytes.
    """
    place = path.absolute()
    while not os.path.lexists(place):
        place = place.parent
    return place, shutil.disk_usage(place).free


def _check(out: Path, files: Sequence[Path], size: int) -> None:
    """Refuse ``out`` where one of its files could not be written."""
    for file in files:
        if file.is_dir():
            raise ValueError(f"out = {_name(out)}: {_name(file)} is a folder, not a file to write")
    try:
        files[0].exists()  # raises if the name is too long
    except OSError as error:
        raise ValueError(f"out = {_name(out)}: {error.strerror}") from None
    place = _check_place(out, files[0].absolute().parent)
    free = free_space(place)[1]
    if free < size:
        raise ValueError(
            f"out = {_name(out)} needs about {size / 1e6:,.1f} MB, and {_name(place)} has room for"
            f" {free / 1e6:,.1f} MB"
        )


def _check_place(out: Path, place: Path) -> Path:
    """The first of ``place`` and the folders above it that is there; ``out`` is refused where it is none."""
    try:
        while not os.path.lexists(place):
            place = place.parent
    except OSError as error:
        raise ValueError(f"out = {_name(out)}: {error.strerror}") from None
    if not place.is_dir():
        raise ValueError(f"out = {_name(out)} cannot be made: {_name(place)} is no folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(
            f"out = {_name(out)} cannot be written: {_name(place)}: {error.strerror}"
        ) from None
    return place


def _name(path: Path) -> str:
    return printable(str(path))
