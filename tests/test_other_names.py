"""Names as other people write them: cases D37 and D38, and others of their kind.

Where there is more than one right way (read, or refused in words), each is taken, and silence is not.
"""

import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mezzotint
from common import tiny_recipe
from mezzotint.data.samples import read_images
from other_files import (
    TINY,
    Eye,
    Seen,
    attempt,
    classes_of,
    draw,
    drawn,
    escaped,
    named,
    numbers,
    pixels,
    zipped,
)

PETS = {"cat": 12, "dog": 12}
LATIN = b"caf\xe9"


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


# --- D37: names that are not UTF-8.


def read_or_escaped(eye: Eye, name: str, count: int, bad: bytes) -> Seen:
    """All is read, or refused with the name in escapes."""
    seen = eye.look(name)
    if seen.data is None:
        assert escaped(seen.words, bad), ascii(seen.words)
    else:
        assert sum(map(len, eye.parts(name))) == count
    return seen


def test_d37_a_file(eye: Eye, root: Path) -> None:
    classes_of(root, {"cat": 12, "dog": 11})
    draw(named(root / "dog", LATIN + b".png"), 23)
    read_or_escaped(eye, f"folder:{root}", 24, LATIN)


def test_d37_a_class_is_read_trained_on_and_drawn(eye: Eye, root: Path) -> None:
    place = named(root, LATIN)
    classes_of(root, {"cat": 12, place.name: 12})
    if read_or_escaped(eye, f"folder:{root}", 24, LATIN).data is None:
        return
    recipe = tiny_recipe(data={"name": f"folder:{root}"}, training={"steps": 2})
    run = mezzotint.train(recipe, eye.folder / "run", log=lambda text: None)
    model = mezzotint.load(run)
    assert len(model.spec.classes) == 2
    assert model.sample([1]).shape == (1, 1, 8, 8)
    for word in ("cat", place.name):
        status, words = eye.run("sample", run, word, "--out", "x.png")
        assert status == 0, ascii(words)


def test_d37_the_folder_itself(eye: Eye, root: Path) -> None:
    place = classes_of(named(root, LATIN), PETS)
    read_or_escaped(eye, f"folder:{place}", 24, LATIN)
    changes = {"training": {"steps": 2}, "data": {"name": f"folder:{place}"}}
    out = eye.folder / "run"
    silent: Any = lambda text: None  # noqa: E731
    run, words = attempt(lambda: mezzotint.train(tiny_recipe(**changes), out, log=silent))
    if run is None:
        assert escaped(words, LATIN), ascii(words)
        assert "codec" not in words, ascii(words)
    else:
        assert mezzotint.load(run).spec.classes == ("cat", "dog")


@pytest.mark.parametrize("where", ["file", "class"])
def test_d37_in_an_archive(eye: Eye, root: Path, where: str) -> None:
    classes_of(root, {"cat": 12, "dogX" if where == "class" else "dog": 12})
    if where == "file":
        (root / "dog" / "000.png").rename(root / "dog" / "dogX.png")
    path = zipped(root, root.with_suffix(".zip"))
    path.write_bytes(path.read_bytes().replace(b"dogX", b"dog\xe9"))
    assert b"dog\xe9" in path.read_bytes()
    seen = read_or_escaped(eye, f"folder:{path}", 24, b"dog\xe9")
    assert seen.data is None or len(seen.images.classes) == 2


def test_d37_a_broken_picture_is_named_in_escapes(eye: Eye, root: Path) -> None:
    bad = named(classes_of(root, PETS) / "dog", LATIN + b".png")
    bad.write_bytes(b"no picture")
    seen = eye.look(f"folder:{root}")
    assert seen.data is None
    assert escaped(seen.words, LATIN), ascii(seen.words)


