"""Files and folders that are written whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLD = ".old-"
"""How the name of a folder begins while another takes its place."""


def cache_folder() -> Path:
    """The user's cache folder of this package."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mezzotint"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Bring a file's or a folder's content to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
