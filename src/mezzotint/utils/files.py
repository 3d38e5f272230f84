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
"""How the name of a folder begins while another takes its place."""


CACHE = "MEZZOTINT_CACHE"
"""The environment variable that names the cache folder."""


def cache_folder() -> Path:
    """The user's cache folder of this package, by the convention of the platform, or as ``MEZZOTINT_CACHE``
    says.

    Raises:
        ValueError: if ``MEZZOTINT_CACHE`` is no absolute path.
    """
    if named := os.environ.get(CACHE):
        folder = Path(named).expanduser()
        if not folder.is_absolute():
            raise ValueError(f"{CACHE} = {named!r}: it must be an absolute path")
        return folder
    try:
        folder = Path(platformdirs.user_cache_dir("mezzotint", appauthor=False))
    except RuntimeError:  # no home
        _say_temporary("there is no home folder")
        return temporary_cache()
    return folder


def temporary_cache() -> Path:
    """A cache folder of this user alone, for where there is no better one; it may be gone tomorrow."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"mezzotint-{owner}"


def cache_entry(kind: str, name: str) -> Path:
    """Where an entry of the cache is, or is to be made.

    An entry that is there is taken as it is, whoever made it. A new one goes where this process may write: if
    the cache folder is not such a place, to :func:`temporary_cache`, which is said once.

    Args:
        kind: a folder in the cache, such as "pictures".
        name: of the entry.
    """
    folder = cache_folder() / kind
    if (folder / name).exists() or _may_write(folder):
        return folder / name
    _say_temporary(f"{cache_folder()} cannot be written")
    folder = temporary_cache() / kind
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder.parent.stat().st_uid
    if hasattr(os, "getuid") and owner != os.getuid():
        raise ValueError(f"{folder.parent} is not yours: set {CACHE} to a folder that is")
    folder.parent.chmod(0o700)
    return folder / name


def _may_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it is not there yet."""
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


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""What a call for comfort may not be forgiven for: then data would be lost."""


def _sync(path: Path) -> None:
    """Bring a file's or a folder's content to the disk itself.

    A file system that cannot do that, as some in networks, is passed over; a full or broken disk is not.
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
    """A lock that lies at ``path`` and dies with its process; others wait. Tells whether there is one: some
    file systems have none, and then all go on."""
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
    """A name beside ``path`` that nothing has, with the same ending."""
    return path.with_name(f".tmp-{secrets.token_hex(6)}{path.suffix}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` if the block ends well.

    Whatever goes wrong, a file that was at ``path`` stays as it was. The rights of the file follow the umask.
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

    An older folder at ``path`` gives way only then; one that a kill has caught between two names is put back
    by :func:`restore_interrupted`. The rights of the folder follow the umask.
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
    """Give folders in ``folder`` their names back that were being replaced when a process was killed."""
    for old in folder.glob(f"{OLD}*"):
        path = old.with_name(old.name.removeprefix(OLD))
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
