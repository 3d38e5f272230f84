"""A training run, from a recipe to a folder (``runs/folder.py`` describes its files)."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .. import build
from ..data import ImageData
from ..recipe.fields import RecipeError
from ..recipe.presets import as_recipe
from ..recipe.schema import Recipe
from ..recipe.toml import override
from ..samplers import make_grid, make_sampler
from ..training.monitor import Diverged
from ..training.trainer import Trainer
from ..utils.console import warn
from ..utils.device import prepare
from ..utils.precision import is_emulated, name_of
from ..utils.processes import Processes, processes
from ..utils.signals import Stopped
from .claim import check_new, new_run, resumed_run
from .folder import RunFolder, check_tracker
from .initial import InitialModel, find_initial
from .resume import (
    check_resume,
    load_newest,
    recipe_of_run,
    record_data,
    with_precision_of_run,
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
        recipe: a recipe, or the name of one or of its TOML file; if not given, that of the run to resume, or
            else "digits".
        out: folder of the run; a new one under runs/ if not given.
        resume: folder of an earlier run to resume instead.
        changes: "allow" if a resumed run may differ from its recipe.
        log: called with messages, a line at a time.

    Returns:
        The run's folder.

    Raises:
        RecipeError: if recipe, folder and data do not match, before any computation.
        StoppedBySignal: after SIGINT, SIGTERM or SIGHUP, when the state is saved.
        Diverged: if the loss, the gradient or the weights are not finite; earlier checkpoints are kept.
    """
    prepare()
    recipe, out, resume = check_request(recipe, out, resume, changes)
    group = processes()
    if not group.is_main:
        log = silent
    data = open_images(recipe)
    log(in_words(data))
    for warning in data.warnings():
        log(f"warning: {warning}")
    initial = find_initial(recipe, data.spec, resume)
    trainer = make_trainer(recipe, data, initial)
    with ExitStack() as stack:
        folder = claim_folder(stack, group, recipe, out, resume)
        if resume is not None:
            load_newest(trainer, folder, changes, log)
        run = stack.enter_context(RunFolder(folder, recipe, trainer))
        if group.is_main and (difference := record_data(data, folder)):
            log(f"warning: {difference}")
        if group.is_main and initial is not None:
            initial.save(folder)
        parameters = sum(p.numel() for p in trainer.state.network.parameters())
        where = f"on {trainer.device}, in {name_of(trainer.precision)}"
        log(f"{recipe.name}: {parameters:,} parameters {where}; writing to {folder}")
        if is_emulated(trainer.precision, trainer.device):
            changes = " --changes allow" if resume else ""
            log(
                f"warning: bf16 is emulated here, which is slow; --precision fp32{changes} avoids it"
            )
        try:
            stopped = trainer.run(run.hooks(), run.log)
            if trainer.runs_hooks:
                run.finish(stopped)
        except Diverged as error:
            raise Diverged(f"{error}. {run.way_back()}") from error
        group.wait()
    if stopped.signal is not None:
        raise StoppedBySignal(folder, stopped)
    return folder


def check_request(
    recipe: str | Recipe | None,
    out: str | Path | None,
    resume: str | Path | None,
    changes: str,
) -> tuple[Recipe, Path | None, Path | None]:
    """Check what is to be trained, and where, before the data are opened.

    Args:
        recipe: see :func:`train`.
        out: see :func:`train`.
        resume: see :func:`train`.
        changes: see :func:`train`.

    Returns:
        The recipe, the folder of a new run, if one was named, and the folder to resume.

    Raises:
        RecipeError: if they do not match, or the folder cannot be made.
    """
    if recipe is None:
        recipe = "digits" if resume is None else recipe_of_run(Path(resume).expanduser())
    recipe = as_recipe(recipe)
    check_tracker(recipe.training.tracker)
    out = Path(out).expanduser() if out is not None else None
    resume = Path(resume).expanduser() if resume is not None else None
    if resume is None:
        check_new(out)
        return recipe, out, None
    if out is not None:
        raise RecipeError("a resumed run goes on in its own folder: leave out --out")
    recipe = with_precision_of_run(recipe, resume)
    check_resume(resume, recipe, changes)
    if recipe.training.precision == "auto" and processes().device.type == "cpu":
        # Earlier builds, which did not decide it at the beginning, computed in fp32 on CPUs.
        recipe = override(recipe, {"training": {"precision": "fp32"}})
    return recipe, None, resume


def open_images(recipe: Recipe) -> ImageData:
    """The images of a recipe; the main process decodes pictures into the cache, if necessary."""
    with processes().main_first():
        return build.load_data(recipe.data)


def in_words(data: ImageData) -> str:
    """How many images there are, of which size, and how many of each class."""
    counts = ", ".join(f"{name} {count:,}" for name, count in data.counts().items())
    size = f"{data.size[0]}x{data.size[1]}x{data.channels}"
    return f"{len(data):,} images of {size}; {counts or 'no classes'}"


def claim_folder(
    stack: ExitStack,
    group: Processes,
    recipe: Recipe,
    out: Path | None,
    resume: Path | None,
) -> Path:
    """The folder of the run, locked by the main process until the stack closes.

    Args:
        stack: what unlocks the folder in the end.
        group: the processes of the run, all of which must call this.
        recipe: of the run; its name is part of that of a new folder.
        out: a new folder; None for one under runs/.
        resume: folder to resume instead.

    Returns:
        The folder.

    Raises:
        RecipeError: if it cannot be made, or another run uses it.
    """
    folder: Path | None = None
    fault = ""
    if group.is_main:
        claim = resumed_run(resume) if resume else new_run(recipe, out)
        try:
            folder = stack.enter_context(claim)
        except (RecipeError, OSError) as error:
            fault = str(error)
    folder, fault = group.from_main((folder, fault))
    if folder is None:
        raise RecipeError(fault)
    return folder


def make_trainer(recipe: Recipe, data: ImageData, initial: InitialModel | None = None) -> Trainer:
    """The trainer of a recipe.

    Args:
        recipe: all settings of the run.
        data: the images of its ``[data]``.
        initial: the model that its ``[objective]`` begins from, if it names one.

    Returns:
        A trainer at step 0.

    Raises:
        ValueError: if recipe, images and machine do not match.
    """
    denoiser = build.new_denoiser(recipe, data.spec)
    # Images are sampled late in a run, so invalid settings of sampling are refused now.
    make_sampler(recipe.sampling.sampler)
    make_grid(recipe.sampling.grid, denoiser.schedule, recipe.sampling.steps)
    model = samples = None
    if initial is not None:
        model = initial.denoiser
        samples = initial.samples
        denoiser.network.load_state_dict(model.network.state_dict())
    objective = build.make_objective(
        recipe.objective, data.spec, seed=recipe.seed, initial=model, samples=samples
    )
    return Trainer(denoiser, objective, data, recipe.training, seed=recipe.seed, title=recipe.name)


def silent(text: str) -> None:
    """The log of all processes but the first."""


class StoppedBySignal(Exception):
    """Training was stopped by a signal, and the state is saved. ``signal`` is its number."""

    def __init__(self, folder: Path, stopped: Stopped) -> None:
        super().__init__(
            f"stopped at step {stopped.step:,}, saved; go on with: mezzotint train --resume {folder}"
        )
        self.signal = stopped.signal
