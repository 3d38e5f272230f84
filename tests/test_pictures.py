"""Pictures of every mode, turned, transparent, of any size or broken, as arrays."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mezzotint.data.decode import read_header, read_picture
from mezzotint.data.transforms import Fit, Frame, fitted

COLOUR = (10, 200, 30)
LUMA = round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)  # ITU-R 601-2


def read(path: Path, channels: int, **frame: Any) -> NDArray[Any]:
    return read_picture(path, channels, Frame(**frame))


def save(picture: Image.Image, path: Path, **options: Any) -> Path:
    picture.save(path, **options)
    return path


# --- Modes: each with what its two pixels are, left to right, in grey and in colour.


def palette(transparent: bool) -> tuple[Image.Image, dict[str, Any]]:
    """Red and green by number; the number 0, red, is transparent if asked for."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    return picture, {"transparency": 0} if transparent else {}


def two(mode: str, left: Any, right: Any) -> tuple[Image.Image, dict[str, Any]]:
    picture = Image.new(mode, (2, 1), left)
    picture.putpixel((1, 0), right)
    return picture, {}


RED, GREEN = (255, 0, 0), (0, 255, 0)
MODES = {
    "L": (two("L", 7, 250), ".png", [(7, 7, 7), (250, 250, 250)]),
    "LA": (two("LA", (7, 255), (250, 0)), ".png", [(7, 7, 7), (0, 0, 0)]),
    "RGB": (two("RGB", COLOUR, GREEN), ".png", [COLOUR, GREEN]),
    "RGBA": (two("RGBA", (*COLOUR, 255), (*GREEN, 0)), ".png", [COLOUR, (0, 0, 0)]),
    "P": (palette(False), ".png", [RED, GREEN]),
    "P-transparent": (palette(True), ".png", [(0, 0, 0), GREEN]),
    "P-gif": (palette(True), ".gif", [(0, 0, 0), GREEN]),
    "1": (two("1", 0, 1), ".png", [(0, 0, 0), (255, 255, 255)]),
    "CMYK": (two("CMYK", (0, 255, 255, 0), (255, 0, 255, 0)), ".tif", [RED, GREEN]),
    "I;16": (two("I;16", 0x0780, 0xFFFF), ".png", [(7, 7, 7), (255, 255, 255)]),
    "RGB-keyed": (
        (two("RGB", COLOUR, GREEN)[0], {"transparency": GREEN}),
        ".png",
        [COLOUR, (0, 0, 0)],
    ),
}


def grey(colour: tuple[int, ...]) -> int:
    return round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_its_real_colours(tmp_path: Path, mode: str, channels: int) -> None:
    (picture, options), suffix, expected = MODES[mode]
    path = save(picture, tmp_path / f"picture{suffix}", **options)
    with Image.open(path) as stored:
        assert stored.mode == mode.split("-")[0]  # the file really is what the test is about
    found = read(path, channels)
    assert found.dtype == np.uint8
    assert found.shape == (channels, 1, 2)
    pixels = [tuple(found[:, 0, column].tolist()) for column in (0, 1)]
    assert pixels == (expected if channels == 3 else [(grey(colour),) for colour in expected])


def test_pictures_without_a_range_of_values_are_refused_by_name(tmp_path: Path) -> None:
    path = save(Image.new("F", (2, 2), 0.5), tmp_path / "heights.tif")
    with pytest.raises(ValueError, match=r"heights\.tif.*mode F"):
        read(path, 1)


# --- Transparency.


