"""What must not be remembered: what was written to images in memory, and faults that pass. Cases D46 and
D47, and others of their kind."""

import builtins
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mezzotint.data import open_data
from other_files import Eye, all_numbers, classes_of, numbers, pixels, write_idx, write_npz, zipped


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test's pictures lie; caches are its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pics"


@pytest.fixture
def eye(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Eye:
    return Eye(capsys, tmp_path)


# --- D46: writing to loaded data.


def write_folder(path: Path, count: int) -> str:
    return f"folder:{classes_of(path, {'cat': count // 2, 'dog': count - count // 2})}"


def write_zip(path: Path, count: int) -> str:
    write_folder(path, count)
    return f"folder:{zipped(path, path.with_suffix('.zip'))}"


def write_hub(path: Path, count: int) -> str:
    datasets = pytest.importorskip("datasets")
    values = {"image": [Image.fromarray(pixels(k)) for k in range(count)]}
    rows = datasets.Dataset.from_dict(
        values, features=datasets.Features({"image": datasets.Image()})
    )
    (path / "data").mkdir(parents=True)
    rows.to_parquet(path / "data" / "train-00000-of-00001.parquet")
    return f"hf:{path}"


def files_below(folder: Path) -> dict[Path, bytes]:
    left_out = {".lock", ".toml"}
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix not in left_out)
    return {p: p.read_bytes() for p in found}


@pytest.mark.parametrize("write", [write_folder, write_zip, write_npz, write_idx, write_hub])
def test_d46_what_is_written_to_images_stays_in_memory(
    eye: Eye,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, int], str],
) -> None:
    if write is write_hub:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", eye.folder / "hf")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    name = write(root, 40)
    first = open_data(name)
    known, labels = first.images.clone(), first.labels.clone()
    before = files_below(eye.folder)
    first.images.zero_()
    first.images.numpy()[:] = 7
    first.labels.fill_(0)
    again = open_data(name)
    assert (again.images == known).all()
    assert (again.labels == labels).all()
    assert (first.images == 7).all()
    del first, again
    assert files_below(eye.folder) == before


def test_d46_nor_do_named_data_sets_change(root: Path) -> None:
    first = open_data("mnist", "test")
    known = first.images[:100].clone()
    assert known.any()
    first.images.zero_()
    assert (open_data("mnist", "test").images[:100] == known).all()


@pytest.mark.slow
def test_d46_a_fresh_process_sees_the_original_pixels(root: Path) -> None:
    name = write_folder(root, 24)
    code = (
        "from mezzotint.data import open_data\n"
        f"images = open_data({name!r}).images\n"
        "print(images.long().sum().item())\n"
        "images.zero_()\n"
    )
    seen = [
        subprocess.run(
            [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [result.returncode for result in seen] == [0, 0], seen[0].stderr
    assert int(seen[0].stdout) == int(seen[1].stdout) > 0


# --- D47: a passing fault remembered.


class Failing(io.BufferedReader):
    """A file that cannot be read beyond its first bytes."""

    code = errno.EIO

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or self.tell() + size > 16:
            raise OSError(self.code, os.strerror(self.code))
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        raise OSError(self.code, os.strerror(self.code))


@contextmanager
def failing(target: Path, code: int, where: str, times: int = 10**6) -> Iterator[list[int]]:
    """``target`` cannot be opened, or read, the first so many times; how often that was met."""
    met: list[int] = []
    usual = io.open

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        mode = options.get("mode", arguments[0] if arguments else "r")
        mine = isinstance(file, str | os.PathLike) and Path(file).name == target.name
        if not mine or "b" not in mode or "r" not in mode or len(met) >= times:
            return usual(file, *arguments, **options)
        met.append(code)
        if where == "opening":
            raise OSError(code, os.strerror(code), str(file))
        stream = Failing(io.FileIO(file))
        stream.code = code
        return stream

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        yield met


CODES = ["EIO", "EACCES", "EMFILE", "ESTALE", "ENOMEM", "ETIMEDOUT"]


@pytest.mark.parametrize("where", ["opening", "reading"])
@pytest.mark.parametrize("code", CODES)
def test_d47_a_picture_that_could_not_be_read_once_is_there_the_next_time(
    eye: Eye, root: Path, code: str, where: str
) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    target = (root / "train" / "dog" / "005.png").rename(root / "train" / "dog" / "target.png")
    with failing(target, getattr(errno, code), where) as met:
        seen = eye.look(f"folder:{root}", broken="skip")
    assert met
    assert seen.says("target.png"), f"silent: {seen.words}"
    assert seen.data is None or len(seen.images) == 23
    again = eye.look(f"folder:{root}", broken="skip")
    assert set(numbers(again.images)) == set(range(24))
    assert not again.says("target.png"), again.words


@pytest.mark.parametrize("times", [1, 2, 3])
def test_d47_however_often_it_fails(eye: Eye, root: Path, times: int) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    target = (root / "train" / "cat" / "000.png").rename(root / "train" / "cat" / "target.png")
    with failing(target, errno.EIO, "opening", times):
        seen = eye.look(f"folder:{root}", broken="skip")
    complete = seen.data is not None and len(seen.data) == 24
    assert complete or seen.says("target.png"), f"silent: {seen.words}"
    assert set(numbers(eye.look(f"folder:{root}", broken="skip").images)) == set(range(24))


def test_d47_where_broken_pictures_are_refused(eye: Eye, root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    target = (root / "train" / "cat" / "005.png").rename(root / "train" / "cat" / "target.png")
    with failing(target, errno.EIO, "opening"):
        seen = eye.look(f"folder:{root}")
    assert seen.data is None
    assert seen.says("target.png"), seen.words
    assert os.strerror(errno.EIO) in seen.words, seen.words
    assert len(eye.look(f"folder:{root}").images) == 24


def test_d47_broken_pictures_beside_it_stay_left_out(eye: Eye, root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    (root / "train" / "cat" / "bad.png").write_bytes(b"no picture")
    target = (root / "train" / "dog" / "005.png").rename(root / "train" / "dog" / "target.png")
    with failing(target, errno.EIO, "reading"):
        eye.look(f"folder:{root}", broken="skip")
    for _ in range(2):
        again = eye.look(f"folder:{root}", broken="skip")
        assert set(numbers(again.images)) == set(range(24))
        assert again.says("bad.png", 1), again.words


def test_d47_colours_are_not_lost_by_it(eye: Eye, root: Path) -> None:
    """One picture is in colour, and cannot be opened the first time, when it is asked for its mode."""
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    target = root / "train" / "dog" / "target.png"
    Image.new("RGB", (8, 8), (200, 10, 10)).save(target)
    with failing(target, errno.EIO, "opening", times=1):
        seen = eye.look(f"folder:{root}", broken="skip")
    told = seen.says("target.png")
    assert told or seen.images.channels == 3, f"grey, and silent: {seen.words}"
    assert eye.look(f"folder:{root}", broken="skip").images.channels == 3


def test_d47_an_archive_that_could_not_be_read_once(eye: Eye, root: Path) -> None:
    path = zipped(classes_of(root, {"cat": 12, "dog": 12}), root.with_suffix(".zip"))
    with failing(path, errno.EIO, "reading"):
        seen = eye.look(f"folder:{path}")
    assert seen.data is None
    assert seen.says("pics.zip"), seen.words
    assert all_numbers(eye.parts(f"folder:{path}")) == list(range(24))
