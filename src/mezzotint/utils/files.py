"""Files and folders that are written whole or not at all."""

import errno
import functools
import hashlib
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OLD = ".old-"
"""Prefix of the name of a folder while it is being replaced."""

TEMPORARY = ".tmp-"
"""Prefix of the name of a file or folder while it is being written or deleted."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Errors that are never ignored, because data would be lost."""


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: naming the file, if it cannot be read.
    """
    with naming(path):
        return path.read_bytes()


def read_text(path: Path) -> str:
    """The content of a file of UTF-8 text.

    Raises:
        OSError: naming the file, if it cannot be read.
        ValueError: naming the file, if it is no such text.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sizes(folder: Path) -> dict[Path, int]:
    """The size of each file in a folder and below it, in bytes, while others may write and delete there.

    What is deleted meanwhile is left out, as is all of a folder that does not exist.
    """
    by_path = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                by_path[path] = path.stat().st_size
    return by_path


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
    from filelock import FileLock  # programs that lock nothing start faster without

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


@functools.cache
def _machine() -> str:
    """A part of the names of temporary files: locks say nothing of the processes of other machines."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _temporary(path: Path) -> Path:
    """An unused path in the same folder, with the same suffix."""
    return path.with_name(f"{TEMPORARY}{_machine()}-{secrets.token_hex(6)}{path.suffix}")


def _lock(path: Path, *, wait: bool) -> int | None:
    """Lock a file or folder; the lock ends with the handle, or with the process.

    Args:
        path: of it.
        wait: whether to wait for another process that has locked it.

    Returns:
        The handle; None if another process has the lock, or there are no locks here.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    handle = None
    try:
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


@contextmanager
def _written(path: Path, *, folder: bool) -> Iterator[Path]:
    """A temporary file or folder beside ``path``, locked within the block and removed after it.

    An error that names the temporary path, or none, is raised again with the name of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    while True:
        temporary = _temporary(path)
        with naming(path, temporary):
            if folder:
                temporary.mkdir()
            else:
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        handle = _lock(temporary, wait=True)
        if os.path.lexists(temporary):
            break
        # Before it was locked, another process took it for a leftover.
        if handle is not None:
            os.close(handle)
    try:
        with naming(path, temporary):
            yield temporary
    finally:
        _remove(temporary)
        if handle is not None:
            os.close(handle)


def _remove(path: Path) -> None:
    """Delete a temporary file or folder, if it is there and can be deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Within the block, errors of the system that name no file, or a temporary one, name ``path``."""
    try:
        yield
    except OSError as error:
        name = error.filename
        is_temporary = temporary is not None and str(name).startswith(str(temporary))
        if error.errno is None or not (name is None or is_temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_leftovers(folder: Path, *, claimed: bool = False) -> None:
    """Remove what killed processes left half-written or half-deleted in a folder.

    What cannot be removed stays.

    Args:
        folder: to look in.
        claimed: whether no other process writes there. Otherwise only leftovers of this machine are removed,
            of processes that do not run any more.
    """
    pattern = f"{TEMPORARY}*" if claimed else f"{TEMPORARY}{_machine()}-*"
    with suppress(OSError):
        for path in list(folder.glob(pattern)):
            handle = _lock(path, wait=False)
            if claimed or handle is not None:
                _remove(path)
            if handle is not None:
                os.close(handle)


def remove_folder(path: Path) -> None:
    """Delete a folder, which is whole or absent at any moment.

    Raises:
        OSError: if it cannot be renamed, which comes first.
    """
    doomed = _temporary(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` if the block ends well.

    After an error, an older file at ``path`` is unchanged. Permissions of the file follow the umask.
    What killed processes left in the folder is removed.
    """
    with _written(path, folder=False) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to work in, beside ``path``, removed after the block.

    What killed processes left beside it is removed, which is why no folder of the system's is taken.
    """
    with _written(path, folder=True) as temporary:
        yield temporary


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes ``path`` if the block ends well.

    An older folder at ``path`` is replaced only then. If the process is killed between the two renamings,
    :func:`restore_interrupted` restores it. Permissions of the folder follow the umask.
    What killed processes left beside it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    restore_interrupted(path.parent)
    old = path.with_name(OLD + path.name)
    with _written(path, folder=True) as temporary:
        try:
            yield temporary
            for entry in temporary.rglob("*"):
                if not entry.is_symlink():
                    _sync(entry)
            _sync(temporary)
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            if old.exists():
                remove_folder(old)
            _sync(path.parent)
        finally:
            restore_interrupted(path.parent)


def restore_interrupted(folder: Path) -> None:
    """Restore the folders in ``folder`` whose replacement was interrupted by a kill."""
    for old in folder.glob(f"{OLD}*"):
        path = old.with_name(old.name.removeprefix(OLD))
        if path.exists():
            remove_folder(old)
        else:
            old.rename(path)
