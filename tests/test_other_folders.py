"""Folders and archives as other people have them: cases D35 to D39, and others of their kind.

Where there is more than one right way (read, or refused in words), each is taken, and silence is not.
"""

import os
import re
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mezzotint
from common import tiny_recipe
from mezzotint import weights
from mezzotint.data import ImageSpec
from mezzotint.data.samples import read_images
from models import random_weights
from other_files import (
    TINY,
    Eye,
    Seen,
    classes_of,
    draw,
    escaped,
    named,
    numbers,
    pixels,
    says,
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


# --- D35: layouts that people use, taken for classes.


def check_layout(eye: Eye, name: str, folders: dict[str, set[int]]) -> None:
    """``folders``: the pictures of each folder of a split, the one to train on first, the one to test on
    last. They are the splits, or refused by name; what is in neither split is said."""
    learnt, *_, held_out = folders.values()
    train, test = eye.look(name), eye.look(name, "test")
    if train.data is None:
        assert any(says(train.words, folder) for folder in folders), train.words
        return
    assert train.images.classes == test.images.classes == ("cat", "dog")
    seen, tested = set(numbers(train.images)), set(numbers(test.images))
    assert not seen & tested
    assert not seen & held_out
    assert seen & learnt
    assert len(train.images) == len(seen)
    for folder, pictures in folders.items():
        told = train.says(folder) or test.says(folder)
        assert pictures <= seen | tested or told, f"{folder} is left aside silently"
    assert learnt <= seen | tested


def split_folders(root: Path, *names: str) -> dict[str, set[int]]:
    """Cats and dogs in each of these, and the numbers of their pictures."""
    found = {}
    for k, name in enumerate(names):
        classes_of(root / name, PETS, first=24 * k)
        found[name] = set(range(24 * k, 24 * k + 24))
    return found


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("Train", "Val"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("training", "validation"),
        ("train", "valid"),
        ("Train", "test"),
        ("train", "val", "test"),
        ("training", "Validation", "TEST"),
    ],
    ids="-".join,
)
def test_d35_splits_by_their_usual_names_are_no_classes(
    eye: Eye, root: Path, names: tuple[str, ...]
) -> None:
    check_layout(eye, f"folder:{root}", split_folders(root, *names))


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "TEST")], ids="-".join)
def test_d35_nor_are_they_in_an_archive(eye: Eye, root: Path, names: tuple[str, ...]) -> None:
    folders = split_folders(root, *names)
    check_layout(eye, f"folder:{zipped(root, root.with_suffix('.zip'))}", folders)


@pytest.mark.parametrize("names", [("train", "val"), ("train", "test")], ids="-".join)
def test_d35_nor_are_they_in_a_folder_that_holds_one_folder(
    eye: Eye, root: Path, names: tuple[str, ...]
) -> None:
    folders = split_folders(root / "data", *names)
    check_layout(eye, f"folder:{root}", folders)


def test_d35_nor_beside_what_systems_leave_behind(eye: Eye, root: Path) -> None:
    folders = split_folders(root, "train", "val")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "README.txt").write_text("pictures of pets")
    (root / "__MACOSX" / "train").mkdir(parents=True)
    (root / "__MACOSX" / "train" / "._cat").write_bytes(b"\0\5\x16\7")
    check_layout(eye, f"folder:{root}", folders)


def test_d35_splits_without_classes(eye: Eye, root: Path) -> None:
    for k in range(24):
        draw(root / ("train" if k < 18 else "val") / f"{k:02}.png", k)
    train, test = eye.look(f"folder:{root}"), eye.look(f"folder:{root}", "test")
    if train.data is None:
        assert train.says("train") or train.says("val"), train.words
        return
    assert train.images.classes == test.images.classes == ()
    assert set(numbers(train.images)) <= set(range(18))
    told = train.says("val") or test.says("val")
    assert set(numbers(test.images)) == set(range(18, 24)) or told


def test_d35_splits_within_each_class_are_not_mixed_silently(eye: Eye, root: Path) -> None:
    for first, name in ((0, "cat"), (24, "dog")):
        classes_of(root / name, {"train": 12, "test": 12}, first)
    seen = eye.look(f"folder:{root}")
    held_out = {*range(12, 24), *range(36, 48)}
    mixed = seen.data is not None and bool(set(numbers(seen.data)) & held_out)
    assert not mixed or seen.says("test"), (
        "pictures for testing are trained on, and nothing is said"
    )
    assert seen.data is not None or seen.says("test"), seen.words


@pytest.mark.parametrize("names", [("car", "plane", "train"), ("car", "train")], ids="-".join)
def test_d35_a_train_among_vehicles_stays_one(eye: Eye, root: Path, names: tuple[str, ...]) -> None:
    seen = eye.look(f"folder:{classes_of(root, dict.fromkeys(names, 12))}")
    assert seen.says("train") if seen.data is None else seen.images.classes == names


