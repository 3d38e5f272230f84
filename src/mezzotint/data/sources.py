"""Sources of the bytes of pictures: files, files in an archive, or other objects, such as table rows."""

import errno
import hashlib
import lzma
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, runtime_checkable

from ..utils.cache import cache_entry
from ..utils.console import in_a_line
from ..utils.files import locked, whole_folder
from ..utils.progress import progress

BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError),
    *(struct.error, IndexError, UnicodeError, MemoryError),
)
"""What zipfile raises for files that are cut, broken, encrypted, compressed by an unknown method, or larger
than the memory, as they claim."""


@runtime_checkable
class Stored(Protocol):
    """A picture that is not a file. ``str`` names it in messages."""

    @property
    def identity(self) -> str:
        """A text that differs if the content differs."""
        ...

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """A stream of the bytes of the picture."""
        ...


Source = Path | Stored


def identity(source: Source) -> str:
    """A text that differs if the content differs; for a file: path, length and modification time."""
    if not isinstance(source, Path):
        return source.identity
    status = source.stat()
    return f"{source.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"


def unpacked(archive: Path) -> Path:
    """A folder in the cache with the files of a .zip, which is unpacked once.

    Raises:
        ValueError: naming the archive, if it is broken. No files remain in the cache then.
    """
    name = hashlib.sha256(identity(archive).encode(errors="surrogateescape")).hexdigest()[:24]
    folder = cache_entry("unpacked", name)
    if folder.is_dir():
        return folder
    # If another run is unpacking it, this one waits, and then has nothing to do.
    with locked(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        try:
            with zipfile.ZipFile(archive) as opened, whole_folder(folder) as temporary:
                members = [_portable(member) for member in opened.infolist()]
                members = [m for m in members if not m.filename.startswith("__MACOSX/")]
                _check_members(members, temporary, archive)
                for member in progress(members, len(members), f"unpacking {archive.name}", "file"):
                    opened.extract(member, temporary)
        except BROKEN_ZIP as error:
            raise ValueError(
                f"{archive} is no whole .zip that can be read: {in_a_line(error)}"
            ) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # that of a place before the file's beginning
                raise
            raise ValueError(f"{archive} is no whole .zip that can be read: {error}") from error
    return folder


def _portable(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A member with slashes between folders and without a drive; some programs write other names."""
    name = member.filename.replace("\\", "/")
    member.filename = re.sub(r"^[A-Za-z]:/*", "", name)
    return member


def _check_members(members: Sequence[zipfile.ZipInfo], folder: Path, archive: Path) -> None:
    """Refuse paths that lead out of the archive, and archives that are too large for the disk."""
    for member in members:
        if ".." in member.filename.split("/"):
            raise ValueError(f"{archive} is not unpacked: its {member.filename!r} leads out of it")
    size = sum(member.file_size for member in members)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"{archive} unpacks to {size / 1e6:,.0f} MB, and {folder} has room for {free / 1e6:,.0f} MB"
        )