@pytest.mark.slow
def test_d37_and_so_it_is_where_a_terminal_is_strict(root: Path) -> None:
    """In a process of its own: what is captured here takes other characters than a terminal does."""
    bad = named(classes_of(root, PETS) / "dog", LATIN + b".png")
    bad.write_bytes(b"no picture")
    (root.parent / "tiny.toml").write_text(TINY)
    result = subprocess.run(
        [sys.executable, "-m", "mezzotint", "doctor", f"folder:{root}", "--recipe", "tiny.toml"],
        cwd=root.parent,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    said = (result.stdout + result.stderr).decode("utf-8")
    assert result.returncode == 0, said
    assert escaped(said, LATIN), said
    assert re.search(r"\bcat \d+", said), said


# --- D38: two spellings of one name.

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def both(root: Path) -> Path:
    """A folder for each spelling, with twelve pictures in each."""
    try:
        return classes_of(root, {NFC: 12, NFD: 12})
    except FileExistsError:
        pytest.skip("this file system knows one spelling alone")


def refused_with_code_points(seen: Seen) -> bool:
    """Whether it is refused; it must be with the code points of both spellings then."""
    if seen.data is not None:
        return False
    assert re.search(r"(?i)(u\+|\\u|\\x|0x)0*e9\b", seen.words), ascii(seen.words)
    assert "0301" in seen.words, ascii(seen.words)
    return True


def check_one_class(eye: Eye, name: str, count: int, others: int = 0) -> None:
    """One class of both spellings beside the ``others``, and all of so many pictures; or refused."""
    if refused_with_code_points(eye.look(name)):
        return
    parts = eye.parts(name)
    assert all(len(p.classes) == 1 + others for p in parts), "two classes that look the same"
    assert sum(map(len, parts)) == count


def test_d38_side_by_side_they_are_one_class(eye: Eye, both: Path) -> None:
    check_one_class(eye, f"folder:{both}", 24)


def test_d38_and_in_an_archive(eye: Eye, root: Path) -> None:
    with zipfile.ZipFile(root.with_suffix(".zip"), "w") as opened:
        for k, name in enumerate((NFC, NFD)):
            for n in range(12):
                content = draw(eye.folder / "one.png", 12 * k + n).read_bytes()
                opened.writestr(f"pics/{name}/{n:03}.png", content)
                opened.writestr(f"pics/dog/{12 * k + n:03}.png", content)
    check_one_class(eye, f"folder:{root.with_suffix('.zip')}", 48, others=1)


@pytest.mark.parametrize("spellings", [(NFC, NFD), (NFD, NFC)], ids=["NFC-NFD", "NFD-NFC"])
def test_d38_across_train_and_test_they_are_one_class(
    eye: Eye, root: Path, spellings: tuple[str, str]
) -> None:
    for k, (split, name) in enumerate(zip(("train", "test"), spellings, strict=True)):
        classes_of(root / split, {name: 12, "dog": 12}, first=24 * k)
    train, test = eye.look(f"folder:{root}"), eye.look(f"folder:{root}", "test")
    if refused_with_code_points(test):
        return
    assert train.images.classes == test.images.classes
    assert set(numbers(test.images)) == set(range(24, 48))
    name = train.images.classes[0 if train.images.classes[1] == "dog" else 1]
    assert unicodedata.normalize("NFC", name) == NFC
    assert test.images.counts() == {name: 12, "dog": 12}


@pytest.mark.parametrize("spellings", [(NFC, NFD), (NFD, NFC)], ids=["NFC-NFD", "NFD-NFC"])
def test_d38_a_class_is_found_by_either(eye: Eye, root: Path, spellings: tuple[str, str]) -> None:
    known, word = spellings
    assert drawn(eye, ("cat", known), word) == known


@pytest.mark.parametrize("spellings", [(NFC, NFD), (NFD, NFC)], ids=["NFC-NFD", "NFD-NFC"])
def test_d38_samples_to_be_measured_are_found_by_either(
    root: Path, spellings: tuple[str, str]
) -> None:
    known, word = spellings
    found = read_images(classes_of(root, {"cat": 3, word: 3}), ("cat", known))
    assert found.labels is not None
    assert sorted(found.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_d38_names_of_classes_in_an_array(eye: Eye, root: Path) -> None:
    images, path = np.stack([pixels(k) for k in range(40)]), eye.folder / "images.npz"
    np.savez(path, images=images, labels=np.arange(40) % 2, classes=np.array([NFC, NFD]))
    check_one_class(eye, f"npz:{path}", 40)
