"""The files of a training run.

runs/digits-20260102-030405/
  recipe.toml          all settings of the run
  data.json            number and fingerprint of the images, to compare on a resume
  metrics.jsonl        step, loss, learning rate, gradient norm, images per second
  loss.png             the loss curve
  samples/             grids of all classes, at intervals
  checkpoints/         the newest few; a run can be resumed from each
  initial.safetensors  the model that training began from, if any
  model.safetensors    the result: weights to sample from, recipe in the header
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from .. import build, weights
from ..loading import from_parts
from ..model import Model
from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..recipe.toml import override, to_toml
from ..sampling import sample_grid
from ..training.checkpoint import checkpoint_name, prune, save_checkpoint
from ..training.log import MetricsLog
from ..training.sharding import all_whole
from ..training.state import Hook, TrainingState
from ..training.trainer import Trainer
from ..utils.console import warn
from ..utils.files import remove_leftovers, whole_file
from ..utils.precision import name_of
from ..utils.processes import without_variables
from ..utils.signals import Stopped
from ..viz.curves import save_loss_curve
from ..viz.grids import save_picture, tile, to_pillow


class RunFolder:
    """Writes a run to its folder, within a ``with`` block.

    Args:
        folder: of the run; it exists if the run is resumed.
        recipe: of the run.
        trainer: its state is written. Every process must make a RunFolder, since they agree on the steps of
            the newest files. Only the first process writes. If weights are sharded, all must save and draw
            together.
    """

    def __init__(self, folder: Path, recipe: Recipe, trainer: Trainer) -> None:
        self.folder = folder
        # "auto" is decided: the number type is the run's from now on, wherever it is resumed.
        precision = {"training": {"precision": name_of(trainer.precision)}}
        self.recipe = override(recipe, precision)
        self.trainer = trainer
        self.writes: bool = trainer.processes.is_main
        # The steps of the newest checkpoint and the newest grid of samples; for a resumed run, those that the
        # first process reads.
        self.saved_step: int | None = trainer.state.step or None
        has_grid = self.saved_step is not None and self._grid_path(self.saved_step).exists()
        self.drawn_step: int | None = trainer.processes.from_main(
            self.saved_step if has_grid else None
        )
        self._metrics: MetricsLog | None = None
        self._tracker: Any = None

    def __enter__(self) -> Self:
        if self.writes:
            for place in (self.folder, self.folder / "samples", self.folder / "checkpoints"):
                remove_leftovers(place, claimed=True)
            if self.saved_step is not None:
                newest = self.folder / "checkpoints" / checkpoint_name(self.saved_step)
                prune(newest, self.recipe.training.keep)
            with whole_file(self.folder / "recipe.toml") as temporary:
                temporary.write_text(to_toml(self.recipe), encoding="utf-8")
            (self.folder / "samples").mkdir(exist_ok=True)
            self._metrics = MetricsLog(self.folder / "metrics.jsonl", self.trainer.state.step)
            self._tracker = _start_tracker(self.recipe.training.tracker, self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close_tracker()

    def log(self, entry: dict[str, Any]) -> None:
        """Write an entry of metrics, on the first process."""
        if self._metrics is not None:
            self._metrics.write(entry)
        if self._tracker is not None:
            values = {k: v for k, v in entry.items() if k != "step" and v is not None}
            try:
                self._tracker.log(values, step=entry["step"])
            except Exception as error:  # whatever a service raises: metrics.jsonl has them
                warn(f"the tracker failed and is closed: {type(error).__name__}: {error}")
                self._close_tracker()

    def _close_tracker(self) -> None:
        tracker = self._tracker
        self._tracker = None
        if tracker is not None:
            try:
                tracker.finish()
            except Exception as error:
                warn(f"the tracker could not be closed: {type(error).__name__}: {error}")

    def hooks(self) -> list[Hook]:
        """The hooks that save and draw, at the intervals of the recipe."""
        training = self.recipe.training
        return [Hook(training.save_every, self.save), Hook(training.sample_every, self.draw)]

    def finish(self, stopped: Stopped) -> None:
        """Write the last checkpoint, and, if the run is complete, the model and the pictures."""
        state = self.trainer.state
        if self.saved_step != state.step:
            self.save(state)
        if stopped.signal is not None:
            return
        tensors = all_whole(state.sampling_network.state_dict(), self.writes)
        if self.writes:
            weights.write(self.folder / weights.MODEL, tensors, self.recipe, self.trainer.spec)
        if self.drawn_step != state.step:
            self.draw(state)
        elif self.writes:
            self._save_loss_curve()

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint of ``state``; if weights are sharded, all processes must call it."""
        header = weights.header(self.recipe, self.trainer.spec)
        keep = self.recipe.training.keep
        save_checkpoint(self.folder / "checkpoints", state, header, keep=keep, write=self.writes)
        self.saved_step = state.step

    def way_back(self) -> str:
        """What is left of a run that has diverged, and how to go on."""
        look = "look for broken images"
        if self.saved_step is None:
            return f"There is no checkpoint yet: begin again with a lower learning rate, and {look}"
        lower = self.recipe.training.learning_rate / 2
        return (
            f"The last good checkpoint is that of step {self.saved_step}; go on from it with a lower learning"
            f" rate, or with --clip-gradient, and {look}: mezzotint train --resume {self.folder}"
            f" --learning-rate {lower:g} --changes allow"
        )

    def draw(self, state: TrainingState) -> None:
        """Write a grid of samples and the loss curve. An error here does not end a run."""
        if self.trainer.sharded:  # all processes sample together, so one must not stop
            self._draw(state)
            return
        try:
            self._draw(state)
        except Exception as error:
            warn(f"step {state.step}: no samples: {type(error).__name__}: {error}")

    def _draw(self, state: TrainingState) -> None:
        """Write a grid with one column for each class, and the loss curve.

        The noise is the same each time, so that grids can be compared. If weights are sharded, all processes
        must call this.
        """
        network = state.sampling_network
        training = network.training
        images, columns = sample_grid(self._model(network), progress=self.writes)
        network.train(training)
        self.drawn_step = state.step
        if self.writes:
            path = self._grid_path(state.step)
            self._picture(
                path, lambda file: save_picture(to_pillow(tile(images, columns), 2), file)
            )
            self._save_loss_curve()

    def _picture(self, path: Path, save: Callable[[Path], None]) -> None:
        """Write a picture. No error here ends a run."""
        try:
            with whole_file(path) as temporary:
                save(temporary)
        except Exception as error:
            warn(f"{path} was not written: {type(error).__name__}: {error}")

    def _model(self, network: nn.Module) -> Model:
        """A model with the weights of ``network``; sharded weights are not copied."""
        trainer = self.trainer
        if not trainer.sharded:
            return from_parts(self.recipe, trainer.spec, network.state_dict(), trainer.device)
        denoiser = build.make_denoiser(self.recipe.diffusion, network.eval())
        return Model(self.recipe, trainer.spec, denoiser, trainer.device)

    def _grid_path(self, step: int) -> Path:
        return self.folder / "samples" / f"step-{step:08d}.png"

    def _save_loss_curve(self) -> None:
        if self._metrics is None or not self._metrics.losses:
            return
        steps, losses = zip(*self._metrics.losses, strict=True)
        name = self.recipe.name
        self._picture(
            self.folder / "loss.png", lambda file: save_loss_curve(file, steps, losses, name)
        )


def check_tracker(name: str) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        RecipeError: if it is not installed.
    """
    if name == "none":
        return
    packages = ["tensorboard", "tensorboardX"] if name == "tensorboard" else [name]
    if not any(map(find_spec, packages)) or not find_spec("accelerate"):
        raise RecipeError(
            f"training.tracker = {name!r} needs the package {name}, and accelerate, which writes to it:"
            f" pip install accelerate {name}"
        )


def _start_tracker(name: str, folder: Path) -> Any:
    """Start the tracker that a recipe names, or none."""
    if name == "none":
        return None
    from accelerate.state import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    if not PartialState._shared_state:  # its loggers want one; this process writes alone
        with without_variables("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            PartialState(cpu=not torch.cuda.is_available())
    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    tracker = kind(name, *((folder,) if kind.requires_logging_directory else ()))
    tracker.main_process_only = False  # or it would ask accelerate which process this is
    tracker.start()
    return tracker
