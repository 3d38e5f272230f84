"""Resuming a run, with its recipe and classes, from its newest valid checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data import ImageData
from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..recipe.toml import differences, from_toml, override
from ..training.checkpoint import all_checkpoints, latest_checkpoint, load_checkpoint
from ..training.trainer import Trainer
from ..utils.classes import check_same
from ..utils.files import read_bytes, read_text, whole_file
from ..utils.json_text import parse_json
from ..weights import MODEL, read_header

DATA = "data.json"
"""The file that describes the images the run began with."""


def recipe_of_run(folder: Path) -> Recipe:
    """The recipe that a run was started with.

    Raises:
        RecipeError: if ``folder`` has no valid recipe.
    """
    path = folder / "recipe.toml"
    if not path.is_file():
        raise RecipeError(f"{folder} is no run to resume: it holds no recipe.toml")
    return from_toml(read_text(path), str(path))


def with_precision_of_run(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe to resume a run with, in the number type of the run where it leaves that open.

    Args:
        recipe: to resume with.
        folder: of the run.
    """
    if recipe.training.precision != "auto":
        return recipe
    precision = recipe_of_run(folder).training.precision
    return override(recipe, {"training": {"precision": precision}})


def check_resume(folder: Path, recipe: Recipe, changes: str) -> None:
    """Refuse to resume a run with another recipe, unless changes are allowed.

    Args:
        folder: of the run.
        recipe: to resume with.
        changes: "allow" if the recipe may differ. The optimizer, the kind of objective and the model that
            training began from must be the same in any case.

    Raises:
        RecipeError: naming the difference.
    """
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


def load_newest(
    trainer: Trainer,
    folder: Path,
    changes: str,
    log: Callable[[str], None],
    *,
    restore: bool = True,
) -> None:
    """Set a trainer to the newest valid checkpoint of a run; a run without any begins at step 0.

    Args:
        trainer: of the run's recipe.
        folder: of the run.
        changes: "allow", if the classes may have other names than before.
        log: called with messages, a line at a time.
        restore: whether a checkpoint whose replacement was interrupted is restored first; if not, nothing is
            written.

    Raises:
        RecipeError: if all checkpoints are damaged, or the classes are not those of the data.
    """
    group = trainer.processes
    newest = None
    damaged = 0
    if group.is_main:
        checkpoints = folder / "checkpoints"
        newest = latest_checkpoint(checkpoints, restore=restore)
        damaged = len(all_checkpoints(checkpoints)) if newest is None else 0
    # All load the one that the first process chooses.
    checkpoint, damaged = group.from_main((newest, damaged))
    if checkpoint is None and damaged:
        raise RecipeError(
            f"{folder} holds no whole checkpoint to resume from, but {damaged} damaged: take"
            f" {folder / 'checkpoints'} away to begin at step 0"
        )
    if checkpoint is None:
        log(f"{folder} was stopped before its first checkpoint: beginning at step 0")
        return
    _, spec = read_header(checkpoint / MODEL)
    try:
        check_same(spec.classes, trainer.spec.classes, str(folder))
    except ValueError as error:
        if changes != "allow":
            raise RecipeError(
                f"{error}; give the data back their classes, or say --changes allow"
            ) from None
        log(f"warning: {error}")
    load_checkpoint(checkpoint, trainer.state)
    log(f"resuming from {checkpoint}")


def record_data(data: ImageData, folder: Path) -> str | None:
    """Describe the images of a run in its folder, or compare them with an earlier description.

    Args:
        data: the images.
        folder: of the run.

    Returns:
        A message that says how they differ from those that the run began with; None if they do not.
    """
    path = folder / DATA
    now: dict[str, Any] = {
        "images": len(data),
        "classes": data.counts(),
        "fingerprint": data.fingerprint(),
    }
    if not path.is_file():
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
        return None
    try:
        before = parse_json(read_bytes(path))
        if before["fingerprint"] == now["fingerprint"]:
            return None
        counts = {k: v for k, v in before["classes"].items() if now["classes"].get(k) != v}
        changed = ", ".join(
            f"{k} {v:,}, now {now['classes'].get(k, 0):,}" for k, v in counts.items()
        )
        return (
            f"the images are not those that the run began with: {before['images']:,} then,"
            f" {len(data):,} now{f' ({changed})' if changed else ''}; the end will differ"
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path} is damaged: whether the images are still the same is not known"
