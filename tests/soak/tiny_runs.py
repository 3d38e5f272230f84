"""Trainings of a fraction of a second, of every kind, and what they leave."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common import few_step_recipe, tiny_data, tiny_recipe
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import to_toml
from models import random_model_file

MODEL = "model.safetensors"
STEPS = 6

_ADAM = {"optimizer": "adam", "learning_rate": 1e-3}

HALF = {"denoising, fp16": torch.float16, "denoising, bf16": torch.bfloat16}
"""Kinds in a precision that a CPU is refused, because it is slow there."""

KINDS: dict[str, dict[str, Any]] = {
    "denoising, muon": {"training": {"sample_every": 3}},
    "denoising, adamw": {"training": {"optimizer": "adamw", "learning_rate": 1e-3}},
    "denoising, adam, no average": {"training": {**_ADAM, "ema": 0.0}},
    "denoising, accumulated": {"training": {"accumulate": 2, "clip_gradient": 1.0}},
    "denoising, curriculum": {"objective": {"curriculum_start": 0.2, "curriculum_until": 0.8}},
    "denoising, balanced classes": {"training": {"balance": "classes", "keep": 1}},
    "denoising, fp16": {"training": _ADAM},
    "denoising, bf16": {},
    "distillation": {"objective": {"name": "distillation", "stages": 2}},
    "refinement": {"objective": {"name": "refinement", "images": 20}, "training": _ADAM},
    "adversarial": {
        "objective": {"name": "adversarial", "critic": 8, "head_start": 0.3},
        "training": _ADAM,
    },
}
"""Changes to the tiny recipe, by the words for them."""


def recipe_of(kind: str, folder: Path) -> Recipe:
    """A recipe of a kind, whose data, and the model it begins from, are written to ``folder``."""
    data = tiny_data(60)
    np.savez(folder / "data.npz", images=data.images.numpy(), labels=data.labels.numpy())
    changes = {**KINDS[kind]}
    objective = dict(changes.get("objective", {}))
    base: dict[str, Any] = {
        "data": {"name": f"npz:{folder / 'data.npz'}"},
        "sampling": {"steps": 2, "guidance": 1.0},
    }
    name = objective.get("name", "denoising")
    if name != "denoising":
        begins = few_step_recipe(**base) if name == "adversarial" else tiny_recipe(**base)
        model = random_model_file(folder / "first.safetensors", begins)
        objective["teacher" if name == "distillation" else "reference"] = str(model)
    if name in ("distillation", "adversarial"):
        base["sampling"] = {**base["sampling"], "sampler": "consistency"}
    schedule = {"steps": STEPS, "save_every": 2, "sample_every": 0, "keep": 2}
    training = {**schedule, **changes.get("training", {})}
    return tiny_recipe(**base, training=training, **({"objective": objective} if objective else {}))


def write_recipe(kind: str, folder: Path) -> Path:
    """The recipe of :func:`recipe_of` as a file."""
    path = folder / "tiny.toml"
    path.write_text(to_toml(recipe_of(kind, folder)), encoding="utf-8")
    return path


def result(run: Path) -> dict[str, str]:
    """What a finished run left: the SHA-256 of each file by its name.

    Weights, moving average, moments, scaler and critic are in the checkpoints. Of the metrics, all but the
    images per second count; pictures of them, which hold that, count by their presence.
    """
    files = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_dir():
            files[name] = "folder"
        elif path.name == "metrics.jsonl":
            lines = map(_without_speed, path.read_text().splitlines())
            files[name] = _digest("\n".join(lines).encode())
        else:
            files[name] = _digest(path.read_bytes())
    return files


def differences(run: Path, unbroken: dict[str, str]) -> list[str]:
    """The names of files that are missing, different or too many, compared with an unbroken run."""
    found = result(run)
    return sorted(
        name for name in found.keys() | unbroken.keys() if found.get(name) != unbroken.get(name)
    )


def _without_speed(line: str) -> str:
    """An entry of the metrics without what differs each time; half an entry as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    del entry["images_per_second"]
    return json.dumps(entry)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
