"""Grids of images that a verb writes, and shows in the terminal where that can be done."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..viz.terminal import Kind


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
    from ..viz.grids import tile, to_pillow

    with whole_file(path) as temporary:
        to_pillow(tile(images, columns), scale).save(temporary, format="PNG")
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
    shown, across = fitting(len(images), columns, (height, width), kind, size, even=even)
    if not shown:
        return
    grid = tile(images[shown], across)
    text = kitty_picture(grid) if kind == "kitty" else terminal_picture(grid, screen.columns, kind)
    print(text, end="")
