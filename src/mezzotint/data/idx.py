"""The IDX format of MNIST and similar data sets (LeCun et al., http://yann.lecun.com/exdb/mnist/).

Two zero bytes, one for the element type, one for the number of dimensions, each dimension as a
big-endian uint32, then the elements, big-endian, last dimension fastest.
"""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils import files

ELEMENTS: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}

PART = 2**20
"""Bytes that are decompressed at once."""


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed if it is gzip. Its name does not matter.

    Raises:
        OSError: if the file cannot be read.
        ValueError: naming the file, if a gzip stream is cut or damaged.
    """
    content = files.read_bytes(path)
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return _promised(stream)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is a broken gzip file ({error}); fetch it again") from error


def _promised(stream: gzip.GzipFile) -> bytes:
    """The content of a stream, at most a little more than its IDX header promises.

    A megabyte of gzip may hold a gigabyte, which is not read unless it can belong to the array.
    """
    content = stream.read(PART)
    parts = [content]
    left = _size(content) + 1 - len(content)
    while left > 0 and (part := stream.read(min(left, PART))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _size(content: bytes) -> int:
    """Bytes of a whole IDX file, from its header; 0 if it has none."""
    start = 4 + 4 * content[3] if len(content) >= 4 else 0
    if content[:2] != b"\0\0" or not 0 < start <= len(content) or content[2] not in ELEMENTS:
        return 0
    shape: list[int] = np.frombuffer(content, ">u4", content[3], 4).tolist()
    return start + math.prod(shape) * ELEMENTS[content[2]].itemsize


def parse(content: bytes, name: str) -> NDArray[Any]:
    """The array in the bytes of an IDX file.

    Args:
        content: the bytes, decompressed.
        name: of the file, for errors.

    Returns:
        The array, in native byte order.

    Raises:
        ValueError: if the bytes are not an IDX file, have an unknown element type, or are cut.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{name} is not an IDX file: it does not begin with two zero bytes")
    code = content[2]
    dimensions = content[3]
    if code not in ELEMENTS:
        known = ", ".join(f"0x{c:02X}" for c in ELEMENTS)
        raise ValueError(f"{name} has IDX element type 0x{code:02X}; known are {known}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{name} is cut: it ends within its header")
    shape = np.frombuffer(content, ">u4", dimensions, 4).tolist()
    element = ELEMENTS[code]
    expected = _size(content)
    if len(content) != expected:
        raise ValueError(f"{name} has {len(content)} bytes where its header promises {expected}")
    values = np.frombuffer(content, element, offset=start).reshape(shape)
    return values.astype(element.newbyteorder("="))


def read(path: Path) -> NDArray[Any]:
    """The array in an IDX file, plain or gzip.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a whole IDX file.
    """
    return parse(read_bytes(path), str(path))
