"""Checkpoints of a training run.

A checkpoint is a folder such as ``step-00001000`` with model.safetensors (the weights to sample from),
state.safetensors (everything else) and manifest.json (step, and SHA-256 of both files). It is written
atomically: the folder is complete or does not exist.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from .. import weights
from ..utils.console import in_a_line, warn
from ..utils.files import read_bytes, remove_folder, restore_interrupted, sha256, whole_folder
from ..utils.json_text import parse_json
from ..weights import MODEL
from .monitor import Diverged
from .sharding import all_whole
from .state import TrainingState

STATE = "state.safetensors"
MANIFEST = "manifest.json"


_STEP = re.compile(r"step-(\d+)", re.ASCII)


def save_checkpoint(
    folder: Path, state: TrainingState, header: Mapping[str, str], *, keep: int, write: bool = True
) -> Path:
    """Write a checkpoint, then delete all but the newest valid ones.

    Args:
        folder: folder of all checkpoints of the run.
        state: the state to save.
        header: header of the weights file; see :func:`weights.header`.
        keep: number of valid checkpoints to keep. Damaged ones do not count; they are deleted once there are
            that many valid ones.
        write: whether this process writes. If weights are sharded, all processes must call this function
            and one of them writes.

    Returns:
        folder of the checkpoint.

    Raises:
        Diverged: if something in the state is not finite; nothing is written then.
    """
    path = folder / checkpoint_name(state.step)
    sampling_weights = all_whole(state.sampling_network.state_dict(), write)
    tensors = state.tensors(write)
    if not write:
        return path
    for name, tensor in (sampling_weights | tensors).items():
        if not tensor.isfinite().all():
            raise Diverged(f"training has diverged: at step {state.step}, {name} is not finite")
    with whole_folder(path) as temporary:
        weights.save(temporary / MODEL, sampling_weights, dict(header))
        weights.save(temporary / STATE, tensors, {})
        hashes = {name: sha256(temporary / name) for name in (MODEL, STATE)}
        manifest = {"step": state.step, "sha256": hashes}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    prune(path, keep)
    return path


def checkpoint_size(state: TrainingState, header: Mapping[str, str]) -> tuple[int, int]:
    """The bytes that a checkpoint takes on a disk; if weights are sharded, all processes must call this.

    Args:
        state: a state after at least one step, when the optimizer has its moments.
        header: header of the weights file; see :func:`weights.header`.

    Returns:
        bytes of the weights file and of the file with everything else.
    """
    sampling_weights = all_whole(state.sampling_network.state_dict())
    model = len(weights.content_of(sampling_weights, dict(header)))
    return model, len(weights.content_of(state.tensors(), {}))


def prune(newest: Path, keep: int) -> None:
    """Delete the oldest checkpoints of a run, and damaged ones, where there are enough valid ones.

    An error here ends no training, because nothing is lost: it is a line on standard error.

    Args:
        newest: a checkpoint that is valid, which is kept.
        keep: number of valid checkpoints to keep.
    """
    folder = newest.parent
    try:
        others = [path for path in all_checkpoints(folder) if path != newest]
        whole = (path for path in others if read_manifest(path) is not None)
        valid = list(islice(whole, keep - 1))  # older ones need not be read
        if len(valid) == keep - 1:
            for path in others:
                if path not in valid:
                    remove_folder(path)
    except OSError as error:
        warn(f"old checkpoints in {folder} were not deleted: {error.strerror}")


def all_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints in a folder, damaged ones too, newest first.

    Raises:
        OSError: if the folder is there and cannot be read, which does not mean that it is empty.
    """
    try:
        entries = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = [p for p in entries if _STEP.fullmatch(p.name) and p.is_dir()]
    return sorted(paths, key=_step, reverse=True)


def checkpoint_name(step: int) -> str:
    """The name of the checkpoint of a step."""
    return f"step-{step:08d}"


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint, or None if files are missing or do not match it.

    Unknown keys, which a later version may add, are accepted.

    Raises:
        OSError: if a file cannot be read now, which says nothing of its content.
    """
    try:
        manifest: dict[str, Any] = parse_json(read_bytes(path / MANIFEST))
        hashes = {name: sha256(path / name) for name in (MODEL, STATE)}
        manifest_hashes = {name: manifest["sha256"][name] for name in hashes}
        return manifest if manifest_hashes == hashes and manifest["step"] == _step(path) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return None


def whole_checkpoints(folder: Path, *, restore: bool = True) -> Iterator[Path]:
    """The checkpoints whose files match their manifests, newest first.

    Others are skipped, with a message on standard error.

    Args:
        folder: of all checkpoints of a run.
        restore: whether one whose replacement was interrupted is restored first; if not, nothing is written.
    """
    if restore:
        restore_interrupted(folder)
    for path in all_checkpoints(folder):
        reason = "it is damaged"
        try:
            whole = read_manifest(path) is not None
        except OSError as error:
            whole = False
            reason = error.strerror or str(error)
        if whole:
            yield path
        else:
            warn(f"skipping {path}: {reason}")


def latest_checkpoint(folder: Path, *, restore: bool = True) -> Path | None:
    """The newest valid checkpoint, or None; for ``restore`` see :func:`whole_checkpoints`."""
    return next(whole_checkpoints(folder, restore=restore), None)


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Set ``state`` to that of a checkpoint.

    Args:
        path: folder of the checkpoint.
        state: the state to change.

    Raises:
        ValueError: if the checkpoint does not fit the network.
    """
    sampling_weights, recipe, _ = weights.read(path / MODEL)
    step = parse_json(read_bytes(path / MANIFEST))["step"]
    _, tensors = weights.read_file(path / STATE)
    if "images" not in tensors:  # version 0.1 counted steps alone
        tensors["images"] = torch.tensor(step * recipe.training.batch)
    try:
        state.load(sampling_weights, tensors, step)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit this recipe's network: {in_a_line(error)}"
        ) from error
