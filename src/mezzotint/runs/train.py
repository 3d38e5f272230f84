"""A training run, from a recipe to a folder (``runs/folder.py`` says what is in it)."""

import time
from collections.abc import Callable
from pathlib import Path

from .. import build
from ..data import ImageData
from ..recipe.fields import RecipeError
from ..recipe.presets import as_recipe
from ..recipe.schema import Recipe
from ..recipe.toml import differences, from_toml
from ..samplers import make_grid, make_sampler
from ..training.checkpoint import latest_checkpoint, load_checkpoint
from ..training.signals import Stopped
from ..training.trainer import Trainer
from ..utils.console import warn
from ..utils.device import prepare
from ..utils.processes import processes
from .folder import RunFolder, check_tracker
from .initial import InitialModel, find_initial


def new_folder(recipe: Recipe, out: Path | None) -> Path:
    """A folder for a new run. Raises RecipeError where ``out`` exists: runs are never overwritten."""
    folder = out or Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.exists():
        raise RecipeError(
            f"{folder} exists, and a run is never overwritten:"
            f" continue it with --resume {folder}, or choose another --out"
        )
    return folder


def recipe_of_run(folder: Path) -> Recipe:
    """The recipe a run was started with. Raises RecipeError where ``folder`` is no run."""
    path = folder / "recipe.toml"
    if not path.is_file():
        raise RecipeError(f"{folder} is no run to resume: it holds no recipe.toml")
    return from_toml(path.read_text(encoding="utf-8"), str(path))


def check_resume(folder: Path, recipe: Recipe, changes: str) -> None:
    """Refuse to resume ``folder`` with another recipe than its own, unless changes are allowed; another
    optimizer or objective never is."""
    before = recipe_of_run(folder)
    if before.training.optimizer != recipe.training.optimizer:
        raise RecipeError(
            f"{folder} was trained with {before.training.optimizer!r}, whose moments say nothing to"
            f" {recipe.training.optimizer!r}: training.optimizer cannot change within a run"
        )
    if before.objective.name != recipe.objective.name:
        raise RecipeError(
            f"{folder} was trained for {before.objective.name!r}: objective.name cannot change within"
            f" a run, to {recipe.objective.name!r}"
        )
    for key in ("teacher", "reference", "sha256", "images"):
        old, new = (getattr(r.objective, key, None) for r in (before, recipe))
        if old != new:
            raise RecipeError(
                f"objective.{key} cannot change within a run, from {old!r} to {new!r}: what training began"
                " from is kept in its folder"
            )
    changed = differences(before, recipe)
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
    log: Callable[[str], None] = warn,
) -> Path:
    """Train a recipe.

    Args:
        recipe: a recipe, or the name of one or of its TOML file; digits if not given, or that of the run to
            resume.
        out: folder of the run; a new one under runs/ if not given.
        resume: folder of an earlier run to go on with instead.
        changes: "allow", where a resumed run may differ from its recipe.
        log: takes what there is to say, a line at a time.

    Returns:
        The run's folder.

    Raises:
        RecipeError: where recipe, folder or data do not fit, before anything is computed.
        StoppedBySignal: after SIGINT or SIGTERM, when all has been saved.
    """
    prepare()
    if recipe is None:
        recipe = "digits" if resume is None else recipe_of_run(Path(resume))
    recipe = as_recipe(recipe)
    check_tracker(recipe.training.tracker)
    if resume is not None:
        if out is not None:
            raise RecipeError("a resumed run goes on in its own folder: leave out --out")
        check_resume(Path(resume), recipe, changes)
    folder = Path(resume) if resume is not None else new_folder(recipe, Path(out) if out else None)
    group = processes()
    folder = group.from_main(folder)  # the first process's clock names it
    if not group.is_main:
        log = _silent
    with group.main_first():  # which decodes pictures into the cache, if there are any
        data = build.load_data(recipe.data)
    counts = ", ".join(f"{name} {count:,}" for name, count in data.counts().items())
    log(f"{len(data):,} images of {data.size[0]}x{data.size[1]}x{data.channels}; {counts}")
    for warning in data.warnings():
        log(f"warning: {warning}")
    initial = find_initial(recipe, data.spec, folder)
    trainer = make_trainer(recipe, data, initial)
    if resume is not None:
        _continue(trainer, folder, log)
    with RunFolder(folder, recipe, trainer) as run:
        if group.is_main and initial is not None:
            initial.save(folder)
        parameters = sum(p.numel() for p in trainer.state.network.parameters())
        log(f"{recipe.name}: {parameters:,} parameters on {trainer.device}; writing to {folder}")
        stopped = trainer.run(run.hooks(), run.log)
        if trainer.runs_hooks:
            run.finish(stopped)
        group.wait()
    if stopped.signal is not None:
        raise StoppedBySignal(folder, stopped)
    return folder


def make_trainer(recipe: Recipe, data: ImageData, initial: InitialModel | None = None) -> Trainer:
    """The trainer of a recipe.

    Args:
        recipe: everything that decides the run.
        data: the images of its ``[data]``.
        initial: the model that its ``[objective]`` begins from, if it names one.

    Raises:
        ValueError: where recipe, images and machine do not fit.
    """
    denoiser = build.new_denoiser(recipe, data.spec)
    # Images are sampled late in a run: what could not be is refused now.
    make_sampler(recipe.sampling.sampler)
    make_grid(recipe.sampling.grid, denoiser.schedule, recipe.sampling.steps)
    model = samples = None
    if initial is not None:
        model, samples = initial.denoiser, initial.samples
        denoiser.network.load_state_dict(model.network.state_dict())
    objective = build.make_objective(
        recipe.objective, data.spec, seed=recipe.seed, initial=model, samples=samples
    )
    return Trainer(denoiser, objective, data, recipe.training, seed=recipe.seed, title=recipe.name)


def _silent(text: str) -> None:
    """What processes other than the first have to say."""


class StoppedBySignal(Exception):
    """Training was asked to stop, and saved. ``signal`` is the number of the signal."""

    def __init__(self, folder: Path, stopped: Stopped) -> None:
        super().__init__(
            f"stopped at step {stopped.step:,}, saved; go on with: mezzotint train --resume {folder}"
        )
        self.signal = stopped.signal


def _continue(trainer: Trainer, folder: Path, log: Callable[[str], None]) -> None:
    group = trainer.processes
    newest = latest_checkpoint(folder / "checkpoints") if group.is_main else None
    checkpoint = group.from_main(newest)  # all go on from the one that the first chooses
    if checkpoint is None:
        raise RecipeError(f"{folder} holds no whole checkpoint to resume from")
    load_checkpoint(checkpoint, trainer.state)
    log(f"resuming from {checkpoint}")
