"""A folder of small pictures that is as odd as people's folders are, with a description of what is in it.

    python tests/nasty.py FOLDER --count 2000

Names, formats, metadata, links, copies and left-overs of other systems are mixed. The same count and seed
make the same bytes; what a file system does not take is left out, and said. Nothing here needs the package.
"""

import argparse
import io
import json
import os
import random
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = [
    "with two spaces",
    unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"),
    unicodedata.normalize("NFD", "Ångström"),
    "\N{CAT FACE} cats",
    "100% %s {0}",
    "$x^2_1$",
    'it\'s "quoted" `here`',
    "-dash",
    "Cats",
    "cats",
    "l" + "o" * 198 + "ng",
    *map(str, range(1, 12)),
]
"""Names of classes, which are the names of folders."""

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
TURNED = struct.pack("<HHII", 0x0112, 3, 1, 6)
SPOILT = struct.pack("<HHI4s", 0xA005, 2, 4, b"abc\0")
"""An EXIF entry that makes Pillow raise struct.error: text in the place of a directory."""

Encoder = Callable[[Image.Image], bytes]


def exif(*entries: bytes) -> bytes:
    """EXIF data of one directory of these entries."""
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + b"".join(entries) + b"\0\0\0\0"


def encoder(kind: str, mode: str, **options: Any) -> Encoder:
    """From a picture in RGB to a file's bytes, in this format and mode."""

    def encode(picture: Image.Image) -> bytes:
        stream = io.BytesIO()
        if mode == "I;16":
            grey = np.asarray(picture.convert("L")).astype(np.uint16)
            converted = Image.fromarray(grey * 257)
        elif mode == "P":
            converted = picture.quantize(16)
        else:
            converted = picture.convert(mode)
        converted.save(stream, kind, **options)
        return stream.getvalue()

    return encode


GOOD: list[tuple[str, str, Encoder]] = [
    *(
        (f"PNG {mode}", ".png", encoder("PNG", mode))
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    ),
    ("PNG I;16", ".png", encoder("PNG", "I;16")),
    ("PNG P, transparent", ".png", encoder("PNG", "P", transparency=0)),
    ("JPEG", ".jpg", encoder("JPEG", "RGB")),
    ("JPEG, grey", ".JPEG", encoder("JPEG", "L")),
    ("JPEG CMYK", ".jpg", encoder("JPEG", "CMYK")),
    ("JPEG, to be turned", ".jpg", encoder("JPEG", "RGB", exif=exif(TURNED))),
    ("JPEG by its other ending", ".jfif", encoder("JPEG", "RGB")),
    ("GIF", ".gif", encoder("GIF", "P")),
    ("WebP", ".webp", encoder("WEBP", "RGB", lossless=True)),
    ("WebP, transparent", ".webp", encoder("WEBP", "RGBA", lossless=True)),
    ("BMP", ".bmp", encoder("BMP", "RGB")),
    ("TIFF", ".tif", encoder("TIFF", "RGB")),
    ("TIFF I;16", ".tiff", encoder("TIFF", "I;16")),
    ("PPM", ".ppm", encoder("PPM", "RGB")),
    ("PGM", ".pgm", encoder("PPM", "L")),
    ("PNG, in capitals", ".PNG", encoder("PNG", "RGB")),
    ("PNG without an ending", "", encoder("PNG", "RGB")),
    ("JPEG called .png", ".png", encoder("JPEG", "RGB")),
    ("PNG called .dat", ".dat", encoder("PNG", "RGB")),
    ("JPEG with spoilt EXIF", ".jpg", encoder("JPEG", "RGB", exif=exif(TURNED, SPOILT))),
]
"""Pictures that Pillow decodes to the end: what they are, the ending of their names, and their bytes. Those
with spoilt EXIF have healthy pixels, and count as good."""


