"""Names that become paths or formulas, and strangers beside our own: the second list, D65, D67 and D71."""

import errno
import json
import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import matplotlib.mathtext
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common import as_if_killed, tiny_data, tiny_recipe
from machines import (
    in_process,
    named_model,
    pictures,
    rubbish,
    save_npz,
    small_measures,
)
from mezzotint import build, load, train
from mezzotint.data import ImageData, open_data
from mezzotint.model import Model
from mezzotint.recipe.toml import to_toml
from mezzotint.training.log import read_metrics

NAMES = [
    *["T-shirt/top", "../../oops", "..", ".", "", "a/b", "a_b", "a-b", "a b", "CON", "nul.txt"],
    *[
        "x" * 300,
        "x" * 301,
        "Ant",
        "ant",
        "é",
        "e\N{COMBINING ACUTE ACCENT}",
        "line\nbreak",
        "C:\\x",
    ],
    *["dot.", "space ", "~", "\x1b[31m", "nul\0", "*?", "\N{PENGUIN}" * 100],
]
"""What a weights file's header may call classes."""

RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{n}{k}" for n in ("COM", "LPT") for k in range(1, 10))}


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with folders above it that nothing may be written to."""
    folder = tmp_path / "one" / "two" / "three"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def files(folder: Path) -> set[Path]:
    return {p for p in folder.rglob("*") if not p.is_dir()}


def are_safe(paths: list[Path], folder: Path) -> None:
    """Directly in ``folder``, with names that every system knows, no two of which are one on some system."""
    for path in paths:
        assert path.parent.resolve() == folder.resolve(), path
        assert len(os.fsencode(path.name)) <= 255, path
        assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]', path.name), path
        assert path.name.partition(".")[0].upper().strip() not in RESERVED, path
        assert not path.name.startswith("."), path
        assert not path.name.endswith((".", " ")), path
    folded = {unicodedata.normalize("NFC", path.name).casefold() for path in paths}
    assert len(folded) == len(paths)


# --- D65: names that become paths ----------------------------------------------------------------


@pytest.mark.parametrize("form", ["gif", "apng", "webp"])
def test_d65_films_of_any_class_are_in_the_folder_asked_for(form: str, deep: Path) -> None:
    names = [*NAMES, str(deep.parent / "absolute")]
    model = named_model(deep / "m.safetensors", names)
    before = files(deep.parents[2])
    words = ["gif", str(model), "--out", "films", "--format", form, "--frames", "2"]
    assert in_process(*words, "--scale", "1", "--steps", "2") == 0
    made = files(deep.parents[2]) - before
    assert len(made) == len(names)
    are_safe(sorted(made), deep / "films")


@pytest.mark.parametrize("label", [n for n in NAMES if n.strip() == n != "" and "\0" not in n])
def test_d65_images_of_any_class_are_in_this_folder(
    label: str, deep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = named_model(deep / "m.safetensors", NAMES)
    before = files(deep.parents[2])
    assert in_process("sample", str(model), label) == 0
    (made,) = files(deep.parents[2]) - before
    are_safe([made], deep)
    assert made.suffix == ".png"


def test_d65_images_of_many_classes_have_a_name_that_fits(deep: Path) -> None:
    names = [f"class number {k}" for k in range(60)]
    model = named_model(deep / "m.safetensors", names)
    before = files(deep.parents[2])
    assert in_process("sample", str(model), *names) == 0
    are_safe(sorted(files(deep.parents[2]) - before), deep)


def test_d65_other_classes_have_other_files(deep: Path) -> None:
    """Not one that is drawn over."""
    model = named_model(deep / "m.safetensors", NAMES)
    before = files(deep.parents[2])
    for label in ("a/b", "a_b", "a-b", "a b", "Ant", "ant", "x" * 300, "x" * 301):
        assert in_process("sample", str(model), label) == 0
    made = files(deep.parents[2]) - before
    assert len(made) == 8
    are_safe(sorted(made), deep)


@pytest.mark.parametrize("label", ["T-shirt/top", "../../oops", "x" * 300, "CON"])
def test_d65_a_strip_of_any_class_is_in_this_folder(label: str, deep: Path) -> None:
    names = ["T-shirt/top", "../../oops", "x" * 300, "CON", "a_b"]
    save_npz(deep / "named.npz", tiny_data(40, classes=5), classes=np.array(names))
    (deep / "mine.toml").write_text('[data]\nname = "npz:named.npz"\n', encoding="utf-8")
    before = files(deep.parents[2])
    assert in_process("forward", "mine.toml", "--label", label) == 0
    (made,) = files(deep.parents[2]) - before
    are_safe([made], deep)


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("name", ["../../oops", "absolute", "a/b", "x" * 300, "", ".."])
def test_d65_a_run_of_any_recipe_is_under_runs(name: str, deep: Path) -> None:
    """Unless its folder is named."""
    name = str(deep.parent / "oops") if name == "absolute" else name
    folder = train(tiny_recipe(name=name, training={"steps": 1}))
    are_safe([folder], deep / "runs")
    everything = {p for p in deep.parents[2].rglob("*") if not p.is_relative_to(deep / "runs")}
    assert everything == {deep.parents[1], deep.parents[0], deep}


# --- D67: names that matplotlib reads as formulas ------------------------------------------------

FORMULAS = ["a$x^_$b", r"$\frac{$", "$$", "a_b^c", r"\alpha", "100%", "$_$"]


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("name", FORMULAS)
def test_d67_a_recipe_file_with_any_name_is_trained(name: str, deep: Path) -> None:
    path = deep / f"{name}.toml"
    text = to_toml(tiny_recipe(training={"steps": 2, "sample_every": 1}))
    path.write_text("\n".join(text.splitlines()[2:]), encoding="utf-8")  # its name is the file's
    folder = train(str(path), deep / "run")
    assert load(folder).recipe.name == name
    assert (folder / "loss.png").stat().st_size > 1000


def test_d67_classes_are_drawn_literally(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the page of an evaluation."""
    parsed: list[str] = []
    parse = matplotlib.mathtext.MathTextParser.parse

    def spy(self: Any, s: str, *words: Any, **options: Any) -> Any:
        parsed.append(s)
        return parse(self, s, *words, **options)

    monkeypatch.setattr(matplotlib.mathtext.MathTextParser, "parse", spy)
    data = tiny_data(200, classes=len(FORMULAS))
    save_npz(deep / "drawn.npz", data)
    flags = small_measures(deep, tuple(FORMULAS))
    assert in_process("evaluate", "drawn.npz", *flags, "--out", "E") == 0
    assert (deep / "E/evaluation.png").stat().st_size > 1000
    assert not [s for s in parsed for name in FORMULAS if name in s]


