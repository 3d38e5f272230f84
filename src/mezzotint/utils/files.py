"""Files and folders that are written whole or not at all."""

import errno
import functools
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock

from .console import warn

OLD = ".old-"
"""Prefix of the name of a folder while it is being replaced."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Errors that are never ignored, because data would be lost."""

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


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush the content of a file or folder to the disk.

    Errors of file systems without this call, such as some in networks, are ignored; those of a full or broken
    disk are not.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in _FULL:
            raise


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock at ``path`` in the block, while other processes wait; it ends with the process.

    Yields:
        Whether there is a lock. Some file systems have none, and then nobody waits.
    """
    lock = FileLock(path)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _temporary(path: Path) -> Path:
    """An unused path in the same folder, with the same suffix."""
    return path.with_name(f".tmp-{secrets.token_hex(6)}{path.suffix}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` if the block ends well.

    After an error, an older file at ``path`` is unchanged. Permissions of the file follow the umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes ``path`` if the block ends well.

    An older folder at ``path`` is replaced only then. If the process is killed between the two renamings,
    :func:`restore_interrupted` restores it. Permissions of the folder follow the umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    restore_interrupted(path.parent)
    temporary = _temporary(path)
    temporary.mkdir()
    old = path.with_name(OLD + path.name)
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            if not entry.is_symlink():
                _sync(entry)
        _sync(temporary)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
        _sync(path.parent)
    finally:
        restore_interrupted(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)


def restore_interrupted(folder: Path) -> None:
    """Restore the folders in ``folder`` whose replacement was interrupted by a kill."""
    for old in folder.glob(f"{OLD}*"):
        path = old.with_name(old.name.removeprefix(OLD))
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
