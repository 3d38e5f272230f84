"""GIF, APNG and WebP from frames.

Viewers and Pillow merge neighbouring frames that are alike and add up their durations, so it is the
total duration that is kept, not the number of frames. Grey frames are written as they are: one
grey scale throughout, never adapted to a frame.
"""

import math
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from .grids import to_pillow

Format = Literal["gif", "apng", "webp"]
SUFFIXES: dict[Format, str] = {"gif": ".gif", "apng": ".png", "webp": ".webp"}


LONGEST = 655_350  # milliseconds; a GIF counts hundredths of a second in 16 bits


def frame_duration(fps: float) -> int:
    """Milliseconds a frame is shown at ``fps``, in the hundredths of a second that GIF counts in.

    Raises ValueError where fps is not above 0 and at most 100, the fastest a GIF can be.
    """
    if not 0 < fps <= 100:
        raise ValueError(f"fps = {fps}: it must be above 0 and at most 100, a GIF's fastest")
    return math.floor(1000 / fps / 10 + 1e-9) * 10


def select(moments: int, frames: int) -> list[int]:
    """At most ``frames`` of ``moments`` indices, evenly spread, the first and the last among them."""
    if frames < 2:
        raise ValueError(f"a film needs at least 2 frames, not {frames}")
    if moments <= frames:
        return list(range(moments))
    return [round(k * (moments - 1) / (frames - 1)) for k in range(frames)]


def _one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Colour frames in one palette made for all of them; grey ones as they are."""
    if frames[0].mode == "L":
        return frames
    strip = Image.new("RGB", (frames[0].width, frames[0].height * len(frames)))
    for k, frame in enumerate(frames):
        strip.paste(frame, (0, k * frame.height))
    palette = strip.quantize(256, Image.Quantize.MEDIANCUT)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def save_animation(
    path: Path,
    frames: UInt8[Tensor, "frames channels height width"],
    *,
    format: Format = "gif",
    fps: float = 20,
    hold: float = 1.5,
    scale: int = 4,
) -> None:
    """Write an endless animation; the last frame stays for ``hold`` more seconds.

    ``scale`` enlarges each pixel. Raises ValueError on an unknown format, a frame rate that cannot
    be shown, or no frames.
    """
    if format not in get_args(Format):
        raise ValueError(f"format = {format!r}: it is one of {', '.join(get_args(Format))}")
    if len(frames) == 0:
        raise ValueError("an animation needs at least one frame")
    step = frame_duration(fps)
    if not hold >= 0 or not step + hold * 1000 <= LONGEST:
        raise ValueError(
            f"fps = {fps}, hold = {hold}: a frame can be shown for 0 to {LONGEST / 1000} seconds"
        )
    durations = [step] * len(frames)
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
    first, rest = pictures[0], pictures[1:]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, **settings)


def side_by_side(
    left: UInt8[Tensor, "*many height width"],
    right: UInt8[Tensor, "*many height width"],
    gap: int = 2,
) -> UInt8[Tensor, "*many height wider"]:
    """Two films of the same length, next to each other."""
    between = left.new_full((*left.shape[:-1], gap), 96)
    return torch.cat([left, between, right], dim=-1)
