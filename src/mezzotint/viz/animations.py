"""GIF, APNG and WebP from frames.

Viewers and Pillow merge equal neighbouring frames and add their durations, so that the number of frames may
change, but not the total duration. Grey frames are written unchanged, in one grey scale for all frames.
"""

import math
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from .grids import save_picture, to_pillow

Format = Literal["gif", "apng", "webp"]
SUFFIXES: dict[Format, str] = {"gif": ".gif", "apng": ".png", "webp": ".webp"}

LONGEST = 655_350
"""Longest duration of a frame in milliseconds: a GIF counts hundredths of a second in 16 bits."""


LARGEST: dict[Format, int] = {"gif": 65_535, "apng": 65_535, "webp": 16_383}
"""Largest side of a picture in each format, in pixels."""


def check_format(format: Format, width: int, height: int) -> None:
    """Refuse pictures that are too large for their format.

    Args:
        format: "gif", "apng" or "webp".
        width: of a frame, in pixels.
        height: of a frame, in pixels.

    Raises:
        ValueError: naming the limit.
    """
    if max(width, height) > LARGEST[format]:
        raise ValueError(
            f"frames of {width}x{height} pixels: a side of a {format} has at most {LARGEST[format]:,};"
            " say a smaller --scale, or fewer classes"
        )


def frame_duration(fps: float) -> int:
    """Duration of a frame at ``fps``, in milliseconds, a multiple of the 10 ms that a GIF counts in.

    Raises:
        ValueError: if fps is not above 0 and at most 100, the maximum of a GIF.
    """
    if not 0 < fps <= 100:
        raise ValueError(f"fps = {fps}: it must be above 0 and at most 100, a GIF's fastest")
    return math.floor(1000 / fps / 10 + 1e-9) * 10


def select(moments: int, frames: int) -> list[int]:
    """Choose evenly spaced moments, with the first and the last one.

    Args:
        moments: number of moments to choose from.
        frames: largest number of indices to return, at least 2.

    Returns:
        increasing indices in 0..moments - 1.

    Raises:
        ValueError: if ``frames`` is below 2.
    """
    if frames < 2:
        raise ValueError(f"a film needs at least 2 frames, not {frames}")
    if moments <= frames:
        return list(range(moments))
    return [round(k * (moments - 1) / (frames - 1)) for k in range(frames)]


def _one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Colour frames with one palette for all of them; grey frames unchanged."""
    if frames[0].mode == "L":
        return frames
    strip = Image.new("RGB", (frames[0].width, frames[0].height * len(frames)))
    for k, frame in enumerate(frames):
        strip.paste(frame, (0, k * frame.height))
    palette = strip.quantize(256, Image.Quantize.MEDIANCUT)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def save_animation(
    path: Path | BytesIO,
    frames: UInt8[Tensor, "frames channels height width"],
    *,
    format: Format = "gif",
    fps: float = 20,
    hold: float = 1.5,
    scale: int = 4,
) -> None:
    """Write an endless animation.

    Args:
        path: file to write, or bytes in memory.
        frames: uint8 images (frames, channels, height, width) with 1 or 3 channels.
        format: "gif", "apng" or "webp".
        fps: frames per second, above 0 and at most 100.
        hold: additional seconds for the last frame.
        scale: factor by which pixels are enlarged, an integer.

    Raises:
        ValueError: for an unknown format, a duration that a GIF cannot have, or no frames.
    """
    if format not in get_args(Format):
        raise ValueError(f"format = {format!r}: it is one of {', '.join(get_args(Format))}")
    if len(frames) == 0:
        raise ValueError("an animation needs at least one frame")
    duration = frame_duration(fps)
    if not hold >= 0 or not duration + hold * 1000 <= LONGEST:
        raise ValueError(
            f"fps = {fps}, hold = {hold}: a frame can be shown for 0 to {LONGEST / 1000} seconds"
        )
    durations = [duration] * len(frames)
    durations[-1] += round(hold * 100) * 10
    pictures = [to_pillow(frame, scale) for frame in frames]
    settings: dict[str, Any]
    match format:
        case "gif":
            pictures = _one_palette(pictures)
            settings = {"format": "GIF", "optimize": False, "disposal": 1}
        case "apng":
            settings = {"format": "PNG", "default_image": False}
        case "webp":
            settings = {"format": "WEBP", "lossless": True}
    save_picture(
        pictures[0],
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        **settings,
    )


def side_by_side(
    left: UInt8[Tensor, "*many height width"],
    right: UInt8[Tensor, "*many height width"],
    gap: int = 2,
) -> UInt8[Tensor, "*many height wider"]:
    """Join two sequences of frames horizontally.

    Args:
        left: uint8 frames (..., height, width).
        right: uint8 frames with the same number and height.
        gap: columns of grey pixels between them.

    Returns:
        uint8 frames (..., height, width of both and the gap).
    """
    separator = left.new_full((*left.shape[:-1], gap), 96)
    return torch.cat([left, separator, right], dim=-1)
