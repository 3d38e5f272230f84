"""Where what is made once is kept: the user's cache folder."""

import errno
import functools
import os
import tempfile
from pathlib import Path

import platformdirs

from .console import warn

CACHE = "MEZZOTINT_CACHE"
"""The environment variable that names the cache folder."""


def cache_folder() -> Path:
    """The user's cache folder of this package.

    It is ``MEZZOTINT_CACHE`` if that is set, and otherwise follows the convention of the platform.

    Raises:
        ValueError: if ``MEZZOTINT_CACHE`` is not an absolute path.
    """
    if value := os.environ.get(CACHE):
        folder = Path(value).expanduser()
        if not folder.is_absolute():
            raise ValueError(f"{CACHE} = {value!r}: it must be an absolute path")
        return folder
    try:
        folder = Path(platformdirs.user_cache_dir("mezzotint", appauthor=False))
    except RuntimeError:  # no home
        _say_temporary("there is no home folder")
        return temporary_cache()
    return folder


def temporary_cache() -> Path:
    """A private cache folder among the temporary files, which the system may delete."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"mezzotint-{owner}"


def cache_entry(kind: str, name: str) -> Path:
    """The path of an entry of the cache, which need not exist.

    An existing entry is used, whoever made it. If the cache folder cannot be written, a new entry is placed
    in :func:`temporary_cache`, with one warning.

    Args:
        kind: a folder in the cache, such as "pictures".
        name: of the entry.

    Returns:
        Its path.

    Raises:
        ValueError: if the temporary cache belongs to another user, or ``MEZZOTINT_CACHE`` is not an absolute
            path.
    """
    folder = cache_folder() / kind
    if (folder / name).exists() or _may_write(folder):
        return folder / name
    _say_temporary(f"{cache_folder()} cannot be written")
    folder = temporary_cache() / kind
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.parent  # anyone may have made something of that name before
    if place.is_symlink() or (hasattr(os, "getuid") and place.stat().st_uid != os.getuid()):
        raise ValueError(f"{place} is not yours: set {CACHE} to a folder that is")
    place.chmod(0o700)
    return folder / name


def _may_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself if it does not exist."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False


@functools.cache
def _say_temporary(reason: str) -> None:
    place = temporary_cache()
    warn(f"{reason}: {place} is the cache; set {CACHE} to a folder of your own")
