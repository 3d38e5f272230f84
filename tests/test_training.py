"""Training: resume bit for bit, steps that go wrong, and what a run leaves on disk."""

import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.data import ImageData
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.parametrizations import flow
from mezzotint.objectives.denoising import DenoisingObjective
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.schema import Training
from mezzotint.recipe.toml import from_toml, to_toml
from mezzotint.registry import OPTIMIZERS, SCHEDULES
from mezzotint.runs.train import StoppedBySignal, make_trainer, train
from mezzotint.training.batches import epoch_order
from mezzotint.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from mezzotint.training.log import MetricsLog, read_metrics
from mezzotint.training.monitor import MAX_BAD_STEPS, Diverged, StepResult
from mezzotint.training.optimizers import learning_rate
from mezzotint.training.state import TrainingState
from mezzotint.training.trainer import Hook, Trainer
from mezzotint.utils.signals import stop_on_signal


def bits(state: TrainingState) -> dict[str, Tensor]:
    """A copy of all there is: the weights to sample from, weights, optimizer state."""
    found = {f"sampling.{k}": v for k, v in state.sampling_network.state_dict().items()}
    return {k: v.detach().clone() for k, v in (found | state.tensors()).items()}


def unequal(a: TrainingState | dict[str, Tensor], b: TrainingState) -> list[str]:
    """Names of the entries whose bits differ."""
    one, two = a if isinstance(a, dict) else bits(a), bits(b)
    assert one.keys() == two.keys()
    return [name for name in one if not torch.equal(one[name], two[name])]


def trainer(data: ImageData | None = None, **changes: Any) -> Trainer:
    return make_trainer(tiny_recipe(**changes), data or tiny_data())


def save(folder: Path, own: Trainer, **changes: Any) -> Path:
    """A checkpoint of a trainer of the tiny recipe with ``changes``."""
    header = weights.header(tiny_recipe(**changes), own.spec)
    return save_checkpoint(folder, own.state, header, keep=1)


# --- Resuming a trainer.


