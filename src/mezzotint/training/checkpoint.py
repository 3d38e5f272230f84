"""Checkpoints: a folder ``step-00001000`` of model.safetensors (the weights to sample from),
state.safetensors (all else) and manifest.json (step, and SHA-256 of both files), which exists whole or not at
all."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .. import weights
from ..utils.console import warn
from ..utils.files import restore_interrupted, sha256, whole_folder
from .sharding import all_whole
from .state import TrainingState

MODEL, STATE, MANIFEST = "model.safetensors", "state.safetensors", "manifest.json"


def save_checkpoint(
    folder: Path, state: TrainingState, header: Mapping[str, str], *, keep: int, write: bool = True
) -> Path:
    """Write the state under ``folder``, then delete all checkpoints but the newest whole ones.

    Args:
        folder: that of all checkpoints of a run.
        state: what to save.
        header: of the weights file; see :func:`weights.header`.
        keep: how many whole checkpoints stay. One that is damaged does not count, and goes only when so
            many whole ones are there.
        write: whether this process writes. Where weights are sharded, all have to call this, and one writes.

    Returns:
        The checkpoint's folder.
    """
    path = folder / f"step-{state.step:08d}"
    released = all_whole(state.sampling_network.state_dict(), write)
    tensors = state.tensors(write)
    if not write:
        return path
    with whole_folder(path) as temporary:
        weights.save(temporary / MODEL, released, dict(header))
        weights.save(temporary / STATE, tensors, {})
        files = {name: sha256(temporary / name) for name in (MODEL, STATE)}
        manifest = {"step": state.step, "sha256": files}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _prune(folder, path, keep)
    return path


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Delete what is older than the ``keep`` newest whole checkpoints, and what a killed process left."""
    whole = [newest]
    for path in _checkpoints(folder):
        if path != newest and len(whole) < keep and read_manifest(path) is not None:
            whole.append(path)
    if len(whole) == keep:
        for path in _checkpoints(folder):
            if path not in whole:
                shutil.rmtree(path)
    for leftover in folder.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, newest first."""
    named = (p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdecimal())
    return sorted(named, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint whose files are what it says; None where they are not. Keys that a later
    version may add are no fault."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = {name: sha256(path / name) for name in (MODEL, STATE)}
        promised = {name: manifest["sha256"][name] for name in files}
        return manifest if promised == files and manifest["step"] == _step(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def whole_checkpoints(folder: Path) -> Iterator[Path]:
    """The checkpoints whose files are what their manifests say, newest first. Damaged ones are named on
    standard error, and passed over."""
    restore_interrupted(folder)
    for path in _checkpoints(folder):
        if read_manifest(path) is not None:
            yield path
        else:
            warn(f"skipping {path}: it is damaged")


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    return next(whole_checkpoints(folder), None)


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Bring ``state`` to where the checkpoint was written.

    Raises:
        ValueError: where the checkpoint belongs to another network.
    """
    released, recipe, _ = weights.read(path / MODEL)
    step = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["step"]
    tensors = load_file(path / STATE)
    if "images" not in tensors:  # version 0.1 counted steps alone
        tensors["images"] = torch.tensor(step * recipe.training.batch)
    try:
        state.load(released, tensors, step)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit this recipe's network: {error}") from error
