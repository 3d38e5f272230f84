"""Decoding of picture files to arrays.

A broken picture is a ValueError that names it. A failure to read (no permission, too many open files, a disk
or network error) is the system's OSError, and says nothing about the picture.
"""

import errno
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from ..utils.console import in_a_line, printable
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
"""Suffixes of pictures. A file with another suffix is one if Pillow recognizes its first bytes."""

MOST_PIXELS = 2**27
"""Pixels of a picture that is read, such as 16384 x 8192; more take gigabytes of memory, or claim to."""

LONGEST_SIDE = 65_535
"""Pixels on a side of a picture that is read, as many as a JPEG can have."""

TOO_LARGE = (
    f"it has more than {MOST_PIXELS:,} pixels, or more than {LONGEST_SIDE:,} on a side: make it"
    " smaller"
)

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # see MOST_PIXELS

_NO_PICTURES = {"EPS", "WMF", "MPEG", "GRIB", "HDF5", "BUFR", "FITS", "PDF"}
"""Formats that Pillow opens with other programs, or only in part."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that turns a picture upright, by the EXIF tag Orientation."""

_POINTER = b"version https://git-lfs"


def is_picture(path: Path) -> bool:
    """Whether a file begins like a picture that Pillow decodes without other programs."""
    try:
        with path.open("rb") as stream, Image.open(stream) as picture:
            return picture.format not in _NO_PICTURES
    except Exception:  # decoders raise anything for files of other formats
        return False


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """Open a picture. What a decoder raises in the block becomes a ValueError that names the picture.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming it, if it is broken.
    """
    try:
        with source.open("rb") as stream, Image.open(stream) as picture:
            if math.prod(picture.size) > MOST_PIXELS or max(picture.size) > LONGEST_SIDE:
                raise ValueError(TOO_LARGE)
            yield picture
    except MemoryError as error:  # which says nothing of the file
        raise OSError(errno.ENOMEM, "not enough memory", printable(str(source))) from error
    except OSError as error:
        if error.errno is not None:  # from the system; those of Pillow have no number
            if error.filename is None:
                raise OSError(error.errno, error.strerror, printable(str(source))) from error
            raise
        raise ValueError(_fault(source, error)) from error
    except Exception as error:
        raise ValueError(_fault(source, error)) from error


def _fault(source: Source, error: Exception) -> str:
    """What is wrong with a picture, without Pillow's description of the stream."""
    words = in_a_line(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        words = TOO_LARGE
    elif isinstance(error, UnidentifiedImageError):
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
    """The picture upright, in mode L or RGB, with 8 bits for each channel.

    It is turned by its EXIF data, palettes are resolved, and transparent pixels are blended with the
    background.

    Args:
        picture: an opened picture of any mode.
        channels: 1 for grey, 3 for colour.
        background: grey level behind transparent pixels, 0 to 255.

    Returns:
        A picture of mode L (1 channel) or RGB (3 channels).

    Raises:
        ValueError: if its mode has no fixed range of values.
    """
    turn = _TURNS.get(_orientation(picture))
    if turn is not None:
        picture = picture.transpose(turn)
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.max() >= 2**16 or values.min() < 0:
            raise ValueError(f"pictures of mode {picture.mode} are read up to 16 bits, not further")
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("pictures of mode F have no known range of values")
    if picture.has_transparency_data:
        colours = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        below = Image.new("RGBA", picture.size, (background, background, background, 255))
        picture = Image.alpha_composite(below, colours).convert("RGB")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return picture if picture.mode == mode else picture.convert(mode)


def read_picture(
    source: Source, channels: int, frame: Frame
) -> UInt8[np.ndarray, "channels height width"]:
    """Decode a picture.

    Args:
        source: the file, or another source of its bytes.
        channels: 1 for grey, 3 for colour.
        frame: how it is cut and resized.

    Returns:
        Its pixels, uint8 (channels, height, width).

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
        ValueError: naming it, if it is not a picture.
    """
    with _opened(source) as picture:
        sideways = _orientation(picture) in (5, 6, 7, 8)
        width, height = picture.size
        return picture.mode, (width, height) if sideways else (height, width)
