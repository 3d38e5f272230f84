"""Pictures in a terminal, as text: half-blocks with two pixels each, or the graphics protocol of kitty.

What a terminal can show is read from the environment. It is never asked by an escape sequence: one that does
not answer lets the program wait, and a late answer is typed into the next command. Sixel is left out for that
reason, since no variable says that a terminal has it.
"""

import base64
import io
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from .animations import select
from .grids import to_pillow

Colours = Literal["true", "256"]
Kind = Literal["true", "256", "kitty"]
"""How pictures are shown: by half-blocks in 24-bit colours or in 256, or by kitty's protocol."""

SWITCH = "MEZZOTINT_PICTURES"
"""The environment variable that switches pictures in terminals off, if it is 0."""

HALF_BLOCK = "\N{UPPER HALF BLOCK}"
RESET = "\x1b[0m"

CELL: dict[Kind, tuple[int, int]] = {"true": (2, 1), "256": (2, 1), "kitty": (8, 4)}
"""(height, width) in pixels of what a character cell shows."""

CUBE = (0, 95, 135, 175, 215, 255)
"""Levels of the 6 x 6 x 6 colours from 16 on, of the 256; 24 greys, 8, 18, ..., 238, follow them."""

CHUNK = 4096
"""Most characters of a message of kitty's protocol."""


def terminal_kind(environment: Mapping[str, str], encoding: str) -> Kind | None:
    """How a terminal shows pictures.

    Args:
        environment: variables of the environment.
        encoding: of standard output.

    Returns:
        The best kind that the terminal is known to have; None if it is not known to have any, or pictures or
        colours are switched off.

    Raises:
        ValueError: if MEZZOTINT_PICTURES is neither 0 nor 1.
    """
    switch = environment.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{SWITCH} = {switch!r}: it is 0, for no pictures in the terminal, or 1")
    term = environment.get("TERM", "")
    if switch == "0" or environment.get("NO_COLOR") or term in ("", "dumb"):
        return None
    if _has_kitty_protocol(environment):
        return "kitty"
    try:
        HALF_BLOCK.encode(encoding)
    except UnicodeEncodeError:
        return None
    # GNU screen, which sets STY, passes COLORTERM on, but not the colours that it promises.
    direct = environment.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct")
    if direct and "STY" not in environment:
        return "true"
    return "256" if "256color" in term else None


