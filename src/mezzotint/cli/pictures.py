"""Grids, arrays and films that a verb writes; grids are shown in the terminal where that can be done."""

import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.output import output_file

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import Trajectory
    from ..viz.animations import Format
    from ..viz.terminal import Kind

STILLS = (".png", ".npz")
FILMS: "dict[str, Format]" = {".gif": "gif", ".webp": "webp", ".apng": "apng"}
"""Formats of films by the ending of the file."""


def result_file(out: Path | None, default: str, size: int = 0) -> Path:
    """The file of a result: a picture, an array, or a film.

    Args:
        out: what was asked for.
        default: its name if nothing was.
        size: bytes that it takes, about.
    """
    return output_file(out or Path(default), (*STILLS, *FILMS), size)


def kind_of_output() -> "Kind | None":
    """How standard output shows pictures; None if it is no terminal, or shows none.

    Raises:
        ValueError: if MEZZOTINT_PICTURES is neither 0 nor 1.
    """
    from ..viz.terminal import terminal_kind

    kind = terminal_kind(os.environ, getattr(sys.stdout, "encoding", None) or "utf-8")
    return kind if sys.stdout is not None and sys.stdout.isatty() else None


def write_grid(
    path: Path,
    images: "Tensor",
    columns: int,
    scale: int,
    kind: "Kind | None",
    *,
    even: bool = False,
) -> None:
    """Write a grid of images, show it in the terminal, and print its path.

    Args:
        path: of the .png.
        images: uint8 images (n, channels, height, width).
        columns: images in a row.
        scale: enlargement of each pixel in the file.
        kind: how the terminal shows pictures; None for not at all.
        even: whether those of a row that the terminal has no room for are left out evenly, not at its end.
    """
    from ..utils.files import whole_file
    from ..viz.grids import save_picture, tile, to_pillow

    with whole_file(path) as temporary:
        save_picture(to_pillow(tile(images, columns), scale), temporary)
    if kind is not None:
        _show(images, columns, kind, even)
    print(path)


def _show(images: "Tensor", columns: int, kind: "Kind", even: bool) -> None:
    """Print as many images of a grid as the terminal has room for."""
    from ..viz.grids import tile
    from ..viz.terminal import fitting, kitty_picture, terminal_picture

    screen = shutil.get_terminal_size()
    size = (screen.lines, screen.columns)
    height, width = images.shape[2:]
    indices, across = fitting(len(images), columns, (height, width), kind, size, even=even)
    if not indices:
        return
    grid = tile(images[indices], across)
    text = kitty_picture(grid) if kind == "kitty" else terminal_picture(grid, screen.columns, kind)
    print(text, end="")


def write_npz(path: Path, images: "Tensor", labels: Sequence[int] | None) -> None:
    """Write images as arrays, and print the path.

    Args:
        path: of the .npz.
        images: uint8 images (n, channels, height, width).
        labels: classes (n,), if there are any.
    """
    import numpy as np

    from ..utils.files import whole_file

    arrays = {"images": images.numpy()}
    if labels is not None:
        arrays["labels"] = np.array(labels, np.int64)
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    print(path)


def write_film(path: Path, frames: "Tensor", columns: int, scale: int) -> None:
    """Write a film of a grid, and print its path.

    Args:
        path: ending in one of FILMS.
        frames: uint8 (times, n, channels, height, width).
        columns: images in a row of the grid.
        scale: enlargement of each pixel.
    """
    import torch

    from ..utils.files import whole_file
    from ..viz.animations import save_animation
    from ..viz.grids import tile

    film = torch.stack([tile(moment, columns) for moment in frames])
    with whole_file(path) as temporary:
        save_animation(temporary, film, format=FILMS[path.suffix.lower()], scale=scale)
    print(path)


def film_of(trajectory: "Trajectory") -> "Tensor":
    """The frames of a trajectory, at most sixty."""
    from ..viz.animations import select

    return trajectory.x[select(len(trajectory.t), 60)]


def columns_of(number: int) -> int:
    """Images in a row of a grid: ten, or as many as make a square of many."""
    return max(min(10, number), math.isqrt(number - 1) + 1)