FAULTS = [
    RuntimeError("no fonts"),
    ValueError("ParseException"),
    OSError(errno.ENOSPC, "no space"),
]


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("what", ["curve", "grid", "drawing"])
def test_d67_a_picture_that_fails_does_not_end_a_run(
    what: str, fault: Exception, deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*words: Any, **options: Any) -> None:
        raise fault

    with monkeypatch.context() as patch:
        match what:
            case "curve":
                patch.setattr(Figure, "savefig", fails)
            case "grid":
                patch.setattr(Image.Image, "save", fails)
            case "drawing":
                patch.setattr(Model, "sample", fails)
        recipe = tiny_recipe(training={"steps": 4, "sample_every": 2, "save_every": 2})
        folder = train(recipe, deep / "run")
    assert [e["step"] for e in read_metrics(folder / "metrics.jsonl")] == [1, 2, 3, 4]
    assert (folder / "checkpoints/step-00000004").is_dir()
    assert load(folder).sample([0]).shape == (1, 1, 8, 8)
    assert not rubbish(folder)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("what", ["evaluation", "sweep"])
def test_d67_a_picture_that_fails_withholds_no_numbers(
    what: str,
    fault: Exception,
    deep: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*words: Any, **options: Any) -> None:
        raise fault

    flags = small_measures(deep)
    save_npz(deep / "drawn.npz", tiny_data(200))
    named_model(deep / "m.safetensors", tuple("0123456789"))
    monkeypatch.setattr(Figure, "savefig", fails)
    if what == "evaluation":
        in_process("evaluate", "drawn.npz", *flags)  # ends in words, if not well
        assert "digit_fid" in json.loads((deep / "evaluation.json").read_text())["results"]
        assert "precision" in capsys.readouterr().out
    else:
        in_process("evaluate", "m.safetensors", *flags, "--sweep", "steps=1,2", "--count", "200")
        found = json.loads((deep / "sweep-steps.json").read_text())
        assert [row["steps"] for row in found["rows"]] == [1, 2]
        assert "steps 2: accuracy" in capsys.readouterr().out
    assert not rubbish(deep)


