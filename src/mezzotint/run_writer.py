"""What a training run leaves behind:

runs/digits-20260102-030405/
  recipe.toml       everything that decides the run
  metrics.jsonl     step, loss, learning rate, gradient norm, images per second
  loss.png          the loss curve
  samples/          a grid of all classes, on a cadence
  checkpoints/      the newest few, each enough to resume
  model.safetensors the result: weights to sample from, recipe in the header
"""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils.operations import broadcast_object_list

from . import build, options, pixels, weights
from .config import Recipe, RecipeError
from .files import whole_file
from .model import Model
from .progress import progress
from .training.checkpoint import MODEL, save_checkpoint
from .training.log import MetricsLog, read_metrics
from .training.sharding import all_whole
from .training.signals import Stopped
from .training.state import TrainingState
from .training.trainer import Hook, Trainer
from .viz.curves import save_loss_curve
from .viz.grids import tile, to_pillow


class RunWriter:
    """Writes the run of ``trainer`` to ``folder``.

    Where weights are sharded every process goes through the same motions, since no one has them
    whole; files are the first one's alone.
    """

    def __init__(self, folder: Path, recipe: Recipe, trainer: Trainer) -> None:
        self.folder, self.recipe, self.trainer = folder, recipe, trainer
        self.writes: bool = trainer.accelerator.is_main_process
        # The step of the newest checkpoint, and of the newest grid of samples; of a run that goes on, as the
        # first process finds them.
        self.saved: int | None = trainer.state.step or None
        drawn = self.saved is not None and self._grid(self.saved).exists()
        self.pictured: int | None = broadcast_object_list([self.saved if drawn else None])[0]

    def begin(self) -> None:
        """The folder, its recipe, and the beginning or going on of its metrics."""
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / "recipe.toml") as temporary:
            temporary.write_text(options.to_toml(self.recipe))
        self._log = MetricsLog(self.folder / "metrics.jsonl", self.trainer.state.step)
        self._tracker = _tracker(self.recipe.training.tracker, self.folder)
        self.trainer.log = self._write_metrics

    def _write_metrics(self, entry: dict[str, Any]) -> None:
        self._log.write(entry)
        if self._tracker is not None:
            values = {k: v for k, v in entry.items() if k != "step"}
            self._tracker.log(values, step=entry["step"])

    def hooks(self) -> list[Hook]:
        """What is done on the recipe's cadence."""
        training = self.recipe.training
        return [Hook(training.save_every, self.save), Hook(training.sample_every, self.picture)]

    def finish(self, stopped: Stopped) -> None:
        """The last checkpoint, and, if the run is complete, its model and its pictures."""
        state = self.trainer.state
        if self.saved != state.step:
            self.save(state)
        if stopped.signal is not None:
            return
        released = all_whole(state.released.state_dict(), self.writes)
        if self.writes:
            weights.write(self.folder / MODEL, released, self.recipe, self.trainer.spec)
        if self.pictured != state.step:
            self.picture(state)
        elif self.writes:
            self._save_loss()

    def save(self, state: TrainingState) -> None:
        """A checkpoint."""
        folder, keep = self.folder / "checkpoints", self.recipe.training.keep
        save_checkpoint(folder, state, self.recipe, self.trainer.spec, keep, self.writes)
        self.saved = state.step

    def picture(self, state: TrainingState) -> None:
        """A grid, one column per class, the same noise each time, so that progress can be seen; and the
        loss curve up to now."""
        network, recipe, spec = state.released, self.recipe, self.trainer.spec
        training, classes = network.training, len(spec.classes)
        denoiser = build.make_denoiser(recipe, network.eval())
        model = Model(recipe, spec, denoiser, self.trainer.device)
        columns = classes or 8
        rows = 4 if recipe.sampling.steps <= 50 else 1
        labels = list(range(classes)) * rows if classes else None
        moments = model.moments(labels, count=None if classes else columns * rows)
        shown = progress(moments, recipe.sampling.steps + 1, "samples") if self.writes else moments
        images = torch.cat([pixels.to_uint8(step.x.cpu()) for step in shown if step.t == 0])
        network.train(training)
        self.pictured = state.step
        if self.writes:
            with whole_file(self._grid(state.step)) as temporary:
                to_pillow(tile(images, columns), 2).save(temporary)
            self._save_loss()

    def _grid(self, step: int) -> Path:
        return self.folder / "samples" / f"step-{step:08d}.png"

    def _save_loss(self) -> None:
        path = self.folder / "metrics.jsonl"
        entries = read_metrics(path) if path.exists() else []
        if not entries:
            return
        steps, losses = [e["step"] for e in entries], [e["loss"] for e in entries]
        with whole_file(self.folder / "loss.png") as temporary:
            save_loss_curve(temporary, steps, losses, self.recipe.name)


def _tracker(name: str, folder: Path) -> Any:
    """The tracker that a recipe asks for besides metrics.jsonl, if it does."""
    if name == "none":
        return None
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    try:
        tracker = kind(name, *((folder,) if kind.requires_logging_directory else ()))
        tracker.start()
    except ImportError as error:
        raise RecipeError(f"training.tracker = {name!r} needs it: pip install {name}") from error
    return tracker
