"""What is learnt from and what is tested on, as other people's folders change: cases D43 to D45, and others
of their kind."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mezzotint
from common import kill, tiny_recipe
from other_files import (
    TINY,
    Eye,
    attempt,
    classes_of,
    draw,
    numbers,
    pixels,
    plain,
    says,
    write_idx,
    write_npz,
    zipped,
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test's pictures lie; caches are its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "pics"


@pytest.fixture
def eye(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Eye:
    return Eye(capsys, tmp_path)


# --- D43: a split that changes with the folder.


def sides(eye: Eye, name: str) -> dict[int, str]:
    """On which side each picture is; all are on one, and on one alone."""
    found: dict[int, str] = {}
    for split in ("train", "test"):
        for number in numbers(eye.look(name, split).images):
            assert number not in found
            found[number] = split
    return found


def check_sides(before: dict[int, str], after: dict[int, str], gone: int = 0) -> None:
    moved = [number for number in before if after.get(number, before[number]) != before[number]]
    assert moved == []
    assert len(set(before) - set(after)) == gone
    held_out = sum(side == "test" for side in before.values())
    assert len(before) / 40 <= held_out <= len(before) / 5  # one in ten, or about that


def rename(root: Path, old: str, new: str) -> None:
    (root / old).rename(root / new)


CHANGES: dict[str, tuple[Callable[[Path], Any], int]] = {
    "a picture more that sorts first": (lambda root: draw(root / "cat" / "!first.png", 300), 0),
    "a picture more that sorts last": (lambda root: draw(root / "dog" / "zzz.png", 300), 0),
    "a picture more in the middle": (lambda root: draw(root / "cat" / "049b.png", 300), 0),
    "a picture less": (lambda root: (root / "cat" / "000.png").unlink(), 1),
    "ten pictures less": (
        lambda root: [(root / "dog" / f"{k:03}.png").unlink() for k in range(40, 50)],
        10,
    ),
    "a class more that sorts first": (lambda root: classes_of(root, {"ant": 20}, 300), 0),
    "a class less": (lambda root: shutil.rmtree(root / "dog"), 100),
}


@pytest.mark.parametrize("change", CHANGES)
def test_d43_pictures_stay_on_their_side(eye: Eye, root: Path, change: str) -> None:
    before = sides(eye, f"folder:{classes_of(root, {'cat': 100, 'dog': 100})}")
    alter, gone = CHANGES[change]
    alter(root)
    check_sides(before, sides(eye, f"folder:{root}"), gone)


def test_d43_so_they_do_where_another_class_is_renamed(eye: Eye, root: Path) -> None:
    before = sides(eye, f"folder:{classes_of(root, {'cat': 100, 'dog': 100})}")
    rename(root, "dog", "ape")
    after = sides(eye, f"folder:{root}")
    cats = [{n: side for n, side in found.items() if n < 100} for found in (before, after)]
    check_sides(*cats)


def test_d43_and_where_the_folder_is_moved_or_packed(eye: Eye, root: Path) -> None:
    before = sides(eye, f"folder:{classes_of(root, {'cat': 100, 'dog': 100})}")
    check_sides(before, sides(eye, f"folder:{zipped(root, root.with_suffix('.zip'))}"))
    moved = root.rename(root.parent / "elsewhere")
    check_sides(before, sides(eye, f"folder:{moved}"))


def test_d43_pictures_without_classes(eye: Eye, root: Path) -> None:
    for k in range(200):
        draw(root / f"{k:03}.png", k)
    before = sides(eye, f"folder:{root}")
    draw(root / "!first.png", 300)
    check_sides(before, sides(eye, f"folder:{root}"))


@pytest.mark.parametrize("write", [write_npz, write_idx])
def test_d43_images_of_an_array_that_grows(
    eye: Eye, root: Path, write: Callable[[Path, int], str]
) -> None:
    before = sides(eye, write(root, 200))
    check_sides(before, sides(eye, write(root, 201)))


# --- D44: a class renamed between stop and resume.


def stopped_run(eye: Eye, name: str) -> Path:
    """A run of four steps that was killed before the last ones."""
    recipe = tiny_recipe(data={"name": name}, training={"steps": 4, "save_every": 2})
    run = mezzotint.train(recipe, eye.folder / "run", log=lambda text: None)
    kill(run)
    return run


def resume(eye: Eye, run: Path, changes: str = "refuse") -> tuple[bool, str]:
    """Whether it goes on to the end; and all that was said, or, where it does not, the refusal alone."""
    lines: list[str] = []
    eye.capsys.readouterr()
    found, refusal = attempt(lambda: mezzotint.train(resume=run, changes=changes, log=lines.append))
    heard = eye.capsys.readouterr()
    said = [refusal] if found is None else [*lines, heard.out, heard.err]
    return found == run, plain("\n".join(said), eye.folder)


def check_refused(eye: Eye, run: Path, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Resuming is refused with the classes that are of one side alone, or all, if those are the same."""
    went_on, words = resume(eye, run)
    assert not went_on, words
    assert not (run / "model.safetensors").exists()
    for name in set(old) ^ set(new) or old:
        assert says(words, name), words


def test_d44_a_class_renamed_is_refused(eye: Eye, root: Path) -> None:
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    rename(root, "ant", "zebra")
    check_refused(eye, run, ("ant", "bee"), ("bee", "zebra"))


def test_d44_unless_it_is_overridden(eye: Eye, root: Path) -> None:
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    rename(root, "ant", "zebra")
    went_on, words = resume(eye, run, changes="allow")
    assert went_on, words
    assert says(words, "zebra"), words
    assert set(mezzotint.load(run).spec.classes) <= {"ant", "bee", "zebra"}


