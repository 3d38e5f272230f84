"""Checkpoints: a folder ``step-00001000`` of model.safetensors (the released weights, ready to
sample), state.safetensors (all else) and manifest.json (step, sizes and SHA-256 of both), which
exists whole or not at all."""

import hashlib
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file

from .. import weights
from ..config import Recipe
from ..files import whole_folder
from .sharding import all_whole
from .state import TrainingState

MODEL, STATE, MANIFEST = "model.safetensors", "state.safetensors", "manifest.json"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(
    folder: Path, state: TrainingState, recipe: Recipe, spec: weights.ImageSpec, keep: int,
    write: bool = True,
) -> Path:  # fmt: skip
    """Write the state under ``folder``, then delete all but the ``keep`` newest checkpoints.

    Where weights are sharded, all processes have to call this, and one to ``write``.
    """
    path = folder / f"step-{state.step:08d}"
    released, tensors = all_whole(state.released.state_dict(), write), state.tensors(write)
    if not write:
        return path
    with whole_folder(path) as temporary:
        weights.save(temporary / MODEL, released, weights.header(recipe, spec))
        weights.save(temporary / STATE, tensors, {})
        files = {name: sha256(temporary / name) for name in (MODEL, STATE)}
        manifest = json.dumps({"step": state.step, "sha256": files}, indent=1)
        (temporary / MANIFEST).write_text(manifest)
    older = [old for old in _checkpoints(folder) if old != path]
    for old in older[keep - 1 :]:
        shutil.rmtree(old)
    for litter in folder.glob(".tmp-*"):  # of a process that was killed while it wrote
        shutil.rmtree(litter, ignore_errors=True)
    return path


def _checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, newest first."""
    return sorted(folder.glob("step-[0-9]*"), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose files are what its manifest says; None if there is none."""
    for path in _checkpoints(folder):
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            files = {name: sha256(path / name) for name in (MODEL, STATE)}
            if manifest == {"step": _step(path), "sha256": files}:
                return path
        except (OSError, ValueError):
            pass
        print(f"skipping {path}: it is damaged")
    return None


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Bring ``state`` to where the checkpoint was written.

    Raises ValueError where the checkpoint belongs to another network.
    """
    released, _, _ = weights.read(path / MODEL)
    step = json.loads((path / MANIFEST).read_text())["step"]
    try:
        state.load(released, load_file(path / STATE), step)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit this recipe's network: {error}") from error