def resumed(folder: Path, stop: int, data: ImageData | None = None, **changes: Any) -> list[str]:
    """Names of all that differs between a run of 10 steps, and one saved at ``stop``, loaded anew
    and run to its end."""
    whole = trainer(data, **changes)

    def save_there(state: TrainingState) -> None:
        if state.step == stop:
            save(folder, whole, **changes)

    if stop == 0:
        save_there(whole.state)
    whole.run([Hook(1, save_there)])
    rest = trainer(data, **changes)
    path = latest_checkpoint(folder)
    assert path is not None
    load_checkpoint(path, rest.state)
    batch = rest.settings.batch
    assert (rest.state.step, rest.state.images) == (stop, stop * batch)
    rest.run()
    assert rest.state.step == whole.state.step == 10
    assert rest.state.images == whole.state.images == 10 * batch
    return unequal(whole.state, rest.state)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("stop", [5, 7], ids=["epoch's end", "within an epoch"])
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, optimizer: str, ema: float, accumulate: int, stop: int
) -> None:
    training = {"optimizer": optimizer, "ema": ema, "accumulate": accumulate}
    assert resumed(tmp_path, stop, training=training) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"net": {"name": "unet", "width": 8, "depth": 1}},
        {"training": {"decay": "cosine", "clip_gradient": 0.1, "batch": 7}},
        {"training": {"draws": "device", "balance": "classes", "deterministic": True}},
        {"objective": {"curriculum_start": 0.1}},
        {"diffusion": {"schedule": "linear", "timesteps": 1000, "parametrization": "eps"}},
    ],
    ids=str,
)
def test_it_does_so_whatever_the_recipe(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert resumed(tmp_path, 4, **changes) == []


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("stop", [0, 1, 9, 10])
def test_it_does_so_wherever_it_stopped(tmp_path: Path, ema: float, stop: int) -> None:
    assert resumed(tmp_path, stop, training={"ema": ema}) == []


def test_it_does_so_with_less_data_than_a_batch_and_without_labels(tmp_path: Path) -> None:
    assert resumed(tmp_path, 5, tiny_data(3, classes=0)) == []


def test_training_does_not_touch_or_depend_on_torchs_own_generator() -> None:
    ends = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        own = trainer()
        own.run()
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(own.state)
    assert unequal(*ends) == []


def test_the_seed_decides_start_and_course() -> None:
    states = [trainer(seed=seed) for seed in (0, 1)]
    assert unequal(states[0].state, states[1].state)
    # The same start, another course: the order of the images alone.
    states[1].state.network.load_state_dict(states[0].state.network.state_dict())
    for own in states:
        own.run()
    assert unequal(states[0].state, states[1].state)


# --- Resuming with another recipe, when that is asked for.


def saved(folder: Path, **changes: Any) -> tuple[Trainer, Path]:
    own = trainer(**changes)
    own.run()
    return own, save(folder, own, **changes)


def test_another_optimizer_takes_over_the_moments_of_each_weight(tmp_path: Path) -> None:
    # Adam and AdamW hold the weights in different orders: moments must follow their weight.
    own, path = saved(tmp_path, training={"optimizer": "adam"})
    other = trainer(training={"optimizer": "adamw"})
    load_checkpoint(path, other.state)
    theirs = dict(other.state.network.named_parameters())
    for name, parameter in own.state.network.named_parameters():
        moment = own.state.optimizer.state[parameter]["exp_avg"]
        taken = other.state.optimizer.state[theirs[name]]["exp_avg"]
        assert taken.shape == moment.shape, name
        assert torch.equal(taken, moment), name


def test_switching_the_average_off_goes_on_from_the_weights_themselves(tmp_path: Path) -> None:
    own, path = saved(tmp_path, training={"ema": 0.9})
    other = trainer(training={"ema": 0.0})
    load_checkpoint(path, other.state)
    for name, value in own.state.network.state_dict().items():
        assert torch.equal(other.state.network.state_dict()[name], value), name


def test_switching_the_average_on_begins_it_at_the_weights(tmp_path: Path) -> None:
    own, path = saved(tmp_path, training={"ema": 0.0})
    other = trainer(training={"ema": 0.9})
    load_checkpoint(path, other.state)
    for name, value in own.state.network.state_dict().items():
        assert torch.equal(other.state.network.state_dict()[name], value), name
        assert torch.equal(other.state.sampling_network.state_dict()[name], value), name


# --- Runs on disk, on tiny data.


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": tiny_data())


def silent(text: str) -> None:
    pass


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time of change."""
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The metrics, without what a clock says."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        assert entry.pop("images_per_second") > 0
    return entries


def same_model(one: Path, other: Path) -> None:
    """Refuse files that differ in tensors, recipe or images."""
    (a, *header_a), (b, *header_b) = weights.read(one), weights.read(other)
    assert header_a == header_b
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], None]]:
    """``signalled(step, number)``: this process receives the signal while it computes ``step``."""
    compute = Trainer.step
    request: dict[int, int] = {}

    def step(self: Trainer) -> StepResult:
        if self.state.step in request:
            signal.raise_signal(request.pop(self.state.step))
        return compute(self)

    monkeypatch.setattr(Trainer, "step", step)
    yield lambda at, number: request.update({at: number})
    assert not request, "the signal was never sent"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("tiny")
def test_a_stopped_and_resumed_run_leaves_the_same_files(
    tmp_path: Path, signalled: Callable[[int, int], None], number: signal.Signals
) -> None:
    recipe = tiny_recipe(training={"save_every": 4, "sample_every": 5})
    whole = train(recipe, tmp_path / "whole", log=silent)

    signalled(6, number)
    with pytest.raises(StoppedBySignal, match=r"step 7.*--resume") as caught:
        train(recipe, tmp_path / "parts", log=silent)
    assert caught.value.signal == number
    parts = tmp_path / "parts"
    assert [p.name for p in (parts / "checkpoints").iterdir() if p.name.endswith("7")]
    assert not (parts / "model.safetensors").exists()  # it is not the result yet

    assert train(recipe, resume=parts, log=silent) == parts
    for name in ("recipe.toml", "samples/step-00000005.png", "samples/step-00000010.png"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    same_model(parts / "model.safetensors", whole / "model.safetensors")
    assert metrics(parts) == metrics(whole)
    first, second = (latest_checkpoint(run / "checkpoints") for run in (whole, parts))
    assert first is not None
    assert second is not None
    assert first.name == second.name == "step-00000010"
    same_model(first / "model.safetensors", second / "model.safetensors")
    assert (first / "state.safetensors").read_bytes() == (second / "state.safetensors").read_bytes()


@pytest.mark.usefixtures("tiny")
def test_a_run_leaves_all_that_it_promises(tmp_path: Path) -> None:
    said: list[str] = []
    recipe = tiny_recipe(training={"log_every": 3, "sample_every": 4})
    folder = train(recipe, tmp_path / "run", log=said.append)
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints",
        "data.json",
        "loss.png",
        "metrics.jsonl",
        "model.safetensors",
        "recipe.toml",
        "samples",
    ]
    assert from_toml((folder / "recipe.toml").read_text()) == recipe
    assert [entry["step"] for entry in metrics(folder)] == [3, 6, 9, 10]
    names = sorted(p.name for p in (folder / "samples").iterdir())
    assert names == [f"step-{step:08d}.png" for step in (4, 8, 10)]
    for path in [*(folder / "samples").iterdir(), folder / "loss.png"]:
        with Image.open(path) as picture:
            picture.load()
            low, high = picture.convert("L").getextrema()
            assert low < high, path.name
            assert picture.width >= 10 * 8
    tensors, own, spec = weights.read(folder / "model.safetensors")
    assert own == recipe
    assert (spec.size, spec.channels, spec.classes) == ((8, 8), 1, tuple("0123456789"))
    assert all(value.isfinite().all() for value in tensors.values())
    assert "40 images of 8x8x1" in said[0]
    assert "3 4," in said[0]  # four images of class 3
    assert not list(folder.rglob(".tmp-*"))


def test_warnings_about_the_classes_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_data(40, classes=3)
    uneven = ImageData(data.images, torch.tensor([0] * 38 + [1] * 2), data.classes)
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": uneven)
    said: list[str] = []
    train(tiny_recipe(training={"steps": 1}), tmp_path / "run", log=said.append)
    assert any("no images at all of class 2" in line for line in said)
    assert any("few images of class 1 (2)" in line for line in said)


@pytest.mark.usefixtures("tiny")
def test_an_existing_folder_is_refused_and_left_untouched(tmp_path: Path) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    before = contents(folder)
    with pytest.raises(RecipeError, match=f"{folder.name} exists, .*--resume"):
        train(tiny_recipe(), folder, log=silent)
    assert contents(folder) == before


@pytest.mark.usefixtures("tiny")
def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """Such as one that a training left which was killed before it wrote anything."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".tmp-0123456789ab.toml").write_text("half")
    train(tiny_recipe(), tmp_path / "empty", log=silent)
    assert not list((tmp_path / "empty").rglob(".tmp-*"))
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="file exists"):
        train(tiny_recipe(), tmp_path / "file", log=silent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net": {"width": 16}}, ["net.width: 8 -> 16"]),
        ({"training": {"batch": 4}}, ["training.batch: 8 -> 4"]),
        ({"seed": 1, "training": {"steps": 20}}, ["seed: 0 -> 1", "training.steps: 10 -> 20"]),
        ({"objective": {"loss": "l1"}}, ["objective.loss: 'l2' -> 'l1'"]),
        ({"net": {"name": "unet"}}, ["net.name: 'lean' -> 'unet'"]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("tiny")
def test_resuming_with_another_recipe_is_refused_naming_the_fields(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    before = contents(folder)
    with pytest.raises(RecipeError, match="--changes allow") as caught:
        train(as_recipe(tiny_recipe(), changes), resume=folder, log=silent)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert contents(folder) == before


@pytest.mark.usefixtures("tiny")
def test_allowed_changes_go_on_and_become_the_runs_recipe(tmp_path: Path) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    longer = tiny_recipe(training={"steps": 14, "batch": 4, "learning_rate": 1e-3})
    train(longer, resume=folder, changes="allow", log=silent)
    assert from_toml((folder / "recipe.toml").read_text()) == longer
    assert weights.read(folder / "model.safetensors")[1] == longer
    assert [entry["step"] for entry in metrics(folder)] == list(range(1, 15))


@pytest.mark.usefixtures("tiny")
def test_another_optimizer_is_refused_even_when_changes_are_allowed(tmp_path: Path) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    before = contents(folder)
    other = tiny_recipe(training={"optimizer": "adam", "steps": 12})
    with pytest.raises(RecipeError, match=r"training\.optimizer cannot change within a run"):
        train(other, resume=folder, changes="allow", log=silent)
    assert contents(folder) == before


@pytest.mark.parametrize("batches", [(8, 4), (4, 8), (8, 6, 1, 9)], ids=str)
def test_a_run_that_goes_on_with_another_batch_size_sees_each_image_once_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: tuple[int, ...]
) -> None:
    data = tiny_data(40)
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": data)
    numbers = {image.numpy().tobytes(): k for k, image in enumerate(data.images)}
    assert len(numbers) == 40
    seen: list[int] = []
    compute = DenoisingObjective.loss

    def spy(self: DenoisingObjective, denoiser: Any, x0: Tensor, *rest: Any) -> Tensor:
        images = ((x0 + 1) * 127.5).round().byte()
        seen.extend(numbers[image.numpy().tobytes()] for image in images)
        return compute(self, denoiser, x0, *rest)

    monkeypatch.setattr(DenoisingObjective, "loss", spy)
    run, steps = tmp_path / "run", 0
    for batch in batches:
        steps += 3
        recipe = tiny_recipe(training={"steps": steps, "batch": batch})
        if run.exists():
            train(recipe, resume=run, changes="allow", log=silent)
        else:
            train(recipe, run, log=silent)
    count = 3 * sum(batches)
    assert len(seen) == count
    # Neither skipped nor repeated: one epoch after the other, in the order of a run that never stopped.
    expected = [row for epoch in range(2) for row in epoch_order(0, epoch, 40).tolist()]
    assert seen == expected[:count]
    path = latest_checkpoint(run / "checkpoints")
    assert path is not None
    assert load_file(path / "state.safetensors")["images"] == count


@pytest.mark.usefixtures("tiny")
def test_a_run_that_has_passed_its_new_end_is_done(tmp_path: Path) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    (folder / "model.safetensors").unlink()
    (folder / "loss.png").unlink()
    shorter = tiny_recipe(training={"steps": 8})
    train(shorter, resume=folder, changes="allow", log=silent)
    assert weights.read(folder / "model.safetensors")[1] == shorter
    assert (folder / "loss.png").is_file()


@pytest.mark.usefixtures("tiny")
def test_a_network_of_another_shape_is_refused_even_when_changes_are_allowed(
    tmp_path: Path,
) -> None:
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    before = contents(folder)
    with pytest.raises(ValueError, match=r"step-00000010 does not fit"):
        train(tiny_recipe(net={"width": 16}), resume=folder, changes="allow", log=silent)
    assert contents(folder) == before


def test_data_of_another_shape_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"classes": 10}
    monkeypatch.setattr(
        "mezzotint.build.load_data", lambda section, split="train": tiny_data(**data)
    )
    folder = train(tiny_recipe(), tmp_path / "run", log=silent)
    data["classes"] = 7
    with pytest.raises(ValueError, match=r"does not fit|classes were"):
        train(tiny_recipe(), resume=folder, log=silent)


@pytest.mark.usefixtures("tiny")
def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere is no run to resume"):
        train(tiny_recipe(), resume=tmp_path / "nowhere", log=silent)
    (tmp_path / "recipe.toml").write_text(to_toml(tiny_recipe()))
    (tmp_path / "checkpoints" / "step-00000003").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"no whole checkpoint .*, but 1 damaged"):
        train(tiny_recipe(), resume=tmp_path, log=silent)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "recipe.toml"]


