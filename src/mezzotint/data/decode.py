"""From a picture in a file, of whatever kind, to an array."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from .sources import Source
from .transforms import Frame

Broken = Literal["refuse", "skip"]
GREY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N"}
BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for files that are no whole pictures."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def upright(picture: Image.Image, channels: int, background: int) -> Image.Image:
    """The picture as its maker meant it, in mode L or RGB: turned as its EXIF data say, its palette
    looked up, transparent pixels on the background, 16 bits brought to 8.

    Raises ValueError for modes that have no fixed range of values.
    """
    picture = ImageOps.exif_transpose(picture)
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
    """The picture in ``source``. Raises ValueError, naming it, where it is broken."""
    try:
        with source.open("rb") as stream, Image.open(stream) as picture:
            picture.load()
            found = upright(picture, channels, frame.background)
    except BROKEN as error:
        raise ValueError(f"{source} is a broken picture: {_fault(error)}") from error
    array = np.asarray(frame.apply(found))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def glance(source: Source) -> tuple[str, tuple[int, int]]:
    """Mode and upright size (height, width) of a picture, from its header alone.

    Raises ValueError, naming it, where there is none.
    """
    try:
        with source.open("rb") as stream, Image.open(stream) as picture:
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = picture.size
            return picture.mode, (width, height) if turned else (height, width)
    except BROKEN as error:
        raise ValueError(f"{source} is a broken picture: {_fault(error)}") from error


def _fault(error: Exception) -> str:
    """What is wrong, without Pillow's words for the stream that it read."""
    unknown = isinstance(error, UnidentifiedImageError)
    return "it is of no format that Pillow knows" if unknown else str(error)
