"""Pictures in a terminal: read back from what it receives, and absent where it could not show them."""

import base64
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_data
from machines import environment, mezzo, started
from mezzotint import load
from mezzotint.viz.grids import tile
from mezzotint.viz.terminal import fitting, kitty_picture, terminal_kind, terminal_picture
from models import random_model_file

TRUE = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
INDEXED = {"TERM": "xterm-256color"}
KITTY = {"TERM": "xterm-kitty", "COLORTERM": "truecolor"}

KNOWN = (
    *["TERM", "COLORTERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "TMUX", "STY", "ZELLIJ", "NO_COLOR"],
    *["MEZZOTINT_PICTURES", "COLUMNS", "LINES"],
)
"""Variables that tests set, and their environment must not."""

PIECE = re.compile("\x1b\\[([0-9;]*)m|(\N{UPPER HALF BLOCK})|(\n)|(.)", re.DOTALL)

Pixel = tuple[int, int, int]


def palette() -> list[Pixel]:
    """The 240 fixed colours of 256, as xterm has them: a cube, then greys."""
    levels = [0, *range(95, 256, 40)]
    cube = [(r, g, b) for r in levels for g in levels for b in levels]
    return [*cube, *((v, v, v) for v in range(8, 239, 10))]


def received(text: str) -> list[list[tuple[Pixel | None, Pixel | None]]]:
    """The lines that a terminal shows: for each half-block, its upper and its lower pixel, None where that
    has no colour. Colours that are left at the end of a line, and other characters, are a failure."""
    lines: list[list[tuple[Pixel | None, Pixel | None]]] = [[]]
    colours: dict[int, Pixel] = {}
    for codes, block, end, other in PIECE.findall(text.replace("\r\n", "\n")):
        assert not other, repr(other)
        if block:
            lines[-1].append((colours.get(38), colours.get(48)))
        elif end:
            assert not colours, "colours are left at the end of a line"
            lines.append([])
        else:
            numbers = [int(number or 0) for number in codes.split(";")]
            while numbers:
                colours = colour_after(numbers, colours)
    assert lines.pop() == []
    return lines


def colour_after(numbers: list[int], colours: dict[int, Pixel]) -> dict[int, Pixel]:
    """Take the first attribute off ``numbers``: what the colours are then."""
    ground = numbers.pop(0)
    if ground == 0:
        return {}
    assert ground in (38, 48)
    if numbers.pop(0) == 5:
        return colours | {ground: palette()[numbers.pop(0) - 16]}
    r, g, b = (numbers.pop(0) for _ in range(3))
    return colours | {ground: (r, g, b)}


def pixels(text: str) -> np.ndarray:
    """The picture (height, width, 3) that is made of half-blocks."""
    rows: list[list[Pixel | None]] = []
    for line in received(text):
        rows += [[upper for upper, _ in line], [lower for _, lower in line]]
    if all(pixel is None for pixel in rows[-1]):
        rows.pop()
    return np.array(rows)


def noise(channels: int, height: int, width: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (channels, height, width), generator=source).to(torch.uint8)


def as_rgb(image: torch.Tensor) -> np.ndarray:
    return image.expand(3, -1, -1).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("height", [1, 2, 7, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_half_blocks_of_24_bits_are_the_picture(channels: int, height: int) -> None:
    image = noise(channels, height, 9)
    image[:, :, 3:6] = image[:, :, 2:3]  # neighbours of one colour too
    text = terminal_picture(image, 9, "true")
    assert np.array_equal(pixels(text), as_rgb(image))
    assert text.count("\n") == -(-height // 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_256_colours_each_pixel_has_the_nearest(channels: int) -> None:
    image = noise(channels, 40, 60)
    shown = pixels(terminal_picture(image, 60, "256")).astype(int)
    true = as_rgb(image).astype(int)
    known = np.array(palette())
    distances = ((true[:, :, None] - known) ** 2).sum(-1)
    assert np.array_equal(((true - shown) ** 2).sum(-1), distances.min(-1))


def test_a_picture_without_detail_is_short() -> None:
    image = torch.full((1, 20, 50), 7, dtype=torch.uint8)
    assert len(terminal_picture(image, 50, "true")) < 10 * (50 + 50)


@pytest.mark.parametrize("image", [noise(1, 4, 81), noise(2, 4, 4)])
def test_pictures_that_are_too_wide_or_no_pictures_are_refused(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"does not fit 80 columns|1 or 3 channels"):
        terminal_picture(image, 80, "true")


def sent(text: str) -> tuple[dict[str, str], Image.Image]:
    """The keys of a transmission of kitty's, and the picture in it; chunks are checked."""
    assert text.endswith("\x1b\\\n")
    messages = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in messages) == text[:-1]
    keys = [dict(pair.split("=") for pair in head.split(",")) for head, _ in messages]
    assert [key["m"] for key in keys] == ["1"] * (len(keys) - 1) + ["0"]
    assert all(set(key) == {"m"} for key in keys[1:])
    assert all(len(data) <= 4096 and len(data) % 4 == 0 for _, data in messages)
    content = base64.b64decode("".join(data for _, data in messages))
    return keys[0], Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 90, 90), (1, 5, 7)])
