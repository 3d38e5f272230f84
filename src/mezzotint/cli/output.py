"""Where results go: checked before anything is computed, so that no work is lost to a wrong name."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..recipe.fields import RecipeError
from ..utils.console import printable


def output_file(path: Path, endings: Sequence[str], size: int = 0) -> Path:
    """A file to write.

    Args:
        path: of the file; ``~`` is the user's home.
        endings: those of the formats that can be written, such as ".png".
        size: bytes that it takes about.

    Returns:
        The path, with home in the place of ``~``.

    Raises:
        RecipeError: if the ending is another, or the file cannot be written there.
    """
    path = path.expanduser()
    name = printable(str(path))
    if path.suffix.lower() not in endings:
        raise RecipeError(f"out = {name}: its ending must be {' or '.join(endings)}")
    if path.is_dir():
        raise RecipeError(f"out = {name} is a folder: name a file")
    output_folder(path.parent, size)
    return path


def output_folder(folder: Path, size: int = 0) -> Path:
    """A folder to write to, which need not be there yet.

    Args:
        folder: its path; ``~`` is the user's home.
        size: bytes that will be written, about.

    Returns:
        The path, with home in the place of ``~``.

    Raises:
        RecipeError: if it cannot be made, or written to, or has no room.
    """
    folder = folder.expanduser()
    name = printable(str(folder))
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise RecipeError(f"out: {printable(str(place))} is no folder, so {name} cannot be made")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RecipeError(f"out: {printable(str(place))} may not be written to by you")
    free = shutil.disk_usage(place).free
    if free < size:
        raise RecipeError(
            f"out: {name} has room for {free / 1e6:,.0f} MB, and about {size / 1e6:,.0f} MB are needed"
        )
    return folder
