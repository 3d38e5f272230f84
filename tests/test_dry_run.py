"""``--dry-run``: what it says is what an independent count says, what it refuses training refuses in the same
words, and nothing is written."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common import as_if_killed, tiny_data, tiny_recipe
from machines import TINY, in_process, save_npz
from mezzotint import build
from mezzotint.data import ImageData
from mezzotint.runs import claim, folder
from mezzotint.runs.dry_run import Forecast, dry_run
from mezzotint.runs.train import train
from mezzotint.training import calibration
from mezzotint.training.checkpoint import STATE
from mezzotint.training.log import read_metrics
from mezzotint.utils import output
from mezzotint.weights import MODEL
from models import random_model_file

STEPS = ["--steps", "8", "--save-every", "3", "--sample-every", "0"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.05)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, beside images that are quickly read."""
    save_images(tmp_path / "tiny.npz", tiny_data(40))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def save_images(path: Path, data: ImageData) -> None:
    """As an .npz whose training images are all of these."""
    save_npz(path, data, images_test=data.images.numpy(), labels_test=data.labels.numpy())


def train_words(work: Path, **changes: str) -> list[str]:
    """A training of the smallest network, with other values of some flags."""
    words = ["train", "digits", *TINY, *STEPS, "--data.name", f"npz:{work.parent / 'tiny.npz'}"]
    for name, value in changes.items():
        flag = {"data": "--data.name"}.get(name, f"--{name}")
        words[words.index(flag) + 1] = value
    return words


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, with the time of its last change and its size."""
    paths = (folder, *folder.rglob("*"))
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in paths}


# What is said of a training


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert in_process(*words) == 0
    return capsys.readouterr().out


def test_what_is_said_of_a_training(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, *train_words(work), "--dry-run")
    lines = dict(re.findall(r"^([a-z ]+): +(.*)$", text, re.MULTILINE))
    assert lines["recipe"] == "digits"
    assert "training.steps: 3200 -> 8" in text
    assert "net.width: 32 -> 8" in text
    assert lines["data"].startswith(f"npz:{work.parent / 'tiny.npz'}: 40 images of 8x8x1; 0 4, 1 4")
    assert lines["training"] == "8 steps of 8, 1.6 epochs"
    network = build.make_network(tiny_recipe().net, tiny_data(40).spec)
    assert lines["parameters"] == f"{sum(p.numel() for p in network.parameters()):,}"
    for label, words in {
        "arithmetic": "billion multiply-adds a step",
        "memory": "activations",
        "disk": "of which 2 are kept",
        "time": "on cpu",
        "dry run": "nothing was written",
    }.items():
        assert words in lines[label]


def test_a_recipe_of_a_file_is_compared_with_its_base(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f'[data]\nname = "npz:{work.parent / "tiny.npz"}"\n'
    (work / "mine.toml").write_text(f'base = "fashion"\n{data}', encoding="utf-8")
    text = said(capsys, "train", "mine.toml", *TINY, "--dry-run")
    assert re.search(r"^recipe: +mine, from fashion$", text, re.MULTILINE)
    assert "net.width: 48 -> 8" in text
    assert "name: 'fashion' -> 'mine'" not in text


def test_too_little_room_is_a_warning(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(work)
    monkeypatch.setattr(output.shutil, "disk_usage", lambda place: usage._replace(free=10))
    text = said(capsys, *train_words(work), "--dry-run")
    assert f"{work} has too little room for this run" in text


def forecast_of(kind: str, work: Path) -> tuple[Forecast, Callable[[Path], Path]]:
    """A forecast, and the training that it is about."""
    data = {"name": f"npz:{work.parent / 'tiny.npz'}"}
    model = random_model_file(work.parent / "first.safetensors", tiny_recipe(data=data))
    changes: dict[str, Any] = {"objective": {}, "sampling": {}, "training": {}}
    if kind == "adversarial":
        few = {"objective": {"name": "distillation", "teacher": "digits"}}
        sampler = {"sampling": {"sampler": "consistency", "steps": 1}}
        few_step = tiny_recipe(data=data, **few, **sampler)
        model = random_model_file(work.parent / "few.safetensors", few_step)
        changes["sampling"] = sampler["sampling"]
        changes["training"] = {"optimizer": "adam"}
    if kind in ("refinement", "adversarial"):
        changes["objective"] = {"name": kind, "reference": str(model)}
    if kind == "distillation":
        changes["objective"] = {"name": kind, "teacher": str(model)}
        changes["sampling"] = {"sampler": "consistency", "steps": 1}
    if kind == "refinement":
        changes["objective"]["images"] = 200
    changes["training"] |= {"steps": 6, "save_every": 2, "keep": 2}
    recipe = tiny_recipe(data=data, **changes)
    return dry_run(recipe, work / "run"), lambda out: train(recipe, out)


KINDS = ["denoising", "distillation", "refinement", "adversarial"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_takes_what_it_was_said_to_take(kind: str, work: Path) -> None:
    forecast, training = forecast_of(kind, work)
    run = training(work / "run")
    newest = run / "checkpoints" / "step-00000006"
    assert forecast.disk is not None
    assert forecast.cost is not None
    size = sum((newest / name).stat().st_size for name in (MODEL, STATE))
    assert forecast.disk.checkpoint == size
    assert forecast.disk.checkpoint_count == len(list((run / "checkpoints").iterdir()))
    written = [p for p in run.rglob("*") if p.is_file() and p.suffix != ".png"]
    assert sum(p.stat().st_size for p in written) < forecast.disk.most + 20_000
    assert ("critic" in forecast.cost.parameters) == (kind == "adversarial")
    assert (forecast.sampling > 0) == (kind == "refinement")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_for_any_objective(kind: str, work: Path) -> None:
    before = listing(work)
    forecast_of(kind, work)
    assert listing(work) == before
    assert not (work.parent / "cache").exists()


@pytest.mark.parametrize("verb", ["train", "distill", "refine"])
def test_nothing_is_written_on_the_command_line(
    verb: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = train_words(work)
    if verb != "train":
        recipe = tiny_recipe(data={"name": f"npz:{work.parent / 'tiny.npz'}"})
        model = random_model_file(work.parent / "first.safetensors", recipe)
        words = [verb, str(model), "--batch", "8"]
    before = listing(work)
    for out in ([], ["--out", "new/run"]):
        assert "nothing was written" in said(capsys, *words, *out, "--dry-run")
    assert listing(work) == before
    assert not (work.parent / "cache").exists()


def test_an_actual_training_takes_about_as_long(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ratio is printed only: other programs may have the computer at one time and not at the other."""
    monkeypatch.setattr(calibration, "SECONDS", 0.5)
    data = {"name": f"npz:{work.parent / 'tiny.npz'}"}
    recipe = tiny_recipe(data=data, training={"steps": 100, "log_every": 100})
    forecast = dry_run(recipe)
    train(recipe, work / "run")
    entry = read_metrics(work / "run/metrics.jsonl")[-1]
    assert forecast.cost is not None
    actual = 8 / entry["images_per_second"]
    print(f"forecast / actual time of a step: {forecast.cost.seconds / actual:.2f}")


