"""A run's folder belongs to one process at a time, or nobody could say what is in it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..utils.classes import file_names
from ..utils.output import output_folder


def check_new(folder: Path) -> None:
    """Refuse a folder that exists, since runs are never overwritten, or that cannot be made."""
    if folder.exists():
        raise RecipeError(
            f"{folder} exists, and a run is never overwritten:"
            f" continue it with --resume {folder}, or choose another --out"
        )
    try:
        output_folder(folder)
    except ValueError as error:
        raise RecipeError(str(error)) from None


@contextmanager
def new_run(recipe: Recipe, out: Path | None) -> Iterator[Path]:
    """The folder of a new run, which is made here and locked within the block.

    If nothing was written to it, it is gone after the block.

    Args:
        recipe: which names it.
        out: the folder; one under runs/ that nothing has, if not given.

    Raises:
        RecipeError: if ``out`` exists.
    """
    folder = _make(recipe) if out is None else out
    if out is not None:
        try:
            out.mkdir(parents=True)
        except FileExistsError:
            check_new(out)
            raise
    try:
        with _locked(folder):
            yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def _make(recipe: Recipe) -> Path:
    """A folder that nothing else has, named after the recipe and the time."""
    name = f"{file_names([recipe.name])[0]}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while True:
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


@contextmanager
def resumed_run(folder: Path) -> Iterator[Path]:
    """The folder of a run that goes on, locked within the block.

    Raises:
        RecipeError: if another process has it.
    """
    with _locked(folder):
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when the process dies, however that happens.

    Where the file system, or Windows, has no locks for folders, there is none.
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
