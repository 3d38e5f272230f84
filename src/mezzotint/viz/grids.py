"""Grids of images, as one image."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor


def tile(
    images: UInt8[Tensor, "n channels height width"], columns: int, gap: int = 2
) -> UInt8[Tensor, "channels total_height total_width"]:
    """Arrange images in rows, on a grey background.

    Args:
        images: uint8 images (n, channels, height, width).
        columns: images per row.
        gap: pixels between images and around the grid.

    Returns:
        one uint8 image (channels, total height, total width).
    """
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    canvas = images.new_full(
        (channels, rows * (height + gap) + gap, columns * (width + gap) + gap), 96
    )
    for k, image in enumerate(images):
        top = gap + k // columns * (height + gap)
        left = gap + k % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    return canvas


def to_pillow(image: UInt8[Tensor, "channels height width"], scale: int = 1) -> Image.Image:
    """Convert an image to Pillow, grey or RGB.

    Args:
        image: uint8 image (channels, height, width).
        scale: side of the square that a pixel becomes.

    Returns:
        the Pillow image.

    Raises:
        ValueError: if there are neither 1 nor 3 channels.
    """
    array = image.cpu().numpy()
    if array.shape[0] not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {array.shape[0]}")
    picture = Image.fromarray(
        np.ascontiguousarray(array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0))
    )
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def save_picture(
    picture: Image.Image, path: Path | io.BytesIO, format: str = "PNG", **settings: Any
) -> None:
    """Write a picture as a whole.

    Pillow writes to a file without Python's help: where the system takes only a part of a write, it leaves
    out the rest, without an error. So the picture goes through memory.

    Args:
        picture: to write.
        path: file to write, or a stream.
        format: Pillow's name of the format.
        settings: of the format, as in :meth:`PIL.Image.Image.save`.
    """
    stream = io.BytesIO()
    picture.save(stream, format, **settings)
    if isinstance(path, Path):
        path.write_bytes(stream.getvalue())
    else:
        path.write(stream.getvalue())