@dataclass
class Nasty:
    """The folder while it is written, and its description."""

    folder: Path
    draw: random.Random
    good: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    bad: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
    copies: list[list[str]] = field(default_factory=list)
    not_made: list[dict[str, str]] = field(default_factory=list)

    def path(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    def make(self, path: Path, what: str, write: Callable[[Path], object]) -> bool:
        """Write one entry; whether the file system took it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                raise FileExistsError("there is one of that name")
            write(path)
        except (OSError, UnicodeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.not_made.append({"path": self.path(path), "what": what, "why": reason})
            return False
        return True

    def picture(self) -> Image.Image:
        """Noise of its own in a frame of one colour, of one of a few small sizes."""
        width, height = (self.draw.choice((8, 8, 8, 12, 16)) for _ in range(2))
        noise = np.frombuffer(self.draw.randbytes(width * height * 3), np.uint8)
        pixels = noise.reshape(height, width, 3).copy()
        pixels[0] = pixels[:, 0] = self.draw.randrange(256)
        return Image.fromarray(pixels)

    def add_good(self, name: str, stem: str, number: int) -> None:
        """A picture of the class, in the format whose turn it is."""
        what, ending, encode = GOOD[number % len(GOOD)]
        content = encode(self.picture())
        if self.make(self.folder / name / (stem + ending), what, lambda p: p.write_bytes(content)):
            self.good[name] += 1
            self.kinds[what] = self.kinds.get(what, 0) + 1

    def add_bad(self, path: Path, why: str, write: Callable[[Path], object]) -> None:
        if self.make(path, why, write):
            self.bad.append({"path": self.path(path), "why": why})

    def add_ignored(self, path: Path, why: str, content: bytes) -> None:
        if self.make(path, why, lambda p: p.write_bytes(content)):
            self.ignored.append({"path": self.path(path), "why": why})

    def add_copy(self, first: Path, name: str, stem: str) -> None:
        """The bytes of ``first`` once more, in the class ``name``."""
        second = self.folder / name / (stem + first.suffix)
        content = first.read_bytes()
        if self.make(second, "a copy", lambda p: p.write_bytes(content)):
            self.good[name] += 1
            self.copies.append([self.path(first), self.path(second)])


STEMS: list[Callable[[int], str]] = [
    lambda k: f"{k:05}",
    lambda k: f"picture {k}",
    lambda k: f"ü{k}",
    lambda k: f"u\N{COMBINING DIAERESIS}{k}",
    lambda k: f"-{k}",
    lambda k: f"\N{PARTY POPPER}{k}",
    lambda k: f"{k}%d",
    lambda k: f"$a_{k}^b$",
    lambda k: f"'{k}' \"",
    lambda k: f"{k}.2024-01-01",
    lambda k: f"{k} (copy)",
    lambda k: os.fsdecode(b"caf\xe9" + str(k).encode()),
]
"""Names of files; the last is not UTF-8."""


def add_faults(nasty: Nasty, name: str) -> None:
    """One of each thing that is no good picture, in the folder of a class."""
    place = nasty.folder / name
    png = encoder("PNG", "RGB")(nasty.picture())
    jpeg = encoder("JPEG", "RGB")(nasty.picture())
    contents = {
        "bad-cut1.png": ("cut after 1 byte", png[:1]),
        "bad-cut20.png": ("cut after 20 bytes", png[:20]),
        "bad-half.png": ("cut at half", png[: len(png) // 2]),
        "bad-half.jpg": ("cut at a quarter, within the tables", jpeg[: len(jpeg) // 4]),
        "bad-empty.png": ("empty", b""),
        "bad-text.png": ("text", b"this is no picture\n"),
        "bad-page.jpg": ("an error page", b"<!DOCTYPE html><html>404</html>"),
        "bad-lfs.png": ("a git-lfs pointer", LFS.format("0" * 64, len(png)).encode()),
    }
    for file, (why, content) in contents.items():
        nasty.add_bad(place / file, why, lambda p, c=content: p.write_bytes(c))  # type: ignore[misc]
    nasty.add_bad(place / "bad-gone.png", "a link to nowhere", lambda p: p.symlink_to("gone/x.png"))
    nasty.add_bad(place / "bad-loop.png", "a link to itself", lambda p: p.symlink_to(p.name))
    nasty.add_bad(place / "bad-pipe.png", "a pipe, which is not to be waited for", _pipe)
    nasty.add_bad(
        place / "bad-shut.png",
        "a good picture of mode 000, which root alone may read",
        lambda p: (p.write_bytes(png), p.chmod(0)),
    )
    nasty.add_bad(
        place / os.fsdecode(b"bad-\xe9\xff.png"),
        "cut at half, and a name that is not UTF-8",
        lambda p: p.write_bytes(png[: len(png) // 2]),
    )
    nasty.add_bad(place / "bad-up", "a link to the folder above", lambda p: p.symlink_to(".."))
    nasty.add_ignored(place / "._bad-cut1.png", "AppleDouble", b"\0\5\x16\7\0\2")
    nasty.add_ignored(place / ".hidden.png", "a hidden file", png)
    nasty.add_ignored(place / "Thumbs.db", "left by Windows", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    nasty.add_ignored(place / ".DS_Store", "left by macOS", b"\0\0\0\1Bud1")
    nasty.add_ignored(place / "readme.txt", "text", b"about these pictures\n")


def _pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        raise OSError("this system has no pipes in folders")
    os.mkfifo(path)


def add_around(nasty: Nasty) -> None:
    """What lies beside the folders of classes."""
    folder = nasty.folder
    nasty.add_ignored(folder / ".DS_Store", "left by macOS", b"\0\0\0\1Bud1")
    nasty.add_ignored(folder / "Thumbs.db", "left by Windows", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    nasty.add_ignored(folder / "README.md", "text", b"# Pictures\n")
    nasty.add_ignored(
        folder / "__MACOSX" / "cats" / "._00000.png", "AppleDouble, left by macOS", b"\0\5\x16\7"
    )
    nasty.add_ignored(folder / ".git" / "HEAD", "a hidden folder", b"ref: refs/heads/main\n")
    nasty.add_bad(
        folder / "gone class", "a class that is a link to nowhere", lambda p: p.symlink_to("gone")
    )
    nasty.add_bad(
        folder / "looping class", "a class that is a link to itself", lambda p: p.symlink_to(p.name)
    )


def make_nasty(folder: Path, count: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Write the folder, which must not be there yet or be empty.

    Returns:
        ``classes``: how many good pictures are in the folder of each name; ``kinds``: how many of each
        format; ``bad``: what is no good picture, and why; ``ignored``: what is no picture at all;
        ``copies``: pairs of equal files, which are all counted as good; ``not_made``: what this file
        system does not take. Paths are relative, with bytes that are not UTF-8 as surrogates.

    Raises:
        FileExistsError: where there is something in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    nasty = Nasty(folder, random.Random(seed))
    for name in CLASSES:
        if nasty.make(folder / name, "a class", lambda p: p.mkdir()):
            nasty.good[name] = 0
    names = list(nasty.good)
    for number in range(count):
        stem = STEMS[nasty.draw.randrange(len(STEMS))](number)
        nasty.add_good(names[number % len(names)], stem, number)
    for name in names[:: max(1, len(names) // 6)]:
        add_faults(nasty, name)
        files = [p for p in sorted((folder / name).iterdir()) if p.is_file() and not p.is_symlink()]
        whole = [p for p in files if not p.name.startswith((".", "bad-", "Thumbs", "readme"))]
        other = names[(names.index(name) + 1) % len(names)]
        for k, path in enumerate(whole[:3]):
            nasty.add_copy(path, name, f"same class {k}")
            nasty.add_copy(path, other, f"of another class {k}")
    add_around(nasty)
    return {
        "classes": nasty.good,
        "kinds": nasty.kinds,
        "bad": nasty.bad,
        "ignored": nasty.ignored,
        "copies": nasty.copies,
        "not_made": nasty.not_made,
    }


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(
        description="Write a folder of pictures that is as odd as can be."
    )
    parser.add_argument("folder", type=Path, help="a folder that is not there yet, or is empty")
    parser.add_argument("--count", type=int, default=2000, help="good pictures, beside copies")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(make_nasty(given.folder, given.count, given.seed), indent=1))


if __name__ == "__main__":
    main()
