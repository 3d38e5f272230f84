"""Places that cannot be written to, or that are meant otherwise: the second list, D66 and D68."""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import few_step_recipe, tiny_data, tiny_recipe
from machines import (
    TINY,
    in_process,
    named_model,
    no_network,
    pictures,
    rubbish,
    save_npz,
    small_measures,
    stranger,
)
from mezzotint import build, load, train
from mezzotint.recipe.toml import to_toml


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


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sample", "gif", "evaluate", "train"])
def test_d66_a_folder_that_is_not_ones_own(verb: str, impossible: Path) -> None:
    home = impossible / "home"
    home.mkdir()
    home.chmod(0o555)
    words = {
        "sample": ["sample", "m.safetensors", "3", "--out", "home/x.png"],
        "gif": ["gif", "m.safetensors", "3", "--out", "home/x"],
        "evaluate": ["evaluate", "drawn.npz", *small_measures(impossible), "--out", "home/x"],
        "train": ["train", "--data.name", "npz:drawn.npz", *TINY, "--out", "home/x"],
    }
    ran = stranger([sys.executable, "-c", GUARDED, *words[verb]], impossible)
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