def test_kitty_gets_the_picture_as_png_and_does_not_answer(
    channels: int, height: int, width: int
) -> None:
    image = noise(channels, height, width)
    keys, picture = sent(kitty_picture(image))
    assert (keys["a"], keys["f"], keys["q"]) == ("T", "100", "2")
    assert int(keys["c"]) == -(-width // 4)
    drawn = np.asarray(picture.convert("RGB"))
    assert np.array_equal(drawn[::4, ::4], as_rgb(image))
    assert drawn.shape == (4 * height, 4 * width, 3)


@pytest.mark.parametrize(
    ("variables", "encoding", "expected"),
    [
        (TRUE, "utf-8", "true"),
        (INDEXED, "utf-8", "256"),
        ({"TERM": "xterm-direct"}, "utf-8", "true"),
        ({"TERM": "xterm"}, "utf-8", None),
        ({"TERM": "vt100"}, "utf-8", None),
        ({}, "utf-8", None),
        ({**TRUE, "TERM": "dumb"}, "utf-8", None),
        ({**KITTY, "TERM": "dumb", "KITTY_WINDOW_ID": "1"}, "utf-8", None),
        (TRUE, "cp437", "true"),
        (TRUE, "ascii", None),
        (TRUE, "iso8859-1", None),
        (KITTY, "ascii", "kitty"),
        ({**TRUE, "KITTY_WINDOW_ID": "1"}, "utf-8", "kitty"),
        ({**TRUE, "TERM_PROGRAM": "ghostty"}, "utf-8", "kitty"),
        ({**TRUE, "TERM_PROGRAM": "WezTerm"}, "utf-8", "kitty"),
        ({**TRUE, "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, "utf-8", "true"),
        ({**TRUE, "TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, "utf-8", "true"),
        ({**TRUE, "STY": "1.pts", "TERM": "screen-256color"}, "utf-8", "256"),
        ({**KITTY, "NO_COLOR": "1"}, "utf-8", None),
        ({**TRUE, "NO_COLOR": "1"}, "utf-8", None),
        ({**TRUE, "NO_COLOR": ""}, "utf-8", "true"),
        ({**KITTY, "MEZZOTINT_PICTURES": "0"}, "utf-8", None),
        ({**TRUE, "MEZZOTINT_PICTURES": "1"}, "utf-8", "true"),
    ],
)
def test_what_a_terminal_shows_is_known_from_its_environment(
    variables: dict[str, str], encoding: str, expected: str | None
) -> None:
    assert terminal_kind(variables, encoding) == expected


@pytest.mark.parametrize("kind", ["true", "kitty"])
@pytest.mark.parametrize("screen", [(24, 80), (50, 200), (10, 32), (5, 29)])
@pytest.mark.parametrize(("count", "columns"), [(10, 10), (1, 1), (40, 4), (23, 10)])
def test_as_many_images_are_shown_as_fit(
    count: int, columns: int, screen: tuple[int, int], kind: Any
) -> None:
    shown, across = fitting(count, columns, (28, 28), kind, screen)
    if kind == "true" and screen[1] < 32:
        assert shown == []
        return
    grid = tile(tiny_data(count, size=28).images[shown], across)
    height, width = (2, 1) if kind == "true" else (8, 4)
    lines, columns_taken = -(-grid.shape[1] // height), -(-grid.shape[2] // width)
    assert columns_taken <= screen[1]
    one_row = -(-32 // height)
    assert lines <= max(screen[0] - 2, one_row)
    if columns < count:  # rows stay rows
        rows = sorted({number // columns for number in shown})
        assert shown == [
            n for r in rows for n in range(r * columns, r * columns + across) if n < count
        ]
        assert rows == list(range(len(rows)))
    else:
        assert shown == list(range(len(shown)))
    wider = (across + 1) * 30 + 2
    assert across == min(count, columns) or wider > screen[1] * width
    higher = grid.shape[1] + 30
    everything = {n // columns for n in shown} == set(range(-(-count // columns)))
    assert everything or higher > (screen[0] - 2) * height


def test_of_a_strip_images_are_left_out_evenly() -> None:
    shown, across = fitting(11, 11, (28, 28), "true", (34, 92), even=True)
    assert (shown, across) == ([0, 2, 4, 6, 8, 10], 3)
    assert fitting(11, 11, (28, 28), "true", (24, 40), even=True) == ([0], 1)


# In a terminal

SCRIPT = """
import fcntl, os, struct, sys, termios
from mezzotint.cli import main

def variant(name, variables, lines, columns, words, encoding):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    for key in KNOWN:
        os.environ.pop(key, None)
    os.environ |= variables
    sys.stdout.reconfigure(encoding=encoding)
    print(f"<{name}>")
    try:
        main(words)
    except SystemExit as ended:
        print(ended.code or "", end="")

for arguments in VARIANTS:
    variant(*arguments)
"""

VARIANTS: dict[str, tuple[dict[str, str], int, int, list[str], str]] = {
    "true": (TRUE, 40, 80, [], "utf-8"),
    "256": (INDEXED, 40, 80, [], "utf-8"),
    "kitty": (KITTY, 40, 80, [], "utf-8"),
    "kitty-ascii": (KITTY, 40, 80, [], "ascii"),
    "narrow": (TRUE, 40, 25, [], "utf-8"),
    "too-narrow": (TRUE, 40, 11, [], "utf-8"),
    "rows": (TRUE, 40, 25, ["1", "7", "--count", "3"], "utf-8"),
    "npz": (TRUE, 40, 80, ["--out", "x.npz"], "utf-8"),
    "ascii": (TRUE, 40, 80, [], "ascii"),
    "dumb": ({**TRUE, "TERM": "dumb"}, 40, 80, [], "utf-8"),
    "no-color": ({**TRUE, "NO_COLOR": "1"}, 40, 80, [], "utf-8"),
    "off": ({**TRUE, "MEZZOTINT_PICTURES": "0"}, 40, 80, [], "utf-8"),
    "wrong": ({**TRUE, "MEZZOTINT_PICTURES": "no"}, 40, 80, ["--out", "wrong.png"], "utf-8"),
}


def in_terminal(words: list[str], folder: Path, **changes: str | None) -> str:
    """What a terminal receives from a command, until that ends."""
    master, slave = pty.openpty()
    size = struct.pack("HHHH", 40, 100, 0, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    own = environment(folder, **{**dict.fromkeys(KNOWN), **changes})
    content = b""
    with started(
        words, folder, env=own, stdout=slave, stdin=slave, text=False, errors=None
    ) as process:
        os.close(slave)
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            content += piece
        assert process.wait(timeout=60) == 0, process.stderr and process.stderr.read()
    os.close(master)
    return content.decode()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of a model, and what a terminal received for each variant."""
    folder = tmp_path_factory.mktemp("terminal")
    random_model_file(folder / "m.safetensors")
    arguments = [
        (name, variables, lines, columns, ["sample", "m.safetensors", *words], encoding)
        for name, (variables, lines, columns, words, encoding) in VARIANTS.items()
    ]
    script = SCRIPT.replace("VARIANTS", repr(arguments)).replace("KNOWN", repr(KNOWN))
    text = in_terminal([sys.executable, "-c", script], folder).replace("\r\n", "\n")
    pieces = re.split(r"<([a-z0-9-]+)>\n", text)
    assert pieces[0] == ""
    return folder, dict(zip(pieces[1::2], pieces[2::2], strict=True))


def images(folder: Path, labels: list[int]) -> torch.Tensor:
    return load(folder / "m.safetensors", "cpu").sample(labels)


@pytest.mark.parametrize("name", ["true", "256"])
def test_sample_shows_its_images_and_then_their_path(
    name: str, drawn: tuple[Path, dict[str, str]]
) -> None:
    folder, outputs = drawn
    *picture, path = outputs[name].splitlines(keepends=True)
    assert path == "m-all-seed0.png\n"
    assert (folder / "m-all-seed0.png").is_file()
    grid = tile(images(folder, list(range(10))), 7)  # of 10 pixels each, in 80 columns
    shown = pixels("".join(picture))
    if name == "true":
        assert np.array_equal(shown, as_rgb(grid))
    assert shown.shape == (*grid.shape[1:], 3)
    assert abs(shown.astype(int) - as_rgb(grid)).max() < 9  # greys end with 238, 255


@pytest.mark.parametrize("name", ["kitty", "kitty-ascii"])
def test_sample_shows_all_by_the_protocol_of_kitty(
    name: str, drawn: tuple[Path, dict[str, str]]
) -> None:
    folder, outputs = drawn
    picture, path = outputs[name].splitlines(keepends=True)
    assert path == "m-all-seed0.png\n"
    keys, shown = sent(picture)
    with Image.open(folder / "m-all-seed0.png") as file:
        assert np.array_equal(np.asarray(shown), np.asarray(file))
    assert int(keys["c"]) == 26


def test_sample_shows_what_there_is_room_for(drawn: tuple[Path, dict[str, str]]) -> None:
    folder, outputs = drawn
    *picture, path = outputs["narrow"].splitlines(keepends=True)
    assert path == "m-all-seed0.png\n"
    expected = tile(images(folder, list(range(10))), 2)
    assert np.array_equal(pixels("".join(picture)), as_rgb(expected))
    *picture, _ = outputs["rows"].splitlines(keepends=True)
    expected = tile(images(folder, [1, 1, 1, 7, 7, 7])[[0, 1, 3, 4]], 2)
    assert np.array_equal(pixels("".join(picture)), as_rgb(expected))


@pytest.mark.parametrize("name", ["too-narrow", "npz", "ascii", "dumb", "no-color", "off"])
def test_sample_says_the_path_alone_where_pictures_cannot_be_shown(
    name: str, drawn: tuple[Path, dict[str, str]]
) -> None:
    expected = "x.npz\n" if name == "npz" else "m-all-seed0.png\n"
    assert drawn[1][name] == expected


def test_a_wrong_switch_is_refused_before_anything_is_written(
    drawn: tuple[Path, dict[str, str]],
) -> None:
    folder, outputs = drawn
    assert outputs["wrong"].startswith("mezzotint: MEZZOTINT_PICTURES = 'no'")
    assert not (folder / "wrong.png").exists()


def test_forward_shows_its_strip(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mezzotint", "forward", "digits"]
    *picture, path = in_terminal(words, tmp_path, **TRUE).splitlines(keepends=True)
    assert path == "forward-flow-7.png\r\n"
    with Image.open(tmp_path / "forward-flow-7.png") as file:
        strip = np.asarray(file)[::4, ::4]
    shown = pixels("".join(picture))[..., 0]
    assert shown.shape == (2 * 30 + 2, 3 * 30 + 2)
    assert np.array_equal(shown[:30, :30], strip[:30, :30])  # the clean image
    assert np.array_equal(shown[-30:, -30:], strip[-30:, -30:])  # pure noise


def test_in_a_locale_without_the_characters_there_is_no_picture(
    drawn: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    model = str(drawn[0] / "m.safetensors")
    words = [sys.executable, "-m", "mezzotint", "sample", model, "7"]
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    said = in_terminal(words, tmp_path, **TRUE, **plain)
    assert said == "m-7-seed0.png\r\n"


def test_a_pipe_gets_no_picture(drawn: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    model = str(drawn[0] / "m.safetensors")
    ran = mezzo("sample", model, "7", folder=tmp_path, env=KITTY)
    assert ran.stdout == "m-7-seed0.png\n"
