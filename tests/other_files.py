"""Files as other people have them, and what is seen of them from outside: for the tests of odd folders,
archives and arrays."""

import functools
import io
import os
import re
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common import idx_file, tiny_recipe
from mezzotint import build, weights
from mezzotint.cli import main
from mezzotint.data import ImageData, ImageSpec
from mezzotint.recipe.schema import Data
from models import random_weights

T = TypeVar("T")

SIDE = 8
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
"""What stands in the place of a file that git-lfs has not fetched."""


# --- Pictures.


def pixels(number: int) -> NDArray[np.uint8]:
    """Grey noise that no other number has."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


@functools.cache
def _known() -> dict[bytes, int]:
    return {pixels(number).tobytes(): number for number in range(500)}


def numbers(data: ImageData) -> list[int]:
    """Which of our pictures are in ``data``, in its order; each whole, and grey."""
    assert data.images.shape[1:] == (1, SIDE, SIDE)
    return [_known()[image.numpy().tobytes()] for image in data.images]


def all_numbers(parts: Iterable[ImageData]) -> list[int]:
    """Which of our pictures are in several sets of data, in order of number."""
    return sorted(number for part in parts for number in numbers(part))


def draw(path: Path, number: int, kind: str = "PNG") -> Path:
    """The picture of that number in a file, whatever the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).save(path, kind)
    return path


def classes_of(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """A folder of pictures for each class, numbered on from ``first``; ``root`` itself."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            draw(root / name / f"{k:03}.png", first + k)
        first += count
    return root


def zipped(folder: Path, path: Path, name: Callable[[str], str] = str) -> Path:
    """An archive of what is in ``folder``, each member named as ``name`` makes it of its path."""
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = zipfile.ZipInfo(name(str(file.relative_to(folder.parent))))
            opened.writestr(member, file.read_bytes())
    return path


def exif(*entries: bytes) -> bytes:
    """EXIF data of one directory with these entries of twelve bytes."""
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + b"".join(entries) + b"\0\0\0\0"


ORIENTATION = struct.pack("<HHII", 0x0112, 3, 1, 6)
"""A quarter turn is due, clockwise."""
SPOILT = struct.pack("<HHI4s", 0xA005, 2, 4, b"abc\0")
"""Text where the place of another directory should be: Pillow raises struct.error."""


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


# --- What is seen of them.


@dataclass(frozen=True)
class Seen:
    """What came of reading: the images, or None where they were refused; and all that was said on the way,
    without bars, and without the folder that the test works in."""

    data: ImageData | None
    words: str

    @property
    def images(self) -> ImageData:
        assert self.data is not None, f"refused: {self.words}"
        return self.data

    def says(self, *parts: str | int) -> bool:
        """Whether all of these are in its words; a number, or a name, as a word of its own."""
        return all(says(self.words, part) for part in parts)


def says(words: str, part: str | int) -> bool:
    """Whether ``part`` stands in ``words`` by itself, not as a piece of another word or number."""
    return re.search(rf"(?<![\w.]){re.escape(str(part))}(?!\w)", words) is not None


def plain(text: str, *folders: Path) -> str:
    """``text`` without progress bars and without these folders."""
    bar = re.compile(r"\d%\||\[\d\d:\d\d")
    whole = "\n".join(line for line in re.split(r"[\r\n]+", text) if not bar.search(line))
    for folder in folders:
        whole = whole.replace(str(folder), "")
    return whole


def attempt(call: Callable[[], T]) -> tuple[T | None, str]:
    """What ``call`` returns, or None and the words in which it is refused."""
    try:
        return call(), ""
    except (ValueError, OSError) as error:
        return None, str(error)


@dataclass(frozen=True)
class Eye:
    """Reads data, or runs the command line, and tells what came of it."""

    capsys: pytest.CaptureFixture[str]
    folder: Path

    def look(self, name: str, split: Any = "train", **options: Any) -> Seen:
        """The data set as a recipe's ``[data]`` has it. Only what the command line would tell in a line
        is taken for a refusal: anything else that is raised is a fault."""
        self.capsys.readouterr()
        data, told = attempt(lambda: build.load_data(Data(name=name, **options), split))
        told = told if data is None else "\n".join(data.warnings())
        heard = self.capsys.readouterr()
        return Seen(data, plain("\n".join([heard.out, heard.err, told]), self.folder))

    def parts(self, name: str, **options: Any) -> list[ImageData]:
        """What both splits hold together; of so few pictures that none is left for testing, all."""
        train, test = (self.look(name, split, **options) for split in ("train", "test"))
        assert test.data is not None or "test" in test.words, test.words
        return [train.images] if test.data is None else [train.images, test.data]

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit status and words of the command line."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        heard = self.capsys.readouterr()
        status = ended.value.code
        told = status if isinstance(status, str) else ""
        words = plain("\n".join([heard.out, heard.err, told]), self.folder)
        return (1 if told else int(status or 0)), words


TINY = (
    'base = "digits"\n[net]\nwidth = 8\nblocks = 1\nembedding = 16\nheads = 2\ngroups = 4\n'
    "[training]\nsteps = 2\nbatch = 8\nwarmup = 0\nsample_every = 0\nlog_every = 1\n"
    "[sampling]\nsteps = 2\n"
)
"""A recipe that trains in a moment, as a file."""


def escaped(words: str, name: bytes) -> bool:
    """Whether ``words`` can be printed anywhere, and hold ``name`` in escapes of one kind or another."""
    words.encode("utf-8")  # or there is a lone surrogate in them
    kinds = (
        name.decode("ascii", "backslashreplace"),
        name.decode("utf-8", "surrogateescape").encode("ascii", "backslashreplace").decode(),
    )
    return any(kind.lower() in words.lower() for kind in kinds)


def named(path: Path, name: bytes) -> Path:
    """``name`` below ``path``; the test is skipped where the system takes no such names."""
    found = path / os.fsdecode(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        found.touch()
        found.unlink()
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    if sys.platform == "darwin":
        pytest.skip("this system rewrites names")
    return found


def is_linked(path: Path, target: Path | str) -> Path:
    """A link at ``path``, to where there need be nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def drawn(eye: Eye, classes: tuple[str, ...], word: str) -> str | None:
    """The class of which ``sample MODEL word`` draws an image, or None where it is refused by name."""
    recipe, spec = tiny_recipe(), ImageSpec((8, 8), 1, classes)
    model = eye.folder / "model.safetensors"
    weights.write(model, random_weights(recipe, spec), recipe, spec)
    out = eye.folder / "drawn.npz"
    status, words = eye.run("sample", model, word, "--out", out, "--steps", "1")
    if status:
        assert word in words, words
        assert not out.exists()
        return None
    (label,) = np.load(out)["labels"].tolist()
    return classes[label]


def write_npz(path: Path, count: int) -> str:
    images = np.stack([pixels(k) for k in range(count)])
    np.savez(path.with_suffix(".npz"), images=images, labels=np.arange(count) % 2)
    return f"npz:{path.with_suffix('.npz')}"


def write_idx(path: Path, count: int) -> str:
    images = np.stack([pixels(k) for k in range(count)])
    path.with_name("my-images-idx3").write_bytes(idx_file(images))
    labels = (np.arange(count) % 2).astype(np.uint8)
    path.with_name("my-labels-idx1").write_bytes(idx_file(labels))
    return f"idx:{path.with_name('my-images-idx3')}"