# --- D36: numbers as names.


def check_order(seen: Seen, counts: dict[str, int]) -> tuple[str, ...]:
    """All classes are there, each picture with its own, whole numbers in order of number."""
    data = seen.images
    assert sorted(data.classes) == sorted(counts)
    owner = [name for name, count in counts.items() for _ in range(count)]
    for number, label in zip(numbers(data), data.labels.tolist(), strict=True):
        assert data.classes[label] == owner[number]
    whole = [name for name in data.classes if re.fullmatch(r"-?\d+", name)]
    assert [int(name) for name in whole] == sorted(int(name) for name in whole)
    return data.classes


def test_d36_folders_0_to_11_are_in_order_of_number(eye: Eye, root: Path) -> None:
    counts = {str(k): 12 for k in range(12)}
    found = check_order(eye.look(f"folder:{classes_of(root, counts)}"), counts)
    assert found == tuple(str(k) for k in range(12))


@pytest.mark.parametrize(
    "names",
    [
        ("-1", "0", "2", "10"),
        ("1.5", "2", "10"),
        ("007", "7", "10", "9"),
        ("10", "9", "cat"),
        ("00", "01", "10", "2"),
    ],
    ids="-".join,
)
def test_d36_so_are_other_numbers(eye: Eye, root: Path, names: tuple[str, ...]) -> None:
    counts = dict.fromkeys(names, 12)
    seen = eye.look(f"folder:{classes_of(root, counts)}")
    if seen.data is None:  # two names of one number may be refused, by both names
        assert "007" in names, seen.words
        assert seen.says("007", "7"), seen.words
        return
    check_order(seen, counts)


def test_d36_so_they_are_in_an_archive(eye: Eye, root: Path) -> None:
    counts = {str(k): 12 for k in range(1, 12)}
    path = zipped(classes_of(root, counts), root.with_suffix(".zip"))
    assert check_order(eye.look(f"folder:{path}"), counts) == tuple(counts)


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