@pytest.mark.parametrize("background", [0, 100, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_colours_give_way_to_the_background(
    tmp_path: Path, background: int, channels: int
) -> None:
    path = save(Image.new("RGBA", (3, 2), (10, 20, 30, 0)), tmp_path / "hidden.png")
    found = read(path, channels, background=background)
    assert (found == background).all()
    assert found.shape == (channels, 2, 3)


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path: Path) -> None:
    path = save(Image.new("LA", (1, 1), (200, 128)), tmp_path / "half.png")
    share = 128 / 255
    found = read(path, 1, background=50).item()
    assert found == pytest.approx(200 * share + 50 * (1 - share), abs=1)


# --- EXIF.


def test_a_picture_taken_sideways_stands_upright(tmp_path: Path) -> None:
    lying = Image.new("L", (4, 2), 0)
    lying.paste(255, (0, 0, 2, 2))  # the left half is lit
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise: its left becomes its top
    path = save(lying, tmp_path / "sideways.jpg", exif=exif, quality=100)
    assert read_header(path) == ("L", (4, 2))
    found = read(path, 1)
    assert found.shape == (1, 4, 2)
    assert (found[0, :2] > 200).all()
    assert (found[0, 2:] < 55).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_read_header_tells_the_size_that_reading_gives(tmp_path: Path, suffix: str) -> None:
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        path = save(Image.new("RGB", (4, 2)), tmp_path / f"{turn}{suffix}", exif=exif)
        assert read_header(path) == ("RGB", read(path, 3).shape[1:])


# --- Size.

# Columns 0, 10, ..., 70 of a picture 4 high and 8 wide.
RAMP = Image.fromarray(np.tile(np.arange(0, 80, 10, dtype=np.uint8), (4, 1)))


def test_cropping_keeps_the_middle_as_it_is() -> None:
    assert np.array_equal(fitted(RAMP, (4, 4), "crop", 9), np.asarray(RAMP)[:, 2:6])
    upright = RAMP.transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(fitted(upright, (4, 4), "crop", 9), np.asarray(upright)[2:6])


def test_padding_centres_small_pictures_on_the_background() -> None:
    found = np.asarray(fitted(RAMP, (6, 12), "pad", 99))
    assert np.array_equal(found[1:5, 2:10], np.asarray(RAMP))
    assert (found == 99).sum() == 6 * 12 - 4 * 8


def test_padding_shrinks_large_pictures_until_they_fit() -> None:
    found = np.asarray(fitted(Image.new("RGB", (8, 4), COLOUR), (4, 4), "pad", 99))
    assert (found[1:3] == COLOUR).all()
    assert (found[[0, 3]] == 99).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
@pytest.mark.parametrize("shape", [(300, 1), (1, 300), (1, 1), (8, 8), (7, 9), (31, 17)], ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_shape_comes_to_size(fit: Fit, shape: tuple[int, int], mode: str) -> None:
    level = 200 if mode == "L" else (200, 200, 200)
    found = np.asarray(fitted(Image.new(mode, shape, level), (8, 8), fit, 0))
    assert found.shape[:2] == (8, 8)
    assert (found == 200).any()  # the picture did not vanish
    if fit != "pad":
        assert (found == 200).all()


def test_resizing_stretches() -> None:
    found = np.asarray(fitted(RAMP, (4, 4), "resize", 0)).astype(int)
    assert found[0, 0] < 15  # the ends of the ramp are still there
    assert found[0, -1] > 55
    assert (np.diff(found[0]) > 0).all()
    assert (found == found[0]).all()


def test_a_frame_applies_to_what_is_read(tmp_path: Path) -> None:
    path = save(RAMP, tmp_path / "ramp.png")
    assert np.array_equal(read(path, 1, size=(4, 4))[0], np.asarray(RAMP)[:, 2:6])
    padded = read(path, 3, size=(6, 8), fit="pad", background=9)
    assert padded.shape == (3, 6, 8)
    assert (padded[:, [0, 5]] == 9).all()
    assert np.array_equal(padded[1, 1:5], np.asarray(RAMP))


# --- Broken files.


def png_in_parts() -> bytes:
    """A PNG of noise whose data are in many chunks, put together by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IDAT", packed[k : k + 50]) for k in range(0, len(packed), 50)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + chunk(b"IEND", b"")


WHOLE = png_in_parts()


@pytest.mark.parametrize("length", [0, 1, 20, 100, len(WHOLE) // 2])
def test_a_cut_picture_is_refused_by_name(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(ValueError, match=r"cut\.png is a broken picture"):
        read(path, 1)


def test_a_picture_cut_anywhere_is_refused_by_name_or_reads_the_same(tmp_path: Path) -> None:
    path, refused = tmp_path / "cut.png", 0
    path.write_bytes(WHOLE)
    whole = read(path, 1)
    for length in range(len(WHOLE)):
        path.write_bytes(WHOLE[:length])
        try:
            assert np.array_equal(read(path, 1), whole), f"{length} bytes: other pixels"
        except ValueError as error:
            refused += 1
            assert "cut.png" in str(error)  # noqa: PT017
    assert refused > len(WHOLE) - 40  # only its last checks and end may be missing


@pytest.mark.parametrize(
    "content", [b"this is text\n", b"<html>403</html>", b"GIF89a", b"\xff\xd8"]
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.png"
    path.write_bytes(content)
    for look in (read_header, lambda file: read(file, 3)):
        with pytest.raises(ValueError, match=r"note\.png is a broken picture"):
            look(path)