def test_d44_even_where_the_order_stays(eye: Eye, root: Path) -> None:
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    rename(root, "bee", "cow")
    check_refused(eye, run, ("ant", "bee"), ("ant", "cow"))


@pytest.mark.parametrize("after", [("ant", "bee", "cow"), ("aardvark", "ant", "bee"), ("ant",)])
def test_d44_classes_more_or_less_are_refused(eye: Eye, root: Path, after: tuple[str, ...]) -> None:
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    for name in ("ant", "bee"):
        if name not in after:
            shutil.rmtree(root / name)
    for name in after:
        if not (root / name).exists():
            classes_of(root, {name: 12}, 100)
    check_refused(eye, run, ("ant", "bee"), after)


def test_d44_so_is_another_order(eye: Eye, root: Path) -> None:
    path = root.with_suffix(".npz")
    arrays = {"images": np.stack([pixels(k) for k in range(24)]), "labels": np.arange(24) % 2}
    np.savez(path, **arrays, classes=np.array(["ant", "bee"]))
    run = stopped_run(eye, f"npz:{path}")
    np.savez(path, **arrays, classes=np.array(["bee", "ant"]))
    check_refused(eye, run, ("ant", "bee"), ("bee", "ant"))


def test_d44_on_the_command_line(eye: Eye, root: Path) -> None:
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    rename(root, "ant", "zebra")
    status, words = eye.run("train", "--resume", run)
    assert status == 1, words
    assert says(words, "zebra"), words
    status, words = eye.run("train", "--resume", run, "--changes", "allow")
    assert status == 0, words


def swap(root: Path) -> None:
    for old, new in (("ant", "x"), ("bee", "ant"), ("x", "bee")):
        rename(root, old, new)


OTHER_DATA: dict[str, Callable[[Path], Any]] = {
    "pictures more": lambda root: classes_of(root / "ant", {"more": 6}, 100),
    "pictures less": lambda root: [(root / "bee" / f"00{k}.png").unlink() for k in range(6)],
    "others in their place": lambda root: [draw(root / "bee" / f"00{k}.png", k) for k in range(9)],
    "classes that changed places": swap,
}


@pytest.mark.parametrize("change", OTHER_DATA)
def test_d44_other_data_than_before_are_said(eye: Eye, root: Path, change: str) -> None:
    """Resumed, it says something of a kind that it does not say where the data are as they were."""
    run = stopped_run(eye, f"folder:{classes_of(root, {'ant': 12, 'bee': 12})}")
    twin = eye.folder / "twin"
    shutil.copytree(run, twin)
    went_on, usual = resume(eye, twin)
    assert went_on
    OTHER_DATA[change](root)
    _, words = resume(eye, run)
    said = [{re.sub(r"[\d,.]+", "0", line) for line in w.splitlines()} for w in (usual, words)]
    more = " ".join(said[1] - said[0]).replace("twin", "")
    assert re.search(r"data|images|pictures|classes", more), f"silent: {words}"


# --- D45: copies across the splits.


def doctor(eye: Eye, name: str) -> list[str]:
    """Its lines about copies."""
    status, words = eye.run("doctor", name, "--recipe", "tiny.toml")
    assert status == 0, words
    kinds = re.compile(r"cop(y|ies|ied)|identical|same|duplicate|also in", re.IGNORECASE)
    return [line for line in words.splitlines() if kinds.search(line)]


def across(lines: list[str], count: int) -> bool:
    """Whether one of them says so many are in both splits."""
    return any(says(line, count) and re.search(r"\btest", line) for line in lines)


def copies(root: Path, kind: str = "PNG") -> None:
    """24 pictures in training, and the same ones and 6 others in the folder for testing."""
    classes_of(root / "train", {"cat": 12, "dog": 12})
    classes_of(root / "test", {"cat": 3, "dog": 3}, first=100)
    for number in range(24):
        name = ("cat", "dog")[number // 12]
        draw(root / "test" / name / f"copy{number}.{kind.lower()}", number, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_d45_copies_of_training_pictures_among_those_for_testing_are_counted(
    eye: Eye, root: Path, kind: str
) -> None:
    copies(root, kind)
    lines = doctor(eye, f"folder:{root}")
    assert across(lines, 24), lines


@pytest.mark.slow
def test_d45_so_they_are_where_one_in_ten_is_held_out(eye: Eye, root: Path) -> None:
    classes_of(root, {"cat": 60, "dog": 60})
    for k in range(60):
        draw(root / "cat" / f"{k:03} (copy).png", k)
    train, test = (numbers(eye.look(f"folder:{root}", s).images) for s in ("train", "test"))
    shared = len(set(train) & set(test))  # none, if a picture's side is that of its copies
    lines = doctor(eye, f"folder:{root}")
    assert across(lines, shared) or shared == 0, lines


@pytest.mark.slow
def test_d45_and_in_arrays(eye: Eye, root: Path) -> None:
    images = np.stack([pixels(k) for k in range(40)])
    tested = np.stack([pixels(k) for k in [*range(24), *range(100, 106)]])
    np.savez(root.with_suffix(".npz"), images=images, images_test=tested)
    lines = doctor(eye, f"npz:{root.with_suffix('.npz')}")
    assert across(lines, 24), lines


@pytest.mark.slow
def test_d45_copies_in_two_classes_are_said_to_be(eye: Eye, root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    for k in range(5):
        draw(root / "train" / "dog" / f"copy{k}.png", k)
    lines = doctor(eye, f"folder:{root}")
    two = (line for line in lines if re.search("class", line) or says(line, "cat"))
    assert any(says(line, 5) for line in two), lines


@pytest.mark.slow
def test_d45_without_copies_nothing_is_said(eye: Eye, root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        classes_of(root / split, {"cat": 12, "dog": 12}, first)
    assert doctor(eye, f"folder:{root}") == []