# What is refused


Words = Callable[[Path], list[str]]


def with_file(work: Path) -> list[str]:
    file = work.parent / "file"
    file.write_text("no folder")
    return [*train_words(work), "--out", str(file / "run")]


def with_folder(work: Path) -> list[str]:
    (work.parent / "there").mkdir(exist_ok=True)
    (work.parent / "there" / "notes.txt").touch()
    return [*train_words(work), "--out", str(work.parent / "there")]


def with_broken_data(work: Path) -> list[str]:
    (work.parent / "broken.npz").write_bytes(b"PK, or not")
    return train_words(work, data=f"npz:{work.parent / 'broken.npz'}")


def with_other_images(work: Path) -> list[str]:
    model = random_model_file(work.parent / "first.safetensors", classes=3)
    return ["distill", str(model), "--data.name", f"npz:{work.parent / 'tiny.npz'}"]


REFUSED: dict[str, Words] = {
    "no data": lambda work: train_words(work, data="npz:nowhere.npz"),
    "broken data": with_broken_data,
    "size": lambda work: [*train_words(work), "--patch", "3"],
    "heads": lambda work: train_words(work, heads="3"),
    "out there": with_folder,
    "out below a file": with_file,
    "precision": lambda work: [*train_words(work), "--precision", "fp16"],
    "tracker": lambda work: [*train_words(work), "--tracker", "trackio"],
    "weight decay": lambda work: [*train_words(work), "--optimizer=adam", "--weight-decay=1"],
    "grid": lambda work: [*train_words(work), "--grid", "karras:rho=-1"],
    "resume nothing": lambda work: ["train", "--resume", "nowhere"],
    "model": lambda work: ["refine", "nowhere"],
    "other images": with_other_images,
}
"""Trainings that cannot begin."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_training_refuses_is_refused_in_the_same_words(
    case: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "find_spec", lambda name: None)  # no tracker is installed
    words = REFUSED[case](work)
    before = listing(work)
    refused = in_process(*words, "--dry-run")
    assert isinstance(refused, str), refused
    assert listing(work) == before
    assert in_process(*words) == refused


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_place_for_runs_that_is_none_is_refused_at_once(dry: list[str], work: Path) -> None:
    (work / "runs").write_text("no folder")
    refused = in_process(*train_words(work), *dry)
    assert refused == "mezzotint: out = runs is no folder"


# Runs to resume


@pytest.fixture
def stopped(work: Path) -> Path:
    """A run that was killed after its checkpoint of step 4 of 6."""
    data = {"name": f"npz:{work.parent / 'tiny.npz'}"}
    recipe = tiny_recipe(data=data, training={"steps": 6, "save_every": 2, "keep": 3})
    whole = train(recipe, work.parent / "whole")
    return as_if_killed(whole, work / "run")


def test_of_a_run_to_resume_it_says_what_is_left(
    stopped: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(work)
    text = said(capsys, "train", "--resume", str(stopped), "--dry-run")
    assert "2 steps of 8, 0.4 epochs, after 4 that are done" in text
    assert listing(work) == before


def test_an_interrupted_replacement_is_left_as_it_is(
    stopped: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = stopped / "checkpoints" / "step-00000004"
    newest.rename(newest.with_name(".old-step-00000004"))
    before = listing(work)
    assert "after 2 that are done" in said(capsys, "train", "--resume", str(stopped), "--dry-run")
    assert listing(work) == before


def test_of_a_finished_run_nothing_is_left(
    work: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "train", "--resume", str(work.parent / "whole"), "--dry-run")
    assert "nothing is left: 6 steps are done" in text


def test_what_would_not_resume_is_refused_in_the_same_words(stopped: Path, work: Path) -> None:
    resume = ["train", "--resume", str(stopped)]
    with claim.resumed_run(stopped):  # as if another process trained there
        assert "is in use" in str(refused := in_process(*resume, "--dry-run"))
        assert in_process(*resume) == refused
    words = [*resume, "--steps", "9"]
    assert "--changes allow" in str(refused := in_process(*words, "--dry-run"))
    assert in_process(*words) == refused
    words = [*resume, "--out", "elsewhere"]
    assert "leave out --out" in str(refused := in_process(*words, "--dry-run"))
    assert in_process(*words) == refused


def test_other_images_than_before_are_a_warning(
    stopped: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_data(40)
    save_images(work.parent / "tiny.npz", replace(data, images=255 - data.images))
    before = listing(work)
    assert in_process("train", "--resume", str(stopped), "--dry-run") == 0
    assert "the images are not those that the run began with" in capsys.readouterr().err
    assert listing(work) == before


def test_changes_that_are_allowed_are_named(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(stopped)
    words = ["train", "--resume", str(stopped), "--steps", "40", "--changes", "allow", "--dry-run"]
    text = said(capsys, *words)
    assert re.search(r"^changed: +training.steps: 6 -> 40$", text, re.MULTILINE)
    assert "36 steps of 8" in text
    assert listing(stopped) == before
