"""A training run, from a recipe to a folder.

runs/digits-20260102-030405/
  recipe.toml       everything that decides the run
  metrics.jsonl     step, loss, learning rate, gradient norm, images per second
  loss.png          the loss curve
  samples/          a grid of all classes, on a cadence
  checkpoints/      the newest few, each enough to resume
  model.safetensors the result: weights to sample from, recipe in the header
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.operations import broadcast_object_list

from . import build, options, pixels, runtime, weights
from .config import Recipe, RecipeError
from .diffusion.denoiser import NetworkDenoiser
from .files import whole_file
from .model import Model, find_weights, load
from .progress import progress
from .recipes import as_recipe
from .training.checkpoint import (
    MODEL,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    sha256,
)
from .training.log import MetricsLog, read_metrics
from .training.state import TrainingState
from .training.trainer import Hook, Stopped, Trainer
from .viz.curves import save_loss_curve
from .viz.grids import tile, to_pillow


def new_folder(recipe: Recipe, out: Path | None) -> Path:
    """A folder for a new run. Raises RecipeError where ``out`` exists: runs are never overwritten."""
    folder = out or Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.exists():
        raise RecipeError(
            f"{folder} exists, and a run is never overwritten:"
            f" continue it with --resume {folder}, or choose another --out"
        )
    return folder


def recipe_of(folder: Path) -> Recipe:
    """The recipe a run was started with."""
    path = folder / "recipe.toml"
    if not path.is_file():
        raise RecipeError(f"{folder} is no run to resume: it holds no recipe.toml")
    return options.from_toml(path.read_text(), str(path))


def check_resume(folder: Path, recipe: Recipe, changes: str) -> None:
    """Refuse to resume ``folder`` with another recipe than its own, unless changes are allowed."""
    changed = options.differences(recipe_of(folder), recipe)
    if changed and changes != "allow":
        raise RecipeError(
            f"{folder} was started with another recipe; changed: {'; '.join(changed)}."
            " Resume without these, or say --changes allow"
        )


def train(
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    resume: str | Path | None = None,
    changes: str = "refuse",
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> Path:
    """Train a recipe, or a recipe's name, and return the run's folder.

    ``recipe``: digits if not given, or that of the run to resume. ``out``: where; a new folder under
    runs/ if not given. ``resume``: an earlier run's folder to continue instead. Raises RecipeError
    where recipe, folder or data do not fit, before anything is computed; StoppedBySignal after SIGINT
    or SIGTERM, when all has been saved.
    """
    runtime.prepare()
    if recipe is None:
        recipe = "digits" if resume is None else recipe_of(Path(resume))
    recipe = as_recipe(recipe)
    if resume is not None:
        if out is not None:
            raise RecipeError("a resumed run goes on in its own folder: leave out --out")
        check_resume(Path(resume), recipe, changes)
    folder = Path(resume) if resume is not None else new_folder(recipe, Path(out) if out else None)
    state = runtime.processes()
    folder = Path(broadcast_object_list([str(folder)])[0])  # the first process's clock names it
    if not state.is_main_process:
        say = _silent
    with state.main_process_first():  # which decodes pictures into the cache, if there are any
        data = build.load_data(recipe)
    counts = ", ".join(f"{name} {count:,}" for name, count in data.counts().items())
    say(f"{len(data):,} images of {data.size[0]}x{data.size[1]}x{data.channels}; {counts}")
    for warning in data.warnings():
        say(f"warning: {warning}")
    trainer = Trainer(recipe, data, teacher=_teacher(recipe, build.spec_of(data)))
    main = trainer.accelerator.is_main_process
    if resume is not None:
        _continue(trainer, folder, say)
    if main:
        _prepare_folder(folder, recipe)
        trainer.log = _logger(folder, recipe, trainer.state.step)
    parameters = sum(p.numel() for p in trainer.state.network.parameters())
    say(f"{recipe.name}: {parameters:,} parameters on {trainer.device}; writing to {folder}")
    stopped = trainer.run(_hooks(folder, recipe, trainer))
    if main:
        _finish(folder, recipe, trainer, stopped)
    trainer.accelerator.wait_for_everyone()
    if stopped.signal is not None:
        raise StoppedBySignal(folder, stopped)
    return folder


def _silent(text: str) -> None:
    """What processes other than the first have to say."""


class StoppedBySignal(Exception):
    """Training was asked to stop, and saved. ``signal`` is the number of the signal."""

    def __init__(self, folder: Path, stopped: Stopped) -> None:
        super().__init__(
            f"stopped at step {stopped.step:,}, saved; go on with: mezzotint train --resume {folder}"
        )
        self.signal = stopped.signal


def _kind(recipe: Recipe) -> tuple[Any, ...]:
    """What two models must share for the weights of one to mean the same in the other."""
    section = recipe.diffusion
    return recipe.net, section.schedule, section.timesteps, section.parametrization


def _teacher(recipe: Recipe, spec: weights.ImageSpec) -> NetworkDenoiser | None:
    """The model that a recipe distills, if it does."""
    told = recipe.distillation
    if told.teacher is None:
        return None
    path = find_weights(told.teacher)
    if told.sha256 is not None and sha256(path) != told.sha256:
        raise RecipeError(
            f"distillation.teacher = {told.teacher!r} is not the model this recipe was made for:"
            f" the SHA-256 of {path} is another than distillation.sha256"
        )
    teacher = load(path, "cpu")
    if _kind(recipe) != _kind(teacher.recipe):
        raise RecipeError(
            f"the recipe's net or diffusion is not that of its teacher {told.teacher}: a student"
            " begins from its teacher's weights; `mezzotint distill` takes both from the teacher"
        )
    if teacher.spec != spec:
        raise RecipeError(f"the teacher {told.teacher} was trained on other images: {teacher.spec}")
    return teacher.denoiser


def _continue(trainer: Trainer, folder: Path, say: Callable[[str], None]) -> None:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise RecipeError(f"{folder} holds no whole checkpoint to resume from")
    load_checkpoint(checkpoint, trainer.state)
    say(f"resuming from {checkpoint}")


def _prepare_folder(folder: Path, recipe: Recipe) -> None:
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "recipe.toml") as temporary:
        temporary.write_text(options.to_toml(recipe))


def _logger(folder: Path, recipe: Recipe, step: int) -> Callable[[dict[str, Any]], None]:
    """Where metrics go: metrics.jsonl, and a tracker if one is asked for."""
    log = MetricsLog(folder / "metrics.jsonl", step)
    if recipe.training.tracker == "none":
        return log.write
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind: Any = LOGGER_TYPE_TO_CLASS[recipe.training.tracker]
    try:
        place = (folder,) if kind.requires_logging_directory else ()
        tracker = kind(recipe.training.tracker, *place)
        tracker.start()
    except ImportError as error:
        name = recipe.training.tracker
        raise RecipeError(f"training.tracker = {name!r} needs it: pip install {name}") from error

    def write(entry: dict[str, Any]) -> None:
        log.write(entry)
        tracker.log({k: v for k, v in entry.items() if k != "step"}, step=entry["step"])

    return write


def _hooks(folder: Path, recipe: Recipe, trainer: Trainer) -> list[Hook]:
    training = recipe.training

    def save(state: TrainingState) -> None:
        save_checkpoint(folder / "checkpoints", state, recipe, trainer.spec, training.keep)

    def picture(state: TrainingState) -> None:
        _save_samples(folder, recipe, trainer)
        _save_loss(folder, recipe)

    return [Hook(training.save_every, save), Hook(training.sample_every, picture)]


def _save_samples(folder: Path, recipe: Recipe, trainer: Trainer) -> None:
    """A grid: one column per class, the same noise each time, so that progress can be seen."""
    network = trainer.state.released
    training, classes = network.training, len(trainer.spec.classes)
    model = Model(recipe, trainer.spec, build.make_denoiser(recipe, network.eval()), trainer.device)
    columns = classes or 8
    rows = 4 if recipe.sampling.steps <= 50 else 1
    labels = list(range(classes)) * rows if classes else None
    moments = model.moments(labels, count=None if classes else columns * rows)
    shown = progress(moments, recipe.sampling.steps + 1, "samples")
    images = torch.cat([pixels.to_uint8(step.x.cpu()) for step in shown if step.t == 0])
    network.train(training)
    with whole_file(folder / "samples" / f"step-{trainer.state.step:08d}.png") as temporary:
        to_pillow(tile(images, columns), 2).save(temporary)


def _save_loss(folder: Path, recipe: Recipe) -> None:
    path = folder / "metrics.jsonl"
    entries = read_metrics(path) if path.exists() else []
    if not entries:
        return
    with whole_file(folder / "loss.png") as temporary:
        save_loss_curve(
            temporary, [e["step"] for e in entries], [e["loss"] for e in entries], recipe.name
        )


def _finish(folder: Path, recipe: Recipe, trainer: Trainer, stopped: Stopped) -> None:
    """The last checkpoint, and, if the run is complete, its model and its pictures."""
    state, training = trainer.state, recipe.training
    newest = latest_checkpoint(folder / "checkpoints")
    if newest is None or newest.name != f"step-{state.step:08d}":
        save_checkpoint(folder / "checkpoints", state, recipe, trainer.spec, training.keep)
    if stopped.signal is None:
        weights.write(folder / MODEL, state.released.state_dict(), recipe, trainer.spec)
        if not (folder / "samples" / f"step-{state.step:08d}.png").exists():
            _save_samples(folder, recipe, trainer)
        _save_loss(folder, recipe)
