"""Names that become paths, formulas or numbers, and places that cannot be: the second list, D65 to D68, D71."""

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

import matplotlib.mathtext
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common import few_step_recipe, tiny_data, tiny_recipe
from machines import (
    TINY,
    in_process,
    named_model,
    no_network,
    pictures,
    rubbish,
    run,
    save_npz,
    small_measures,
    unprivileged,
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
    *["dot.", "space ", "~", "\x1b[31m", "nul\0", "/etc/passwd", "*?", "\N{PENGUIN}" * 100],
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
        assert path.stem.partition(".")[0].upper().strip() not in RESERVED, path
        assert not path.name.startswith("."), path
        assert path.stem == path.stem.rstrip(". "), path
    folded = {unicodedata.normalize("NFC", path.name).casefold() for path in paths}
    assert len(folded) == len(paths)


# --- D65: names that become paths ----------------------------------------------------------------


@pytest.mark.parametrize("form", ["gif", "apng", "webp"])
def test_d65_films_of_any_class_are_in_the_folder_asked_for(form: str, deep: Path) -> None:
    model = named_model(deep / "m.safetensors", NAMES)
    before = files(deep.parents[2])
    words = ["gif", str(model), "--out", "films", "--format", form, "--frames", "2"]
    assert in_process(*words, "--scale", "1", "--steps", "2") == 0
    made = files(deep.parents[2]) - before
    assert len(made) == len(NAMES)
    are_safe(sorted(made), deep / "films")


@pytest.mark.parametrize("label", [n for n in NAMES if n and "\0" not in n])
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
    data = tiny_data(40, classes=len(NAMES))
    save_npz(deep / "named.npz", data, classes=np.array([n.replace("\0", "") for n in NAMES]))
    (deep / "mine.toml").write_text('[data]\nname = "npz:named.npz"\n', encoding="utf-8")
    before = files(deep.parents[2])
    assert in_process("forward", "mine.toml", "--label", label) == 0
    (made,) = files(deep.parents[2]) - before
    are_safe([made], deep)


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("name", ["../../oops", "/oops", "a/b", "x" * 300, "", ".."])
def test_d65_a_run_of_any_recipe_is_under_runs(name: str, deep: Path) -> None:
    """Unless its folder is named."""
    folder = train(tiny_recipe(name=name, training={"steps": 1}))
    are_safe([folder], deep / "runs")
    everything = {p for p in deep.parents[2].rglob("*") if not p.is_relative_to(deep / "runs")}
    assert everything == {deep.parents[1], deep.parents[0], deep}


# --- D66: the impossible destination noticed last ------------------------------------------------


@pytest.fixture
def impossible(deep: Path) -> Path:
    """A folder with a file, a folder that is called like a picture, and models and images to measure."""
    (deep / "file").write_text("no folder")
    (deep / "folder.png").mkdir()
    (deep / "folder.npz").mkdir()
    named_model(deep / "m.safetensors", tuple("0123456789"))
    save_npz(deep / "drawn.npz", tiny_data(200))
    return deep


PLACES = [
    "file/x.png",
    "file/x.npz",
    "file/y/x.png",
    "folder.png",
    "folder.npz",
    "x" * 300 + ".png",
]
PLACES += ["/proc/x.png", "x.jpg", "x", "x.gif"]


@pytest.mark.parametrize("place", PLACES)
def test_d66_images_that_cannot_be_written_are_not_drawn(place: str, impossible: Path) -> None:
    before = files(impossible)
    with no_network():
        said = in_process("sample", "m.safetensors", "3", "--out", place)
    assert isinstance(said, str)
    assert place in said or "too long" in said
    assert files(impossible) == before
    assert not rubbish(impossible)


@pytest.mark.parametrize("place", ["file", "file/films", "/proc/films"])
def test_d66_films_that_cannot_be_written_are_not_drawn(place: str, impossible: Path) -> None:
    with no_network():
        said = in_process("gif", "m.safetensors", "3", "--out", place)
    assert isinstance(said, str)
    assert place in said


def test_d66_a_format_that_is_none_is_refused_first(impossible: Path) -> None:
    with no_network():
        assert in_process("gif", "m.safetensors", "3", "--format", "mp4") != 0
    assert not (impossible / "gifs").exists()


@pytest.mark.parametrize("place", ["file", "file/E", "/proc/E", "taken"])
@pytest.mark.parametrize("what", ["drawn.npz", "m.safetensors", "sweep"])
def test_d66_what_cannot_be_reported_is_not_measured(
    what: str, place: str, impossible: Path
) -> None:
    for name in ("evaluation.json", "evaluation.md", "sweep-steps.json"):
        (impossible / "taken" / name).mkdir(parents=True)
    flags = small_measures(impossible)
    if what == "sweep":
        what, flags = "m.safetensors", [*flags, "--sweep", "steps=1,2", "--count", "200"]
    with no_network():
        said = in_process("evaluate", what, *flags, "--out", place)
    assert isinstance(said, str)
    assert place in said


@pytest.mark.parametrize("place", ["file/c.safetensors", "/proc/c.safetensors"])
def test_d66_a_classifier_that_cannot_be_written_is_not_trained(
    place: str, impossible: Path
) -> None:
    small_measures(impossible)
    with no_network():
        said = in_process("train-classifier", place, "--data", "npz:real.npz", "--epochs", "1")
    assert isinstance(said, str)
    assert place in said


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
@pytest.mark.parametrize("verb", ["train", "refine"])
def test_d66_a_run_that_has_no_place_does_not_begin(
    verb: str, place: str, impossible: Path
) -> None:
    """Nor does the drawing of what a refinement begins from."""
    (impossible / "mine.toml").write_text(to_toml_without_format(), encoding="utf-8")
    words = {
        "train": ["train", "mine.toml"],
        "refine": ["refine", "m.safetensors", "--images", "20"],
    }
    with no_network():
        said = in_process(*words[verb], "--out", place)
    assert isinstance(said, str)
    assert place in said


def to_toml_without_format() -> str:
    return to_toml(tiny_recipe(training={"steps": 1}))


GUARDED = """
import sys
import torch
from mezzotint.cli import main
torch.set_num_threads(1)

def evaluated(*words):
    sys.exit("a network was evaluated first")

torch.nn.modules.module.register_module_forward_pre_hook(evaluated)
main(sys.argv[1:])
"""


@pytest.mark.parametrize("verb", ["sample", "gif", "evaluate", "train"])
def test_d66_a_folder_that_is_not_ones_own(verb: str, impossible: Path) -> None:
    before = unprivileged()
    home = impossible / "home"
    home.mkdir()
    home.chmod(0o555)
    words = {
        "sample": ["sample", "m.safetensors", "3", "--out", "home/x.png"],
        "gif": ["gif", "m.safetensors", "3", "--out", "home/x"],
        "evaluate": ["evaluate", "drawn.npz", *small_measures(impossible), "--out", "home/x"],
        "train": ["train", "--data.name", "npz:drawn.npz", *TINY, "--out", "home/x"],
    }
    ran = run([*before, sys.executable, "-c", GUARDED, *words[verb]], impossible)
    assert ran.returncode == 1
    assert "evaluated first" not in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "home" in ran.stderr


def test_d66_a_disk_that_is_full_at_the_end(
    impossible: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said with the name of the file, of which no half is left; one that was there stays."""

    def full(path: Path, **arrays: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (impossible / "x.npz").write_bytes(b"earlier")
    monkeypatch.setattr(np, "savez_compressed", full)
    said = in_process("sample", "m.safetensors", "3", "--out", "x.npz")
    assert isinstance(said, str)
    assert os.strerror(errno.ENOSPC) in said
    assert "x.npz" in said
    assert (impossible / "x.npz").read_bytes() == b"earlier"
    assert not rubbish(impossible)


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
    MemoryError(),
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


# --- D68: a folder that hides a shipped model; the home ------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
@pytest.mark.parametrize("verb", ["sample", "gif", "info", "evaluate"])
def test_d68_what_is_called_like_a_shipped_model(
    verb: str, kind: str, deep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is drawn from the model, or there is a hint that there is one."""
    path = deep / "digits-fast"
    match kind:
        case "folder":
            path.mkdir()
        case "file":
            path.write_text("notes about digits")
        case "dangling link":
            path.symlink_to("nowhere")
    words = {
        "sample": ["sample", "digits-fast", "7", "--out", "x.png"],
        "gif": ["gif", "digits-fast", "7", "--steps", "2"],
        "info": ["info", "digits-fast"],
        "evaluate": ["evaluate", "digits-fast", "--count", "1"],  # which is refused as too few
    }
    said = in_process(*words[verb])
    if verb == "evaluate" and isinstance(said, str) and "at least 100 images" in said:
        return
    if said != 0:
        assert "shipped" in str(said)
        assert "digits-fast" in str(said)


def test_d68_load_of_what_is_called_like_a_shipped_model(deep: Path) -> None:
    (deep / "digits-fast").mkdir()
    with contextlib.ExitStack() as stack:
        try:
            model = load("digits-fast")
        except (FileNotFoundError, ValueError):
            stack.enter_context(pytest.raises((FileNotFoundError, ValueError), match="shipped"))
            model = load("digits-fast")
    if "model" in locals():
        assert model.spec.classes == tuple("0123456789")


@pytest.fixture
def home(deep: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = deep.parents[2] / "home"
    (folder / "runs").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_d68_a_model_at_home(home: Path, deep: Path) -> None:
    named_model(home / "runs/m.safetensors", "ab")
    assert load("~/runs/m.safetensors").spec.classes == ("a", "b")
    assert load(Path("~/runs/m.safetensors")).spec.classes == ("a", "b")
    words = ["sample", "~/runs/m.safetensors", "a", "--out", "~/pictures/x.png"]
    assert in_process(*words) == 0
    assert (home / "pictures/x.png").is_file()
    assert in_process("info", "~/runs/m.safetensors") == 0
    assert in_process("gif", "~/runs/m.safetensors", "a", "--steps", "2", "--out", "~/films") == 0
    assert (home / "films/a.gif").is_file()
    assert not list(deep.iterdir())


@pytest.mark.usefixtures("tiny_images")
def test_d68_a_run_at_home(home: Path, deep: Path) -> None:
    recipe = tiny_recipe(training={"steps": 2, "save_every": 1})
    train(recipe, "~/runs/mine")
    train(recipe, Path("~/runs/other"))
    assert (home / "runs/mine/model.safetensors").is_file()
    assert (home / "runs/other/model.safetensors").is_file()
    (home / "runs/mine/model.safetensors").unlink()
    train(resume="~/runs/mine")
    assert (home / "runs/mine/model.safetensors").is_file()
    assert not list(deep.iterdir())


def test_d68_data_recipes_and_reports_at_home(home: Path, deep: Path) -> None:
    pictures(home / "pics")
    save_npz(home / "drawn.npz", tiny_data(200))
    flags = [f.replace(str(home), "~") for f in small_measures(home)]
    assert "~/plain.safetensors" in flags
    assert in_process("evaluate", "~/drawn.npz", *flags, "--out", "~/E") == 0
    assert (home / "E/evaluation.json").is_file()
    (home / "mine.toml").write_text('[data]\nname = "folder:~/pics"\n', encoding="utf-8")
    assert in_process("info", "~/mine.toml") == 0
    words = ["train", "~/mine.toml", *TINY, "--steps", "2", "--out", "~/runs/mine"]
    assert in_process(*words) == 0
    assert load(home / "runs/mine").spec.classes == ("ant", "bee")
    assert in_process("train", "--resume", "~/runs/mine") == 0
    assert not list(deep.iterdir())


@pytest.mark.usefixtures("tiny_images")
def test_d68_a_teacher_at_home(home: Path, deep: Path) -> None:
    teacher = {"name": "distillation", "teacher": "~/runs/m.safetensors"}
    named_model(home / "runs/m.safetensors", tuple("0123456789"))
    folder = train(few_step_recipe(objective=teacher, training={"steps": 1}), deep / "run")
    assert (folder / "initial.safetensors").is_file()


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
    recipe = tiny_recipe(training={"steps": 6, "save_every": 2, "keep": 1})
    plain = train(recipe, deep / "plain")
    folder = train(tiny_recipe(training={"steps": 4, "save_every": 2, "keep": 1}), deep / "run")
    (folder / "model.safetensors").unlink()
    place = folder / "checkpoints"
    for name in STRAY_FOLDERS:
        (place / name).mkdir()
        (place / name / "manifest.json").write_text("{}")
    for name in STRAY_FILES:
        (place / name).write_text("a stranger")
    assert load(folder).sample([0]).shape == (1, 1, 8, 8)
    train(recipe, resume=folder, changes="allow")
    assert load(folder).sample([0]).equal(load(plain).sample([0]))
    left = {p.name for p in place.iterdir()}
    strangers = {*STRAY_FOLDERS, *STRAY_FILES}
    assert {n for n in strangers if not n.startswith(".tmp-")} <= left
    assert left - strangers == {"step-00000006"}


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
    parts: list[ImageData] = [
        open_data(f"folder:{pics}", split)  # type: ignore[arg-type]
        for split in ("train", "test")
    ]
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