ONE_TO_FIVE = ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("classes", "word", "right"),
    [
        (ONE_TO_FIVE, "0", None),
        (ONE_TO_FIVE, "1", "1"),
        (ONE_TO_FIVE, "5", "5"),
        (("0", "10", "20"), "1", None),
        (("-1", "0", "2"), "1", None),
        (("007", "7", "8"), "7", "7"),
        (("7", "007", "8"), "007", "007"),
        (("1.5", "2.5", "3.5"), "1", None),
        (("cat", "7"), "1", None),
        (("cat", "dog"), "1", "dog"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_d36_a_number_never_means_another_class(
    eye: Eye, root: Path, classes: tuple[str, ...], word: str, right: str | None
) -> None:
    found = drawn(eye, classes, word)
    if classes == ("1.5", "2.5", "3.5"):  # 1 is no name of a class, and may be its number
        right = found if found == "2.5" else None
    assert found == right


# --- D37: names that are not UTF-8.


def read_or_escaped(eye: Eye, name: str, count: int, bad: bytes) -> Seen:
    """All is read, or refused with the name in escapes."""
    seen = eye.look(name)
    if seen.data is None:
        assert escaped(seen.words, bad), ascii(seen.words)
    else:
        assert len(seen.images) + len(eye.look(name, "test").images) == count
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
    recipe = tiny_recipe(training={"steps": 2}, data={"name": f"folder:{place}"})
    try:
        run = mezzotint.train(recipe, eye.folder / "run", log=lambda text: None)
    except (ValueError, OSError) as error:
        assert escaped(str(error), LATIN), ascii(str(error))
        assert not isinstance(error, UnicodeError)
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
    assert "cat 11" in said


# --- D38: two spellings of one name.

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def both(root: Path) -> Path:
    """A folder for each spelling, with twelve pictures in each."""
    try:
        return classes_of(root, {NFC: 12, NFD: 12})
    except FileExistsError:
        pytest.skip("this file system knows one spelling alone")


def one_class_or_code_points(seen: Seen, count: int, others: int = 0) -> None:
    if seen.data is None:
        assert re.search(r"(?i)(u\+|\\u|\\x|0x)0*e9\b", seen.words), ascii(seen.words)
        assert "0301" in seen.words, ascii(seen.words)
        return
    assert len(seen.images.classes) == 1 + others, "two classes that look the same"
    assert len(seen.images) == count


def test_d38_side_by_side_they_are_one_class(eye: Eye, both: Path) -> None:
    train = eye.look(f"folder:{both}")
    if train.data is None:
        one_class_or_code_points(train, 0)
        return
    assert len(train.images.classes) == 1, "two classes that look the same"
    test = eye.look(f"folder:{both}", "test")
    assert sorted(numbers(train.images) + numbers(test.images)) == list(range(24))


def test_d38_and_in_an_archive(eye: Eye, root: Path) -> None:
    with zipfile.ZipFile(root.with_suffix(".zip"), "w") as opened:
        for k, name in enumerate((NFC, NFD)):
            for n in range(12):
                content = draw(eye.folder / "one.png", 12 * k + n).read_bytes()
                opened.writestr(f"pics/{name}/{n:03}.png", content)
                opened.writestr(f"pics/dog/{12 * k + n:03}.png", content)
    train, test = (eye.look(f"folder:{root.with_suffix('.zip')}", s) for s in ("train", "test"))
    count = 48 - (len(test.images) if test.data is not None else 0)
    one_class_or_code_points(train, count, others=1)


@pytest.mark.parametrize("spellings", [(NFC, NFD), (NFD, NFC)], ids=["NFC-NFD", "NFD-NFC"])
def test_d38_across_train_and_test_they_are_one_class(
    eye: Eye, root: Path, spellings: tuple[str, str]
) -> None:
    for k, (split, name) in enumerate(zip(("train", "test"), spellings, strict=True)):
        classes_of(root / split, {name: 12, "dog": 12}, first=24 * k)
    train, test = eye.look(f"folder:{root}"), eye.look(f"folder:{root}", "test")
    if test.data is None:
        one_class_or_code_points(test, 0)
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
    one_class_or_code_points(eye.look(f"npz:{path}"), 36)


# --- D39: archives of other systems.


def windows(name: str) -> str:
    return name.replace("/", "\\")


NAMINGS = {
    "backslashes": windows,
    "mixed": lambda name: name.replace("/", "\\", 1),
    "no top folder": lambda name: windows(name.removeprefix("pics/")),
    "drive": lambda name: "C:\\" + windows(name),
    "dot": lambda name: ".\\" + windows(name),
    "dot and slashes": lambda name: "./" + name,
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_d39_a_member_s_folders_are_known_whatever_parts_them(
    eye: Eye, root: Path, naming: str
) -> None:
    path = zipped(classes_of(root, PETS), root.with_suffix(".zip"), NAMINGS[naming])
    train, test = (eye.look(f"folder:{path}", split) for split in ("train", "test"))
    if naming == "drive" and train.data is None:  # a path from a root may be refused
        assert train.says("pics.zip"), train.words
        return
    assert train.images.classes == ("cat", "dog")
    assert sorted(numbers(train.images) + numbers(test.images)) == list(range(24))
    owners = [number // 12 for number in numbers(train.images)]
    assert train.images.labels.tolist() == owners


def test_d39_splits_with_backslashes(eye: Eye, root: Path) -> None:
    folders = split_folders(root, "train", "test")
    path = zipped(root, root.with_suffix(".zip"), windows)
    check_layout(eye, f"folder:{path}", folders)
    assert eye.look(f"folder:{path}").data is not None


def test_d39_entries_for_folders_and_left_overs(eye: Eye, root: Path) -> None:
    path = zipped(classes_of(root, PETS), root.with_suffix(".zip"), windows)
    with zipfile.ZipFile(path, "a") as opened:
        for name in ("pics\\", "pics\\cat\\", "pics\\dog\\"):
            opened.writestr(zipfile.ZipInfo(name), b"")
        opened.writestr(zipfile.ZipInfo("__MACOSX\\pics\\cat\\._000.png"), b"\0\5\x16\7")
        opened.writestr(zipfile.ZipInfo("pics\\cat\\Thumbs.db"), b"\xd0\xcf\x11\xe0")
    seen = eye.look(f"folder:{path}")
    assert seen.images.counts().keys() == {"cat", "dog"}


@pytest.mark.parametrize("name", ["..\\..\\..\\escaped.png", "cat\\..\\..\\..\\escaped.png"])
def test_d39_no_member_leaves_the_cache(eye: Eye, root: Path, name: str) -> None:
    path = zipped(classes_of(root, PETS), root.with_suffix(".zip"), windows)
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(zipfile.ZipInfo(name), b"no picture")
    seen = eye.look(f"folder:{path}", broken="skip")
    if seen.data is None:
        assert "escaped" in seen.words or seen.says("pics.zip"), seen.words
    else:
        assert seen.images.classes == ("cat", "dog")
    unpacked = eye.folder / "cache" / "mezzotint" / "unpacked"
    for found in eye.folder.rglob("*escaped.png"):
        inside = found.relative_to(unpacked)  # or ValueError
        assert len(inside.parts) > 1


def test_d39_an_archive_of_another_kind_is_refused_by_name(eye: Eye, root: Path) -> None:
    path = shutil.make_archive(str(root), "gztar", classes_of(root, PETS))
    seen = eye.look(f"folder:{path}")
    assert seen.says("pics.tar.gz") if seen.data is None else seen.data.classes == ("cat", "dog")