@pytest.mark.usefixtures("tiny")
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    whole = train(tiny_recipe(), tmp_path / "whole", log=silent)
    (tmp_path / "run").mkdir()
    shutil.copy(whole / "recipe.toml", tmp_path / "run")
    said: list[str] = []
    train(resume=tmp_path / "run", log=said.append)
    assert any("before its first checkpoint: beginning at step 0" in line for line in said)
    names = ["model.safetensors", "checkpoints/step-00000010/state.safetensors"]
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net": {"patch": 8}}, "8x8 do not fit"),
        ({"net": {"groups": 3}}, "8 channels cannot be normalized in 3"),
        ({"training": {"precision": "fp16"}}, "fp16' needs a GPU"),
        ({"net": {"embedding": 15}}, "even width, not 15"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("tiny")
def test_a_recipe_that_cannot_be_is_refused_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    if "training" in changes and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=words):
        train(tiny_recipe(**changes), tmp_path / "run", log=silent)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("training", "kept"),
    [
        ({"save_every": 2, "keep": 2}, [8, 10]),
        ({"save_every": 3, "keep": 3}, [6, 9, 10]),
        ({"save_every": 1, "keep": 1}, [10]),
        ({"save_every": 0, "keep": 2}, [10]),
        ({"save_every": 100, "keep": 2}, [10]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("tiny")
def test_the_newest_checkpoints_are_kept(
    tmp_path: Path, training: dict[str, int], kept: list[int]
) -> None:
    folder = train(tiny_recipe(training=training), tmp_path / "run", log=silent)
    names = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}" for step in kept]


@pytest.mark.usefixtures("tiny")
def test_metrics_have_no_duplicates_after_a_resume_from_an_earlier_checkpoint(
    tmp_path: Path,
) -> None:
    recipe = tiny_recipe(training={"save_every": 4, "keep": 5})
    folder = train(recipe, tmp_path / "run", log=silent)
    before = metrics(folder)
    shutil.copy(folder / "model.safetensors", tmp_path / "before.safetensors")
    # As after a kill between steps 8 and 10: the log is ahead of the checkpoint, its end is cut.
    for path in (folder / "checkpoints" / "step-00000010").iterdir():
        path.unlink()
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 11, "lo')
    train(recipe, resume=folder, log=silent)
    assert [entry["step"] for entry in metrics(folder)] == list(range(1, 11))
    assert metrics(folder) == before
    path = latest_checkpoint(folder / "checkpoints")
    assert path is not None
    assert path.name == "step-00000010"  # the damaged one is replaced
    same_model(folder / "model.safetensors", tmp_path / "before.safetensors")


def test_the_log_drops_what_lies_beyond_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (2, 4, 6):
        log.write({"step": step, "loss": step / 8})
    assert [entry["step"] for entry in read_metrics(path)] == [2, 4, 6]
    assert log.losses == [(2, 0.25), (4, 0.5), (6, 0.75)]
    again = MetricsLog(path, 4)
    again.write({"step": 5, "loss": 0.125})
    again.write({"step": 6, "loss": math.nan})
    assert read_metrics(path) == [
        {"step": 2, "loss": 0.25},
        {"step": 4, "loss": 0.5},
        {"step": 5, "loss": 0.125},
        {"step": 6, "loss": None},
    ]
    assert again.losses[:3] == [(2, 0.25), (4, 0.5), (5, 0.125)]
    assert MetricsLog(path, 6).losses == [(2, 0.25), (4, 0.5), (5, 0.125)]


@pytest.mark.usefixtures("tiny")
def test_tensorboard_gets_an_event_file_with_the_losses(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = tiny_recipe(training={"tracker": "tensorboard", "steps": 3})
    folder = train(recipe, tmp_path / "run", log=silent)
    (events,) = folder.rglob("events.out.tfevents.*")
    found = EventAccumulator(str(events)).Reload().Scalars("loss")
    assert [entry.step for entry in found] == [1, 2, 3]
    expected = [entry["loss"] for entry in metrics(folder)]
    assert [entry.value for entry in found] == pytest.approx(expected, rel=1e-6)


# --- Steps that go wrong.

Fault = Callable[[Tensor], Tensor]
FAULTS: dict[str, Fault] = {
    "nan": lambda losses: losses * math.nan,
    "infinite": lambda losses: losses * math.inf,
    # The loss alone overflows; its gradient is as good as ever.
    "infinite loss, finite gradient": lambda losses: losses + math.inf,
    "one image of the batch": lambda losses: torch.cat([losses[:1] * math.inf, losses[1:]]),
}


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``faulty(*steps)``: at these calls of the objective, counted from 0, the loss is broken."""
    compute, calls = DenoisingObjective.loss, iter(range(10**9))
    bad: dict[int, Fault] = {}

    def call(self: DenoisingObjective, *arguments: Any) -> Tensor:
        losses = compute(self, *arguments)
        return bad.get(next(calls), lambda x: x)(losses)

    monkeypatch.setattr(DenoisingObjective, "loss", call)
    return lambda *steps, fault=FAULTS["nan"]: bad.update(dict.fromkeys(steps, fault))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_bad_step_changes_nothing_and_training_goes_on(
    faulty: Callable[..., None], capsys: pytest.CaptureFixture[str], fault: str, ema: float
) -> None:
    own = trainer(training={"ema": ema, "warmup": 0})
    history: dict[int, dict[str, Tensor]] = {}
    faulty(3, fault=FAULTS[fault])

    def remember(self: TrainingState) -> None:
        history[self.step] = bits(self)

    def end_at(steps: int) -> None:
        own.settings = dataclasses.replace(own.settings, steps=steps)

    end_at(3)
    own.run([Hook(1, remember)])
    end_at(4)
    own.run()
    assert "step 3: loss or gradient is not finite; the step is skipped" in capsys.readouterr().err
    assert (own.state.step, own.state.images) == (4, 32)  # it goes on to other images
    assert unequal(history[3], own.state) == ["images"]

    end_at(8)
    own.run()
    assert own.state.step == 8
    assert unequal(history[3], own.state)
    assert all(value.isfinite().all() for value in bits(own.state).values())


def test_bad_steps_in_a_row_end_training_in_words(
    faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    own = trainer(training={"steps": 40})
    faulty(*range(5, 5 + MAX_BAD_STEPS))
    with pytest.raises(Diverged, match=r"10 steps in a row .* step 14, .*rate of 0.0137"):
        own.run()
    assert capsys.readouterr().err.count("is skipped") == MAX_BAD_STEPS == 10
    assert all(value.isfinite().all() for value in bits(own.state).values())


def test_bad_steps_that_are_not_in_a_row_do_not_add_up(faulty: Callable[..., None]) -> None:
    own = trainer(training={"steps": 40})
    faulty(*range(5, 14), *range(15, 24))
    assert own.run().step == 40


@pytest.mark.usefixtures("tiny")
def test_the_last_good_checkpoint_outlives_divergence(
    tmp_path: Path, faulty: Callable[..., None]
) -> None:
    recipe = tiny_recipe(training={"steps": 40, "save_every": 2, "keep": 1})
    faulty(*range(5, 40))
    with pytest.raises(Diverged) as ended:
        train(recipe, tmp_path / "run", log=silent)
    words = "last good checkpoint is that of step 4; .*--resume .*run --learning-rate 0.01 --changes allow"
    assert re.search(words, str(ended.value)), ended.value
    path = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert path is not None
    assert path.name == "step-00000004"  # none is written while the steps are bad
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("where", ["weights", "average", "moments"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_state_that_is_not_finite_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: float
) -> None:
    """Gradients are checked, but an update may still leave the range of numbers."""
    update = Trainer._update

    def leave(own: Trainer, loss: Tensor) -> StepResult:
        result = update(own, loss)
        if own.state.step == 5:
            network = own.state.network
            assert own.state.ema
            tensors = {
                "weights": list(network.parameters()),
                "average": list(own.state.ema.network.parameters()),
                "moments": [own.state.optimizer.state[p]["exp_avg"] for p in network.parameters()],
            }
            tensors[where][0].data.view(-1)[0] = value
        return result

    monkeypatch.setattr(Trainer, "_update", leave)
    settings = {"steps": 6, "save_every": 2, "keep": 1, "optimizer": "adam", "learning_rate": 1e-3}
    with pytest.raises(Diverged, match=r"at step 6, .* is not finite\. .*that of step 4"):
        train(tiny_recipe(training=settings), tmp_path / "run", log=silent)
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_spike_between_two_entries_of_the_log_is_in_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update = Trainer._update

    def spike(own: Trainer, loss: Tensor) -> StepResult:
        return update(own, loss + 1e6 if own.state.step == 6 else loss)

    monkeypatch.setattr(Trainer, "_update", spike)
    entries: list[dict[str, Any]] = []
    trainer(training={"steps": 12, "log_every": 4}).run(log=entries.append)
    assert [entry["largest_loss"] > 1e6 for entry in entries] == [False, True, False]
    for entry in entries:
        assert entry["largest_loss"] >= entry["loss"]
        assert entry["largest_gradient_norm"] >= entry["gradient_norm"] > 0


@pytest.mark.usefixtures("tiny")
def test_a_run_whose_last_step_is_bad_still_saves_its_end(
    tmp_path: Path, faulty: Callable[..., None]
) -> None:
    faulty(9)
    recipe = tiny_recipe(training={"save_every": 5, "sample_every": 5})
    folder = train(recipe, tmp_path / "run", log=silent)
    path = latest_checkpoint(folder / "checkpoints")
    assert path is not None
    assert path.name == "step-00000010"
    assert (folder / "samples" / "step-00000010.png").exists()


@pytest.mark.usefixtures("tiny")
def test_a_bad_step_leaves_a_log_that_says_so_and_that_any_reader_of_json_takes(
    tmp_path: Path, faulty: Callable[..., None]
) -> None:
    faulty(2, 5, 6, 7)
    recipe = tiny_recipe(training={"log_every": 2})
    folder = train(recipe, tmp_path / "run", log=silent)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line, parse_constant=refuse) for line in lines]
    # Of steps 7 and 8 there is nothing to say; that they were skipped is said with the next.
    assert [entry["step"] for entry in entries] == [2, 4, 6, 10]
    assert all(math.isfinite(entry["loss"]) for entry in entries)
    assert [entry.get("skipped_steps") for entry in entries] == [None, 1, 1, 2]
    # The last step before the entry at 6 was skipped: it has no gradient.
    assert [entry["gradient_norm"] is None for entry in entries] == [False, False, True, False]


# --- Accumulation.


def gradients(own: Trainer, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of the first step, of weights none of which is trivial."""
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in own.state.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.2)
    found: dict[str, Tensor] = {}

    def keep(self: Trainer, loss: Tensor) -> StepResult:
        for name, parameter in self.state.network.named_parameters():
            assert parameter.grad is not None, name
            found[name] = parameter.grad.clone()
        return StepResult(loss, torch.zeros(()), torch.zeros(()))

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", keep)
        loss = own.step().loss
    return loss, found


@pytest.mark.parametrize(("batch", "parts"), [(8, 2), (5, 2), (5, 3), (5, 5), (7, 4)])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, batch: int, parts: int
) -> None:
    results = []
    for accumulate in (1, parts):
        own = trainer(training={"batch": batch, "accumulate": accumulate})
        results.append(gradients(own, monkeypatch))
    (loss, whole), (summed, added) = results
    torch.testing.assert_close(summed, loss, rtol=1e-5, atol=0)
    for name, gradient in whole.items():
        # A part weighted by its own size, not the batch's, would be off by a tenth or more.
        scale = gradient.abs().max().item()
        torch.testing.assert_close(added[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-7)


def test_the_loss_is_the_mean_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    compute = DenoisingObjective.loss

    def spy(self: DenoisingObjective, *arguments: Any) -> Tensor:
        seen.append(compute(self, *arguments))
        return seen[-1]

    monkeypatch.setattr(DenoisingObjective, "loss", spy)
    loss = trainer(training={"batch": 5, "accumulate": 2}).step().loss
    assert [len(part) for part in seen] == [3, 2]
    torch.testing.assert_close(loss, torch.cat(seen).mean())


# --- Signals.


def test_the_first_signal_is_noted_and_the_second_has_its_usual_effect() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signal() as request:
        assert request.received is None
        signal.raise_signal(signal.SIGINT)
        assert request.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_handlers_are_restored_when_training_fails() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), stop_on_signal():  # noqa: PT012
        assert signal.getsignal(signal.SIGTERM) != before
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signalled_command_saves_exits_with_its_status_and_can_be_resumed(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    folder = tmp_path / "run"
    flags = (
        "--width 8 --blocks 1 --embedding 16 --batch 8 --steps 1000000 --log-every 1"
        " --sample-every 0"
    )
    command = [sys.executable, "-m", "mezzotint", "train", "digits", *flags.split()]
    process = subprocess.Popen(
        [*command, "--out", str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        log = folder / "metrics.jsonl"
        until = time.monotonic() + 60
        while not (log.exists() and log.read_text().count("\n") >= 3):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert f"mezzotint train --resume {folder}" in said

    path = latest_checkpoint(folder / "checkpoints")
    assert path is not None
    step = json.loads((path / "manifest.json").read_text())["step"]
    assert step == read_metrics(log)[-1]["step"] >= 3
    assert not list(folder.rglob(".tmp-*"))

    recipe = from_toml((folder / "recipe.toml").read_text())
    longer = as_recipe(recipe, {"training": {"steps": step + 3}})
    train(longer, resume=folder, changes="allow", log=silent)
    assert [entry["step"] for entry in metrics(folder)] == list(range(1, step + 4))
    assert (folder / "model.safetensors").exists()


# --- Learning rate, optimizer, hooks.


def rates(**changes: Any) -> list[float]:
    training = Training(**{"steps": 10, "warmup": 4, "learning_rate": 1.0, **changes})
    return [learning_rate(step, training) for step in range(training.steps)]


def test_the_learning_rate_rises_then_falls_as_asked() -> None:
    rise = [0.25, 0.5, 0.75, 1.0]
    linear = [6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    cosine = [(1 + math.cos(math.pi * k / 6)) / 2 for k in range(6)]
    assert rates(decay="none") == [*rise, *[1.0] * 6]
    assert rates(decay="linear") == pytest.approx([*rise, *linear])
    assert rates(decay="cosine") == pytest.approx([*rise, *cosine])
    assert rates(warmup=0, decay="none") == [1.0] * 10
    assert rates(warmup=0, decay="linear")[0] == 1.0


def test_a_warm_up_longer_than_the_run_ends_with_it() -> None:
    assert rates(warmup=1000) == pytest.approx([(k + 1) / 10 for k in range(10)])


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 9, 10, 11])
def test_the_rate_is_never_zero_nor_above_its_peak(decay: str, warmup: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(decay=decay, warmup=warmup))


def test_training_uses_and_logs_the_rate_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []
    own = trainer()
    entries: list[dict[str, Any]] = []
    step = own.state.optimizer.step

    def spy(*arguments: Any) -> Any:
        used.append(own.state.optimizer.param_groups[0]["lr"])
        return step(*arguments)

    monkeypatch.setattr(own.state.optimizer, "step", spy)
    own.run(log=entries.append)
    expected = [learning_rate(k, own.settings) for k in range(10)]
    assert used == expected
    assert [entry["learning_rate"] for entry in entries] == expected


def test_weight_decay_spares_biases_norms_and_adam() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.GroupNorm(1, 2))
    optimizer = OPTIMIZERS["adamw"](network, Training(optimizer="adamw", weight_decay=0.5))
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert {n: decays[id(p)] for n, p in network.named_parameters()} == {
        "0.weight": 0.5,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }
    by_default = OPTIMIZERS["adamw"](network, Training(optimizer="adamw"))
    assert [group["weight_decay"] for group in by_default.param_groups] == [0.01, 0]
    adam = OPTIMIZERS["adam"](network, Training(optimizer="adam"))
    assert type(adam) is torch.optim.Adam
    assert [group["weight_decay"] for group in adam.param_groups] == [0]


def test_gradients_are_clipped_to_the_norm_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    own = trainer(training={"clip_gradient": 1e-3, "steps": 3})
    norms: list[float] = []
    step = own.state.optimizer.step

    def spy(*arguments: Any) -> Any:
        found = [p.grad.norm() for p in own.state.network.parameters() if p.grad is not None]
        norms.append(torch.stack(found).norm().item())
        return step(*arguments)

    monkeypatch.setattr(own.state.optimizer, "step", spy)
    own.run()
    assert norms == pytest.approx([1e-3] * 3, rel=1e-2)


def test_hooks_run_on_their_cadence_and_after_the_step() -> None:
    seen: dict[int, list[int]] = {0: [], 3: [], 5: []}
    own = trainer()
    own.run([Hook(every, lambda state, e=every: seen[e].append(state.step)) for every in seen])
    assert seen == {0: [], 3: [3, 6, 9], 5: [5, 10]}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_pictures_on_the_way_do_not_disturb_training(tmp_path: Path, ema: float) -> None:
    models = []
    for every in (0, 2):
        recipe = tiny_recipe(training={"steps": 4, "sample_every": every, "ema": ema})
        folder = train(recipe, tmp_path / f"every-{every}", log=silent)
        models.append(weights.read(folder / "model.safetensors")[0])
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


# --- That it learns.


def patterns() -> ImageData:
    """Four images, as different as can be."""
    flat = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    flat[1] = 255
    flat[2, :, :4] = 255
    flat[3, :, :, :4] = 255
    return ImageData(flat, torch.arange(4), tuple("abcd"))


def losses(own: Trainer) -> list[float]:
    found: list[float] = []
    own.run(log=lambda entry: found.append(entry["loss"]))
    return found


LONGER = {
    "steps": 60,
    "batch": 16,
    "optimizer": "adamw",
    "learning_rate": 1e-2,
    "warmup": 10,
    "ema": 0.9,
}


@pytest.mark.parametrize(
    ("diffusion", "objective", "share"),
    [
        # Told the label, a network can know the whole image: this loss can fall to nothing.
        ({"parametrization": "x0"}, {"weighting": "min-snr"}, 0.05),
        # These keep what no network can know: which noise it was, on an image nearly clean.
        ({}, {}, 0.75),
        (
            {"schedule": "original-linear", "timesteps": 1000, "parametrization": "eps"},
            {"loss": "l1"},
            0.7,
        ),
        ({"schedule": "cosine", "timesteps": 100, "parametrization": "v"}, {}, 0.8),
    ],
    ids=str,
)
def test_a_few_images_are_learnt_by_heart(
    diffusion: dict[str, Any], objective: dict[str, Any], share: float
) -> None:
    changes = {"diffusion": diffusion, "objective": objective}
    found = losses(trainer(patterns(), training=LONGER, **changes))
    assert sum(found[-10:]) < share * sum(found[:10])


class Patch(torch.nn.Module):
    """Hardly a network: a number for each pixel of each class, and how much of the input to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 64)
        self.share = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        return self.table(labels).view(-1, 1, 8, 8) + self.share * x


def test_a_trainer_takes_any_network_and_objective_and_steps_one_by_one() -> None:
    torch.manual_seed(0)
    denoiser = NetworkDenoiser(Patch(), SCHEDULES["flow"](None), flow)
    settings = Training(
        steps=60, batch=16, optimizer="adam", learning_rate=0.1, warmup=0, ema=0.0, log_every=1
    )
    objective = DenoisingObjective(null_label=4, label_dropout=0.1)
    own = Trainer(denoiser, objective, patterns(), settings, seed=3)
    result = own.step()
    assert isinstance(result, StepResult)
    assert bool(result.finite)
    assert result.gradient_norm > 0
    assert result.beside_norm == 0
    assert (own.state.step, own.state.images) == (1, 16)
    found = losses(own)
    assert (own.state.step, own.state.images, len(found)) == (60, 960, 59)
    assert sum(found[-10:]) < 0.8 * result.loss.item() * 10
    assert own.state.sampling_network is denoiser.network


def test_a_curriculum_begins_with_nearly_clean_images_and_ends_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latest: list[float] = []
    draw = DenoisingObjective.draw

    def spy(self: DenoisingObjective, *arguments: Any) -> Any:
        draws = draw(self, *arguments)
        latest.append(draws.t.max().item())
        return draws

    monkeypatch.setattr(DenoisingObjective, "draw", spy)
    objective = {"times": "stratified", "curriculum_start": 0.1, "curriculum_until": 0.5}
    found = losses(trainer(patterns(), training=LONGER, objective=objective))
    assert len(found) == len(latest) == 60
    assert all(math.isfinite(loss) for loss in found)
    for step, t in enumerate(latest):
        horizon = 0.1 + 0.9 * min(1.0, step / 30)
        # The largest of 16 stratified draws lies in the top sixteenth.
        assert 15 / 16 * horizon <= t <= horizon, step


def test_an_images_label_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = patterns()
    pairs: set[tuple[bytes, int]] = set()
    compute = DenoisingObjective.loss

    def spy(
        self: DenoisingObjective, denoiser: Any, x0: Tensor, labels: Tensor, *rest: Any
    ) -> Tensor:
        for image, label in zip(x0, labels.tolist(), strict=True):
            pairs.add((((image + 1) * 127.5).round().byte().numpy().tobytes(), label))
        return compute(self, denoiser, x0, labels, *rest)

    monkeypatch.setattr(DenoisingObjective, "loss", spy)
    trainer(data).run()
    assert pairs == {(image.numpy().tobytes(), k) for k, image in enumerate(data.images)}


@pytest.mark.parametrize("count", [1, 3, 9])
def test_data_smaller_than_or_next_to_a_batch_train(count: int) -> None:
    own = trainer(tiny_data(count))
    before = bits(own.state)
    assert own.run().step == 10
    changed = [name for name in before if not torch.equal(before[name], bits(own.state)[name])]
    assert "network.stem.weight" in changed


def test_three_channels_and_no_classes_train() -> None:
    own = trainer(tiny_data(channels=3, classes=0))
    start = {k: v.clone() for k, v in own.state.network.state_dict().items()}
    assert own.run().step == 10
    assert any(not torch.equal(v, start[k]) for k, v in own.state.network.state_dict().items())
