"""From a picture in a file, of whatever kind, to an array.

A fault of a picture is one that reading it again would meet again: a ValueError that names it. A fault of
the reading (no permission, too many open files, a disk or a network that fails) is the system's own OSError,
which says nothing about the picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from ..utils.console import printable
from .sources import Source
from .transforms import Frame

Broken = Literal["refuse", "skip"]
GREY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N"}
SUFFIXES = {
    *(
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
    ),
    *(
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".ico",
        ".jp2",
        ".j2k",
        ".avif",
        ".avifs",
        ".pcx",
        ".sgi",
    ),
}
"""Endings of pictures. A file with another ending is one if Pillow knows what it begins with."""

_NO_PICTURES = {"EPS", "WMF", "MPEG", "GRIB", "HDF5", "BUFR", "FITS", "PDF"}
"""What Pillow opens with other programs, or not to the end."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is turned upright, by the EXIF tag Orientation."""

_POINTER = b"version https://git-lfs"


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does that Pillow decodes by itself."""
    try:
        with path.open("rb") as stream, Image.open(stream) as picture:
            return picture.format not in _NO_PICTURES
    except Exception:  # whatever a decoder makes of a file that is none of its own
        return False


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """A picture, opened. Whatever a decoder raises in the block is a fault of the picture.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming it, if it is broken.
    """
    try:
        with source.open("rb") as stream, Image.open(stream) as picture:
            yield picture
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:  # the system's; Pillow's own have no number
            if error.filename is None:
                raise OSError(error.errno, error.strerror, printable(str(source))) from error
            raise
        raise ValueError(_fault(source, error)) from error
    except Exception as error:
        raise ValueError(_fault(source, error)) from error


def _fault(source: Source, error: Exception) -> str:
    """What is wrong with a picture, without Pillow's words for the stream that it read."""
    words = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        words = "it is of no format that Pillow knows"
        if isinstance(source, Path):
            with source.open("rb") as stream:
                begin = stream.read(len(_POINTER))
            if not begin:
                words = "the file is empty"
            elif begin == _POINTER:
                words = "it is a pointer of Git LFS, not the picture: git lfs pull brings that"
    return f"{printable(str(source))} is a broken picture: {words}"


def _orientation(picture: Image.Image) -> int:
    """The EXIF tag Orientation: 1, upright, if there is none or it cannot be read."""
    try:
        orientation = picture.getexif().get(0x0112, 1)
    except Exception:  # metadata do not decide whether a picture is read
        return 1
    return orientation if isinstance(orientation, int) else 1


def upright(picture: Image.Image, channels: int, background: int) -> Image.Image:
    """The picture as its maker meant it, in mode L or RGB: turned as its EXIF data say, its palette
    looked up, transparent pixels on the background, 16 bits brought to 8.

    Raises ValueError for modes that have no fixed range of values.
    """
    turn = _TURNS.get(_orientation(picture))
    if turn is not None:
        picture = picture.transpose(turn)
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.max() >= 2**16 or values.min() < 0:
            raise ValueError(f"pictures of mode {picture.mode} are read up to 16 bits, not further")
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("pictures of mode F have no known range of values")
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        below = Image.new("RGBA", picture.size, (background, background, background, 255))
        picture = Image.alpha_composite(below, colours).convert("RGB")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return picture.convert(mode)


def read_picture(
    source: Source, channels: int, frame: Frame
) -> UInt8[np.ndarray, "channels height width"]:
    """The picture in ``source``.

    Args:
        source: where its bytes are.
        channels: 1 for grey, 3 for colour.
        frame: how it is cut and resized.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming it, if it is broken.
    """
    with _opened(source) as picture:
        picture.load()
        image = upright(picture, channels, frame.background)
    array = np.asarray(frame.apply(image))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def read_header(source: Source) -> tuple[str, tuple[int, int]]:
    """Mode and upright size (height, width) of a picture, from its header alone.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming it, if there is none.
    """
    with _opened(source) as picture:
        turned = _orientation(picture) in (5, 6, 7, 8)
        width, height = picture.size
        return picture.mode, (width, height) if turned else (height, width)
