"""Pictures decoded once, into an array on disk that is mapped into memory and may be larger than it.

The cache's name is a hash of the identity of every picture, the frame, and the version of the decoder, so
another picture or size gives another cache. An interrupted build continues; a complete one is renamed. The
mapping is private: changes in memory do not reach the file.

Its checksum is compared at every opening, whatever its size: that takes about as long as asking the system
for the age of every picture, which opening does anyway.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import PIL
import torch
from filelock import FileLock, Timeout
from jaxtyping import UInt8
from numpy.lib.format import open_memmap
from torch import Tensor

from ..utils.cache import cache_entry
from ..utils.files import locked, naming, read_bytes, whole_file
from ..utils.json_text import checksum, parse_json
from ..utils.progress import progress
from .decode import Broken, read_picture
from .sources import Source, identity
from .transforms import Frame

EVERY = 2000
"""Pictures decoded between two writes of the progress file."""

FORMAT = 3
"""Version of the decoder and of the layout of caches. Raise it when either changes."""

DAYS = 60
"""A cache that was not used for so many days is deleted when another one is built."""


@dataclass
class Built:
    """The progress of a build.

    Args:
        done: how many files have been read.
        broken: the numbers of those that are broken.
        checksum: CRC-32 of the file of a complete array; None during a build.
    """

    done: int = 0
    broken: list[int] = field(default_factory=list)
    checksum: int | None = None

    @property
    def kept(self) -> list[int]:
        """The files whose pictures are in the array, in its order."""
        return sorted(set(range(self.done)) - set(self.broken))


def cached(
    files: Sequence[Source], frame: Frame, channels: int, broken: Broken
) -> tuple[UInt8[Tensor, "n channels height width"], list[int]]:
    """Decode pictures once, and map the array into memory.

    A picture that cannot be read, as without permission, is an error and not recorded as broken.

    Args:
        files: the pictures.
        frame: how they are cut and resized; its size must be given.
        channels: 1 for grey, 3 for colour.
        broken: whether broken pictures are an error ("refuse") or left out ("skip").

    Returns:
        The images, uint8 at the frame's size, and for each the number of its file.

    Raises:
        OSError: if a picture cannot be read.
        ValueError: naming the first broken picture, unless ``broken`` is "skip"; or a damaged file of the
            cache.
    """
    assert frame.size is not None
    folder = cache_entry("pictures", _key(files, frame))
    array = folder / "images.npy"
    with naming(array):
        return _cached(files, frame, channels, broken, array)


def _cached(
    files: Sequence[Source], frame: Frame, channels: int, broken: Broken, array: Path
) -> tuple[UInt8[Tensor, "n channels height width"], list[int]]:
    """What :func:`cached` returns, from this file or built into it."""
    folder = array.parent
    if not array.is_file():
        assert frame.size is not None
        shape = (len(files), channels, *frame.size)
        folder.mkdir(parents=True, exist_ok=True)
        # If another run is building it, this one waits, and then has nothing to do.
        with locked(folder.with_suffix(".lock")) as alone:
            if not array.is_file():
                _build(files, frame, shape, broken, folder, "" if alone else secrets.token_hex(6))
    built = _read_note(folder / "built.json")
    if built.checksum != _checksum(array):
        raise _damaged(array)
    images = np.load(array, mmap_mode="c")
    with suppress(OSError):  # another user's cache is perhaps read-only
        os.utime(folder)
    if broken == "refuse" and built.broken:
        read_picture(files[built.broken[0]], channels, frame)  # says what is wrong
    return torch.from_numpy(images[: len(built.kept)]), built.kept


def _key(files: Sequence[Source], frame: Frame) -> str:
    decoder = {"format": FORMAT, "pillow": PIL.__version__, "frame": asdict(frame)}
    digest = hashlib.sha256(json.dumps(decoder).encode())
    for file in files:
        digest.update(f"{identity(file)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def _build(
    files: Sequence[Source],
    frame: Frame,
    shape: tuple[int, ...],
    broken: Broken,
    folder: Path,
    builder: str,
) -> None:
    """Decode all pictures, continuing an earlier, interrupted build.

    ``builder`` is a suffix of file names. It is unique to this process if the file system has no locks.
    """
    note = folder / f"built{builder}.json"
    partial = folder / f"partial{builder}.npy"
    built = Built()
    if note.is_file() and partial.is_file():
        built = _read_note(note)
        images = _partial_array(partial, shape)
    else:
        images = _new_array(partial, shape)
    remaining = range(built.done, len(files))
    for k in progress(remaining, len(remaining), "decoding", "picture"):
        try:
            images[k - len(built.broken)] = read_picture(files[k], shape[1], frame)
        except ValueError:
            if broken == "refuse":
                if not note.is_file():  # without that picture, the cache has another name
                    partial.unlink()
                raise
            built.broken.append(k)
        built.done = k + 1
        if built.done % EVERY == 0:
            _take_note(images, built, note)
    if len(built.broken) == len(files):
        raise ValueError(f"not one of {len(files)} pictures can be read, {files[0]} first")
    images.flush()
    built.checksum = _checksum(partial)
    _take_note(images, built, note)
    note.replace(folder / "built.json")
    partial.replace(folder / "images.npy")
    _prune(folder.parent, keep=folder)


def _prune(caches: Path, keep: Path) -> None:
    """Delete caches that were not used for ``DAYS``. Processes that have one mapped can still read it."""
    oldest = time.time() - DAYS * 86_400
    for folder in caches.iterdir():
        with suppress(OSError, Timeout):
            if folder == keep or not folder.is_dir() or folder.stat().st_mtime > oldest:
                continue
            with FileLock(folder.with_suffix(".lock"), timeout=0):
                shutil.rmtree(folder)


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """An array in a new file, with its disk space allocated.

    Without that, a full disk would kill the process when it writes to the mapping.

    Raises:
        ValueError: if the disk has too little space. The file is then removed.
    """
    images = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if not hasattr(os, "posix_fallocate"):
        return images
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # not supported here
            return images
        path.unlink()
        room = images.nbytes / 1e6
        raise ValueError(
            f"{path.parent} needs {room:,.0f} MB for decoded pictures: {error}"
        ) from error
    return images


def _partial_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """The array of an interrupted build.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    try:
        images = open_memmap(path, mode="r+")
    except ValueError as error:
        raise _damaged(path) from error
    if images.shape != shape or images.dtype != np.uint8:
        raise _damaged(path)
    return images


def _take_note(images: np.memmap, built: Built, note: Path) -> None:
    images.flush()
    values = asdict(built)
    with whole_file(note) as temporary:
        text = json.dumps({"built": values, "crc32": checksum(values)})
        temporary.write_text(text, encoding="utf-8")


def _read_note(note: Path) -> Built:
    """What :func:`_take_note` wrote.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    try:
        content = parse_json(read_bytes(note))
        if content["crc32"] != checksum(content["built"]):
            raise _damaged(note)
        return Built(**content["built"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(note) from error


def _damaged(file: Path) -> ValueError:
    return ValueError(
        f"{file} is damaged: delete the folder {file.parent}, and the pictures are decoded again"
    )


def _checksum(path: Path) -> int:
    """The CRC-32 of a file's content."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc
