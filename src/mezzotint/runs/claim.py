"""A run's folder belongs to one process at a time, or nobody could say what is in it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..utils.classes import file_names

LOCK = ".lock"


def check_new(folder: Path) -> None:
    """Refuse a folder that exists: runs are never overwritten."""
    if folder.exists():
        raise RecipeError(
            f"{folder} exists, and a run is never overwritten:"
            f" continue it with --resume {folder}, or choose another --out"
        )


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
        if not any(path.name != LOCK for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


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

    Where the file system has no locks, there is none.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RecipeError(
            f"{folder} is in use: another process trains there now; wait for it, or stop it"
        ) from None
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
