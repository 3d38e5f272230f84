"""Locks, so that only one process at a time writes to the folder of a run."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..utils.classes import file_names
from ..utils.files import TEMPORARY
from ..utils.output import output_folder

RUNS = Path("runs")
"""Where runs go whose folder is not named."""


def check_new(folder: Path | None) -> None:
    """Refuse a folder that holds something, because runs are never overwritten, or that cannot be made.

    Args:
        folder: of a new run; None for one in ``RUNS``.

    Raises:
        RecipeError: if the folder holds something, is a file, or cannot be made.
    """
    if folder is not None and os.path.lexists(folder) and not _is_empty(folder):
        raise RecipeError(
            f"{folder} exists, and a run is never overwritten:"
            f" continue it with --resume {folder}, or choose another --out"
        )
    try:
        output_folder(folder or RUNS)
    except ValueError as error:
        raise RecipeError(str(error)) from None


@contextmanager
def new_run(recipe: Recipe, out: Path | None) -> Iterator[Path]:
    """Make the folder of a new run, and lock it in the block.

    A folder that is empty at the end is removed.

    Args:
        recipe: its name is part of the name of the folder.
        out: the folder; a new one under runs/ if not given.

    Yields:
        The folder.

    Raises:
        RecipeError: if ``out`` holds something, or another process uses it.
    """
    folder = _make(recipe) if out is None else out
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder):
            check_new(folder)  # perhaps another process has made a run of it just now
            yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def _is_empty(folder: Path) -> bool:
    """Whether it is a folder with nothing in it but what a killed process was writing."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    return all(path.name.startswith(TEMPORARY) for path in folder.iterdir())


def _make(recipe: Recipe) -> Path:
    """Make a new folder, named after the recipe and the time."""
    name = f"{file_names([recipe.name])[0]}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while True:
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


@contextmanager
def resumed_run(folder: Path) -> Iterator[Path]:
    """Lock the folder of a run to resume in the block.

    Yields:
        The folder.

    Raises:
        RecipeError: if another process uses it.
    """
    with _locked(folder):
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when the process ends in any way.

    Without effect on Windows, and on file systems without locks for folders.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"{folder} is in use: another process trains there now; wait for it, or stop it"
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