# --- D71: stray things beside ours ---------------------------------------------------------------

STRAY_FOLDERS = [
    "step-1abc",
    "step-",
    "step-00000009 (copy)",
    "step-00000009.bak",
    ".tmp-0123456789ab",
]
STRAY_FOLDERS += ["step-²", "step--1", "step-1e3", "__MACOSX", ".ipynb_checkpoints"]
STRAY_FILES = ["notes.txt", "step-00000099", "step-00000098.safetensors", ".tmp-file", ".DS_Store"]


@pytest.mark.usefixtures("tiny_images")
def test_d71_strangers_among_the_checkpoints_are_ignored(deep: Path) -> None:
    recipe = tiny_recipe(training={"steps": 6, "save_every": 2})
    plain = train(recipe, deep / "plain")
    folder = as_if_killed(plain, deep / "run")
    place = folder / "checkpoints"
    for name in STRAY_FOLDERS:
        (place / name).mkdir()
        (place / name / "manifest.json").write_text("{}")
    for name in STRAY_FILES:
        (place / name).write_text("a stranger")
    assert load(folder).sample([0]).shape == (1, 1, 8, 8)
    train(resume=folder)
    model = "model.safetensors"
    assert (folder / model).read_bytes() == (plain / model).read_bytes()
    left = {p.name for p in place.iterdir()}
    strangers = {*STRAY_FOLDERS, *STRAY_FILES}
    assert {n for n in strangers if not n.startswith(".tmp-")} <= left
    assert left - strangers == {"step-00000004", "step-00000006"}


@pytest.mark.parametrize(
    "kind", ["__MACOSX", "loop", "loop above", "@eaDir", ".hidden", "empty loop"]
)
def test_d71_strangers_among_the_class_folders_are_ignored(kind: str, deep: Path) -> None:
    pics = pictures(deep / "pics")
    match kind:
        case "loop":
            (pics / "loop").symlink_to(".")
        case "loop above":
            (pics / "loop").symlink_to("..")
        case "empty loop":
            (pics / "loop").symlink_to("loop")
        case name:
            shutil.copytree(pics / "ant", pics / name)
            if name == "__MACOSX":
                (pics / name / "._00.png").write_bytes(b"resource fork")
    parts: list[ImageData] = [open_data(f"folder:{pics}", split) for split in ("train", "test")]
    assert [part.classes for part in parts] == [("ant", "bee")] * 2
    assert sum(map(len, parts)) == 24


def test_d71_a_loop_within_a_class_adds_no_pictures(deep: Path) -> None:
    pics = pictures(deep / "pics")
    (pics / "ant" / "loop").symlink_to("..")
    (pics / "bee" / "__MACOSX").mkdir()
    shutil.copy(pics / "ant" / "00.png", pics / "bee" / "__MACOSX" / "00.png")
    assert open_data(f"folder:{pics}").counts() == {"ant": 11, "bee": 11}


def test_d71_a_link_to_a_folder_elsewhere_is_a_class(deep: Path) -> None:
    pics = pictures(deep / "pics")
    (pics / "bee").rename(deep / "bees")
    (pics / "bee").symlink_to(deep / "bees")
    assert open_data(f"folder:{pics}").counts() == {"ant": 11, "bee": 11}
