"""Pictures as other people have them: cases D40 to D42, and others of their kind.

Where there is more than one right way (read, or counted and named), each is taken, and silence is not.
"""

import os
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from mezzotint.data.samples import read_images
from other_files import (
    LFS,
    ORIENTATION,
    SPOILT,
    TINY,
    Eye,
    Seen,
    all_numbers,
    attempt,
    classes_of,
    draw,
    exif,
    is_linked,
    jpeg,
    numbers,
)

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 9 pictures each, of which none is kept for testing; caches are of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        classes_of(tmp_path / "pics" / split, {"cat": 9, "dog": 9})
    return tmp_path / "pics" / "train"


@pytest.fixture
def eye(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Eye:
    return Eye(capsys, tmp_path)


def look(eye: Eye, root: Path, **options: Any) -> Seen:
    """What training sees of the folder that ``root`` is the training split of."""
    return eye.look(f"folder:{root.parent}", **options)


# --- D40: healthy pixels, broken metadata.


def png(*chunks: tuple[bytes, bytes], level: int = 200) -> bytes:
    """A grey picture of one level, with these chunks before its pixels."""

    def packed(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = packed(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + bytes([level]) * 8) * 8)
    middle = b"".join(packed(kind, content) for kind, content in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + middle + packed(b"IDAT", rows) + packed(b"IEND", b"")


def short(tag: int, value: int, kind: int = 3) -> bytes:
    """An EXIF entry of one value of two bytes."""
    return struct.pack("<HHI", tag, kind, 1) + struct.pack("<hH", value, 0)


FLAT = Image.new("L", (8, 8), 200)
METADATA: dict[str, tuple[str, bytes]] = {
    "an EXIF directory of text": ("x.jpg", jpeg(FLAT, exif=exif(ORIENTATION, SPOILT))),
    "the same in a PNG": ("x.png", png((b"eXIf", exif(ORIENTATION, SPOILT)[6:]))),
    "EXIF cut": ("x.jpg", jpeg(FLAT, exif=exif(ORIENTATION, SPOILT)[:20])),
    "EXIF of zeros": ("x.jpg", jpeg(FLAT, exif=b"Exif\0\0" + bytes(20))),
    "EXIF that points at itself": (
        "x.jpg",
        jpeg(FLAT, exif=exif(short(0x0112, 1), struct.pack("<HHII", 0x8769, 4, 1, 8))),
    ),
    "a negative orientation": ("x.jpg", jpeg(FLAT, exif=exif(short(0x0112, -1, kind=8)))),
    "an orientation of 0": ("x.jpg", jpeg(FLAT, exif=exif(short(0x0112, 0)))),
    "an orientation of 99": ("x.jpg", jpeg(FLAT, exif=exif(short(0x0112, 99)))),
    "an orientation in words": (
        "x.jpg",
        jpeg(FLAT, exif=exif(struct.pack("<HHI4s", 0x0112, 2, 4, b"top\0"))),
    ),
    "an orientation of two numbers": (
        "x.jpg",
        jpeg(FLAT, exif=exif(struct.pack("<HHIHH", 0x0112, 3, 2, 6, 6))),
    ),
    "a colour profile of noise": ("x.jpg", jpeg(FLAT, icc_profile=bytes(range(256)) * 3)),
    "the same in a PNG, not even packed": ("x.png", png((b"iCCP", b"name\0\0" + bytes(20)))),
    "a text that unpacks to 70 MB": (
        "x.png",
        png((b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000_000), 9))),
    ),
    "a text of no encoding": ("x.png", png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe<"))),
    "XMP that is no XML": (
        "x.jpg",
        jpeg(FLAT, xmp=b"<x:xmpmeta tiff:Orientation='six'<<<"),
    ),
}


def read_or_counted(eye: Eye, root: Path, bad: Path, good: int) -> Seen:
    """What is seen with ``skip``: ``bad`` is read, or refused by name, and counted by name where broken
    pictures are to be skipped."""
    refused, skipped = look(eye, root), look(eye, root, broken="skip")
    if refused.data is None:
        assert refused.says(bad.name), refused.words
        assert len(skipped.images) == good
        assert skipped.says(bad.name, 1), skipped.words
    else:
        assert len(skipped.images) == len(refused.images) == good + 1
    return skipped


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what it mends
@pytest.mark.parametrize("fault", METADATA)
def test_d40_healthy_pixels_are_read_or_the_picture_is_counted_as_broken(
    eye: Eye, root: Path, fault: str
) -> None:
    name, content = METADATA[fault]
    bad = root / "dog" / f"bad{name}"
    bad.write_bytes(content)
    seen = read_or_counted(eye, root, bad, 18)
    if len(seen.images) == 19:
        (flat,) = (image for image in seen.images.images if image.unique().numel() == 1)
        assert abs(int(flat[0, 0, 0]) - 200) <= 2


def test_d40_a_picture_is_turned_though_the_rest_of_its_exif_is_spoilt(
    eye: Eye, root: Path
) -> None:
    """Orientation 6 brings what is stored on the left to the top."""
    wide = np.zeros((8, 16), np.uint8)
    wide[:, :8] = 255
    (root / "dog" / "bad.jpg").write_bytes(
        jpeg(Image.fromarray(wide), exif=exif(ORIENTATION, SPOILT))
    )
    seen = look(eye, root, size=8, fit="resize", broken="skip")
    if len(seen.images) == 18:
        assert seen.says("bad.jpg", 1), seen.words
        return
    turned = seen.images.images[-1, 0].float()
    assert turned[:3].mean() > 240
    assert turned[5:].mean() < 15


ERRORS: list[Exception] = [
    struct.error("unpack requires a buffer of 4 bytes"),
    KeyError("ColorMap"),
    IndexError("list index out of range"),
    ZeroDivisionError("division by zero"),
    OverflowError("cannot convert float infinity to integer"),
    AttributeError("'NoneType' object has no attribute 'read'"),
    TypeError("an integer is required"),
    RecursionError("maximum recursion depth exceeded"),
    AssertionError(),
    NotImplementedError("compression 7"),
    EOFError(),
    zlib.error("Error -3 while decompressing data"),
    Image.DecompressionBombError("too many pixels"),
]


@contextmanager
def format_that_raises(error: Exception, where: str) -> Iterator[None]:
    """Pillow knows one more format, of files that begin with BOOM: they cannot be opened, or decoded."""

    class Boom(ImageFile.ImageFile):
        format = "BOOM"

        def _open(self) -> None:
            if where == "opening":
                raise error
            self._size, self._mode = (8, 8), "L"
            self.tile = []

        def load(self) -> Any:
            raise error

    Image.preinit()
    Image.init()
    Image.register_open("BOOM", Boom, lambda prefix: prefix.startswith(b"BOOM"))
    try:
        yield
    finally:
        Image.ID.remove("BOOM")
        del Image.OPEN["BOOM"]


@pytest.mark.parametrize("where", ["opening", "decoding"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_d40_whatever_a_decoder_raises_is_caught_per_picture(
    eye: Eye, root: Path, error: Exception, where: str
) -> None:
    bad = root / "dog" / "bad.png"
    bad.write_bytes(b"BOOM")
    with format_that_raises(error, where):
        refused, skipped = look(eye, root), look(eye, root, broken="skip")
    assert refused.data is None
    assert refused.says("bad.png"), refused.words
    assert len(skipped.images) == 18
    assert skipped.says("bad.png", 1), skipped.words


def test_d40_an_interruption_is_no_fault_of_the_picture(eye: Eye, root: Path) -> None:
    (root / "dog" / "bad.png").write_bytes(b"BOOM")
    stop: Any = KeyboardInterrupt()
    with format_that_raises(stop, "decoding"), pytest.raises(KeyboardInterrupt):
        look(eye, root, broken="skip")


def test_d40_doctor_names_it_and_goes_on(eye: Eye, root: Path) -> None:
    (root / "dog" / "bad.png").write_bytes(b"BOOM")
    (eye.folder / "tiny.toml").write_text(TINY)
    with format_that_raises(struct.error("4 bytes"), "decoding"):
        status, words = eye.run("doctor", f"folder:{root.parent}", "--recipe", "tiny.toml")
    assert status == 0, words
    assert "bad.png" in words
    assert "cat 9" in words


def test_d40_so_does_an_evaluation_of_samples(root: Path) -> None:
    (root / "dog" / "bad.png").write_bytes(b"BOOM")
    with (
        format_that_raises(struct.error("4 bytes"), "decoding"),
        pytest.raises(ValueError, match=r"bad\.png"),
    ):
        read_images(root, ("cat", "dog"))


# --- D41: pictures left out by their ending.


def taken_or_left_out(seen: Seen, extra: list[str]) -> None:
    """All pictures are there, or those of these names are counted as left out, the first by name."""
    count = len(seen.images)
    if count == 18 + len(extra):
        return
    assert count == 18
    assert any(seen.says(name) for name in extra), f"left out silently: {seen.words}"
    assert seen.says(len(extra)), seen.words


ENDINGS = [
    ("PNG", ".jfif"),
    ("PNG", ""),
    ("PNG", ".JFIF"),
    ("PNG", ".jpe"),
    ("PNG", ".dat"),
    ("PNG", ".png.bak"),
    ("PNG", ".2024-01-01"),
    ("TGA", ".tga"),
    ("PCX", ".pcx"),
    ("SGI", ".bw"),
    ("TIFF", ".tif_"),
    ("PPM", ".pnm"),
]


@pytest.mark.parametrize(("kind", "ending"), ENDINGS, ids=str)
def test_d41_pictures_are_taken_or_counted_whatever_their_ending(
    eye: Eye, root: Path, kind: str, ending: str
) -> None:
    names = [f"extra{k}{ending}" for k in range(6)]
    for k, name in enumerate(names):
        draw(root / "dog" / name, 100 + k, kind)
    seen = look(eye, root, channels=1)
    taken_or_left_out(seen, names)
    if len(seen.images) == 24:
        assert {n for n in numbers(seen.images) if n >= 100} == set(range(100, 106))


def test_d41_a_class_of_nothing_else_is_no_empty_one_silently(eye: Eye, root: Path) -> None:
    names = [f"owl{k}.jfif" for k in range(6)]
    for k, name in enumerate(names):
        draw(root / "owl" / name, 100 + k)
    seen = look(eye, root)
    taken_or_left_out(seen, names)
    if len(seen.images) == 18:
        assert seen.says("owl"), seen.words
    else:
        assert seen.images.counts() == {"cat": 9, "dog": 9, "owl": 6}


def test_d41_a_folder_of_pictures_without_endings_alone(eye: Eye, root: Path) -> None:
    for k in range(9):
        draw(eye.folder / "hashes" / f"{k:032x}", k)
    seen = eye.look(f"folder:{eye.folder / 'hashes'}")
    if seen.data is None:
        assert seen.says("hashes"), seen.words
        assert any(seen.says(f"{k:032x}") for k in range(9)), seen.words
    else:
        parts = eye.parts(f"folder:{eye.folder / 'hashes'}")
        assert all_numbers(parts) == list(range(9))


def test_d41_what_is_no_picture_is_no_broken_picture_either(eye: Eye, root: Path) -> None:
    for name in ("readme.txt", "labels.csv", "LICENSE", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (root / "dog" / name).write_bytes(b"this is no picture\n" * 9)
    (root / "dog" / "._000.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    seen = look(eye, root)
    assert len(seen.images) == 18
    assert not seen.says("broken"), seen.words


def test_d41_samples_to_be_measured(root: Path) -> None:
    for k in range(3):
        draw(root / "dog" / f"extra{k}.jfif", 100 + k)
    found, words = attempt(lambda: read_images(root, ("cat", "dog")))
    if found is None:
        assert "extra0.jfif" in words
    else:
        assert len(found.images) == 21


# --- D42: data that are not there.


def missing(eye: Eye, root: Path, names: list[str], why: str = "") -> Seen:
    """Count and first name are said, as the data are refused, or, with ``skip`` at least, read."""
    seen, skipped = look(eye, root), look(eye, root, broken="skip")
    for found in (seen, skipped):
        assert any(found.says(name) for name in names), f"silent: {found.words}"
        assert why in found.words.lower(), found.words
    assert skipped.says(len(names)), skipped.words
    if skipped.data is not None:
        assert set(numbers(skipped.data)) == set(range(18))
    return seen


LINKS: dict[str, Callable[[Path], str]] = {
    "nowhere": lambda path: "/nowhere/at/all.png",
    "beside": lambda path: "moved.png",
    "loop": lambda path: path.name,
}


@pytest.mark.parametrize("target", LINKS)
def test_d42_links_that_lead_nowhere_are_counted_and_the_first_is_named(
    eye: Eye, root: Path, target: str
) -> None:
    names = [f"link{k}.png" for k in range(4)]
    for name in names:
        is_linked(root / "dog" / name, LINKS[target](root / "dog" / name))
    assert len(missing(eye, root, names).images) == 18


def test_d42_a_class_of_them_has_its_reason(eye: Eye, root: Path) -> None:
    names = [f"link{k}.png" for k in range(4)]
    for name in names:
        is_linked(root / "owl" / name, f"/nowhere/{name}")
    seen = missing(eye, root, names)
    assert seen.says("owl"), seen.words


@pytest.mark.parametrize("target", ["/nowhere/owl", "owl", "../owl"])
def test_d42_a_class_that_is_a_link_to_nowhere(eye: Eye, root: Path, target: str) -> None:
    is_linked(root / "owl", target)
    seen = look(eye, root)
    assert seen.says("owl"), f"silent: {seen.words}"


def test_d42_a_split_that_is_a_link_to_nowhere(eye: Eye, root: Path) -> None:
    shutil.rmtree(root.parent / "test")
    is_linked(root.parent / "test", "/nowhere/test")
    for split in ("train", "test"):
        seen = look(eye, root) if split == "train" else eye.look(f"folder:{root.parent}", "test")
        assert seen.says("test"), f"silent: {seen.words}"
        assert seen.data is None or seen.images.classes == ("cat", "dog")


def test_d42_links_that_lead_to_pictures_are_pictures(eye: Eye, root: Path) -> None:
    is_linked(root / "dog" / "link.png", draw(eye.folder / "elsewhere" / "a.png", 100))
    is_linked(root / "owl", classes_of(eye.folder / "more", {"owl": 3}, 101) / "owl")
    is_linked(root / "dog" / "up", "..")  # a loop of folders, once round
    seen = look(eye, root)
    assert seen.images.counts() == {"cat": 9, "dog": 10, "owl": 3}
    assert {n for n in numbers(seen.images) if n >= 100} == {100, 101, 102, 103}


@pytest.mark.parametrize(
    ("content", "why"),
    [(LFS, "lfs"), ("", ""), ("<!DOCTYPE html><html>404</html>", "")],
    ids=["git-lfs", "empty", "an error page"],
)
def test_d42_files_that_were_never_fetched(eye: Eye, root: Path, content: str, why: str) -> None:
    names = [f"not{k}.png" for k in range(4)]
    for name in names:
        (root / "dog" / name).write_text(content)
    assert missing(eye, root, names, why).data is None


def test_d42_a_class_of_pointers_has_its_reason(eye: Eye, root: Path) -> None:
    for k in range(4):
        draw(root / "owl" / f"not{k}.png", 0).write_text(LFS)
    seen = look(eye, root, broken="skip")
    assert seen.says("owl"), seen.words
    assert "lfs" in seen.words.lower(), seen.words
    assert seen.says(4), seen.words


@pytest.mark.skipif(ROOT, reason="root may read everything")
@pytest.mark.parametrize("what", ["file", "class"])
def test_d42_what_may_not_be_read_is_named(eye: Eye, root: Path, what: str) -> None:
    place = root / "owl" if what == "class" else root / "dog" / "shut.png"
    draw(place / "a.png" if what == "class" else place, 100)
    place.chmod(0)
    try:
        seen = look(eye, root, broken="skip")
    finally:
        place.chmod(0o755)
    assert seen.says(place.name), f"silent: {seen.words}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.parametrize("name", ["pipe.png", "pipe"])
def test_d42_a_pipe_is_not_waited_for(eye: Eye, root: Path, name: str) -> None:
    os.mkfifo(root / "dog" / name)

    def late(*_: object) -> None:
        raise TimeoutError("reading waits for a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        seen = look(eye, root, broken="skip")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert "waits" not in seen.words
    assert set(numbers(seen.images)) == set(range(18))