def _has_kitty_protocol(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is one of those that show pictures by kitty's protocol.

    Multiplexers swallow them. A program that was started in kitty and has a terminal of its own, such as an
    editor, passes KITTY_WINDOW_ID on, but names itself.
    """
    if any(name in environment for name in ("TMUX", "STY", "ZELLIJ")):
        return False
    program = environment.get("TERM_PROGRAM", "")
    return (
        environment.get("TERM") == "xterm-kitty"
        or program in ("ghostty", "WezTerm")
        or ("KITTY_WINDOW_ID" in environment and not program)
    )


def fitting(
    count: int,
    columns: int,
    size: tuple[int, int],
    kind: Kind,
    screen: tuple[int, int],
    *,
    gap: int = 2,
    even: bool = False,
) -> tuple[list[int], int]:
    """Choose the images of a grid that fit a terminal, which scrolls only where one row is too high.

    A grid of one row is broken into as many rows as there is room for. Of any other, the first images of the
    first rows are shown, because a row has a meaning, such as a class.

    Args:
        count: images of the grid.
        columns: images in a row of it.
        size: (height, width) of an image, in pixels.
        kind: how they are shown.
        screen: (lines, columns) of the terminal.
        gap: pixels between images and around the grid.
        even: whether to choose from all of a single row, evenly, not its first images.

    Returns:
        numbers of the images in 0..count - 1, and how many are in a row; none if one is too wide.
    """
    lines, width = screen
    cell_height, cell_width = CELL[kind]
    across = max(0, width * cell_width - gap) // (size[1] + gap)
    # Below the picture are its path and the prompt.
    down = max(1, ((lines - 2) * cell_height - gap) // (size[0] + gap))
    if count <= columns:
        most = min(count, across * down)
        picked = select(count, most) if even and most > 1 else list(range(most))
        return picked, min(across, count)
    width = min(across, columns)
    rows = range(min(down, -(-count // columns)))
    places = (row * columns + place for row in rows for place in range(width))
    return [place for place in places if place < count], width


def terminal_picture(
    image: UInt8[Tensor, "channels height width"], columns: int, colours: Colours
) -> str:
    """A picture as half-blocks: the upper pixel of a character is its colour, the lower one its background.

    Args:
        image: uint8 image (channels, height, width) with 1 or 3 channels; a pixel is a column wide.
        columns: columns of the terminal.
        colours: "true" for 24-bit colours, "256" for the nearest of the fixed 240 of 256.

    Returns:
        ceil(height / 2) lines, each of which ends with the colours reset.

    Raises:
        ValueError: if the image is too wide, or has neither 1 nor 3 channels.
    """
    channels, height, width = image.shape
    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {channels}")
    if width > columns:
        raise ValueError(f"a picture of {width} pixels does not fit {columns} columns")
    codes = _codes(image.cpu().expand(3, -1, -1), colours)
    codes += [[""] * width] * (height % 2)
    return "".join(map(_line, codes[::2], codes[1::2]))


def _codes(rgb: UInt8[Tensor, "3 height width"], colours: Colours) -> list[list[str]]:
    """The colour of each pixel, as escape sequences have it."""
    if colours == "256":
        return [[f"5;{number}" for number in row] for row in _nearest_of_256(rgb).tolist()]
    return [[f"2;{r};{g};{b}" for r, g, b in row] for row in rgb.permute(1, 2, 0).tolist()]


def _nearest_of_256(rgb: UInt8[Tensor, "3 height width"]) -> Int64[Tensor, "height width"]:
    """The number of the colour or grey with the smallest squared distance, from 16 to 255.

    The first 16 colours are left out, because users change them.
    """
    levels = torch.tensor(CUBE)
    values = rgb.long()
    cube = (values[..., None] - levels).abs().argmin(-1)
    cube_distance = (values - levels[cube]).square().sum(0)
    # The nearest grey is the one that is nearest to the mean.
    grey = ((values.double().mean(0) - 8) / 10).round().clamp(0, 23).long()
    grey_distance = (values - (8 + 10 * grey)).square().sum(0)
    number = 16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    return torch.where(grey_distance < cube_distance, 232 + grey, number)


def _line(upper: list[str], lower: list[str]) -> str:
    """A line of half-blocks; colours are written where they change. An empty code is no colour."""
    parts = []
    before = ("", "")
    for pair in zip(upper, lower, strict=True):
        new = zip(("38", "48"), pair, before, strict=True)
        if codes := [f"{ground};{code}" for ground, code, old in new if code != old]:
            parts.append(f"\x1b[{';'.join(codes)}m")
        parts.append(HALF_BLOCK)
        before = pair
    return f"{''.join(parts)}{RESET}\n"


def kitty_picture(image: UInt8[Tensor, "channels height width"]) -> str:
    """A picture in the graphics protocol of kitty (https://sw.kovidgoyal.net/kitty/graphics-protocol).

    Args:
        image: uint8 image (channels, height, width) with 1 or 3 channels; four pixels are a column wide.

    Returns:
        the escape sequences and a line feed; the terminal is told not to answer.

    Raises:
        ValueError: if there are neither 1 nor 3 channels.
    """
    file = io.BytesIO()
    to_pillow(image, 4).save(file, format="PNG")  # enlarged here, or the terminal would blur it
    content = base64.b64encode(file.getvalue()).decode()
    chunks = [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
    columns = -(-image.shape[2] // CELL["kitty"][1])
    # a=T: transmit and show; f=100: PNG; q=2: no answer; m: whether more chunks follow
    keys = [f"a=T,f=100,q=2,c={columns},", *[""] * (len(chunks) - 1)]
    more = [*[1] * (len(chunks) - 1), 0]
    parts = zip(keys, more, chunks, strict=True)
    return "".join(f"\x1b_G{key}m={number};{chunk}\x1b\\" for key, number, chunk in parts) + "\n"
