"""Folders and archives as other people have them: cases D35, D36 and D39, and others of their kind.

Where there is more than one right way (read, or refused in words), each is taken, and silence is not.
"""

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from other_files import (
    Eye,
    Seen,
    all_numbers,
    classes_of,
    draw,
    drawn,
    numbers,
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


def test_d35_nor_are_folders_of_systems(eye: Eye, root: Path) -> None:
    classes_of(root, PETS)
    for name in ("__MACOSX", ".ipynb_checkpoints"):
        (root / name / "cat").mkdir(parents=True)
        (root / name / "cat" / "._000.png").write_bytes(b"\0\5\x16\7\0\2\0\0")
    assert eye.look(f"folder:{root}").images.classes == ("cat", "dog")


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
    train = eye.look(f"folder:{path}")
    if naming == "drive" and train.data is None:  # a path from a root may be refused
        assert train.says("pics.zip"), train.words
        return
    assert train.images.classes == ("cat", "dog")
    assert all_numbers(eye.parts(f"folder:{path}")) == list(range(24))
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
