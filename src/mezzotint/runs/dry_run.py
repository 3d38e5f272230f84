"""What a training would take, without a folder, a checkpoint or any other file of it."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import weights
from ..data import ImageData
from ..loading import load
from ..recipe.presets import as_recipe
from ..recipe.schema import Recipe
from ..sampling import sample_distributed
from ..training.calibration import Cost, calibrate
from ..training.checkpoint import checkpoint_size
from ..training.trainer import Trainer
from ..utils.console import warn
from ..utils.device import prepare
from ..utils.files import sizes
from ..utils.output import free_space
from .claim import RUNS
from .initial import InitialModel, find_initial
from .resume import DATA, load_newest, record_data
from .train import check_request, claim_folder, make_trainer, open_images, silent

FEW = 64
"""Images that are sampled of a model to refine, or one of each class; a training samples thousands."""


@dataclass(frozen=True)
class Disk:
    """What a run takes on the disk, in bytes.

    Args:
        checkpoint: of one checkpoint.
        checkpoint_count: how many checkpoints are kept.
        most: of everything together, while a checkpoint more is written; without pictures.
        place: the folder, or the nearest one above it that is there.
        free: room there.
        used: bytes that a resumed run takes already.
    """

    checkpoint: int
    checkpoint_count: int
    most: int
    place: Path
    free: int
    used: int

    @property
    def has_room(self) -> bool:
        """Whether it fits."""
        return self.most - self.used <= self.free


@dataclass(frozen=True)
class Forecast:
    """What a training would take.

    Args:
        recipe: of the training.
        data: its images.
        done: steps that a resumed run has behind it; 0 for a new one.
        device: where it is computed.
        processes: how many compute.
        cost: of the steps that are left; None if none is.
        disk: of the run; None if no step is left.
        sampling: seconds before the first step, to sample the model that is refined.
    """

    recipe: Recipe
    data: ImageData
    done: int
    device: torch.device
    processes: int
    cost: Cost | None = None
    disk: Disk | None = None
    sampling: float = 0.0


def dry_run(
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    resume: str | Path | None = None,
    changes: str = "refuse",
    log: Callable[[str], None] = warn,
) -> Forecast:
    """Begin a training as :func:`mezzotint.train` does, take a few steps, and forget them.

    No file is written but what opening the data needs: downloads, and the cache of decoded pictures. The
    network is not compiled, because that would write a cache.

    Args:
        recipe: see :func:`mezzotint.train`.
        out: see :func:`mezzotint.train`.
        resume: see :func:`mezzotint.train`.
        changes: see :func:`mezzotint.train`.
        log: called with warnings, a line at a time.

    Returns:
        What the training would take; of a run to resume, what is left.

    Raises:
        RecipeError: with the words of :func:`mezzotint.train`, if that would refuse to begin.
    """
    prepare()
    recipe, out, resume = check_request(recipe, out, resume, changes)
    data = open_images(recipe)
    initial = find_initial(recipe, data.spec, resume, most=FEW)
    uncompiled = as_recipe(recipe, {"training": {"compile": False}})
    trainer = make_trainer(uncompiled, data, initial)
    if not trainer.processes.is_main:
        log = silent
    for warning in data.warnings():
        log(f"warning: {warning}")
    if resume is not None:
        _resume(trainer, recipe, data, resume, changes, log)
    done = trainer.state.step
    device = trainer.device
    count = trainer.processes.count
    if done >= recipe.training.steps:
        return Forecast(recipe, data, done, device, count)
    cost = calibrate(trainer)
    sampling = 0.0
    if initial is not None:
        weights_size = sum(
            p.numel() * p.element_size() for p in initial.denoiser.network.parameters()
        )
        memory = {**cost.memory, "the model it begins from": weights_size}
        cost = replace(cost, memory=memory)
        sampling = _sampling_time(recipe, initial, trainer)
    disk = _disk(trainer, recipe, initial, resume or out or RUNS, resume is not None)
    return Forecast(recipe, data, done, device, count, cost, disk, sampling)


def _resume(
    trainer: Trainer,
    recipe: Recipe,
    data: ImageData,
    folder: Path,
    changes: str,
    log: Callable[[str], None],
) -> None:
    """Set a trainer to the newest checkpoint of a run that nobody trains now."""
    group = trainer.processes
    with ExitStack() as stack:
        claim_folder(stack, group, recipe, None, folder)
        load_newest(trainer, folder, changes, log, restore=False)
        described = group.is_main and (folder / DATA).is_file()
        if described and (difference := record_data(data, folder)):
            log(f"warning: {difference}")


def _sampling_time(recipe: Recipe, initial: InitialModel, trainer: Trainer) -> float:
    """Seconds to sample the images of a refinement that are not there yet, from a few of them."""
    if initial.samples is None:
        return 0.0
    few = len(initial.samples)
    missing = recipe.objective.images - few
    if missing <= 0:
        return 0.0
    model = load(initial.path, str(trainer.device))
    start = time.perf_counter()
    sample_distributed(model, few, recipe.seed, guidance=1.0)
    return (time.perf_counter() - start) / few * recipe.objective.images


def _disk(
    trainer: Trainer, recipe: Recipe, initial: InitialModel | None, folder: Path, resumed: bool
) -> Disk:
    """What a run in ``folder`` takes there."""
    training = recipe.training
    header = weights.header(recipe, trainer.spec)
    model, rest = checkpoint_size(trainer.state, header)
    saved = -(-training.steps // training.save_every) if training.save_every else 1
    checkpoint_count = min(training.keep, saved)
    most = min(training.keep + 1, saved) * (model + rest) + model
    if initial is not None:
        most += initial.path.stat().st_size
        if initial.samples is not None:
            most += recipe.objective.images * math.prod(trainer.spec.shape)
    used = sum(sizes(folder).values()) if resumed else 0
    place, free = free_space(folder)
    return Disk(model + rest, checkpoint_count, most, place, free, used)
