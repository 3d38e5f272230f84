"""Conversion of recipes of version 0.1 to the current format."""

from collections.abc import Mapping
from typing import Any

from .fields import RecipeError

FORMAT = 2
"""The current format of recipes; files of version 0.1 have no such key."""

MOVED = {
    "data.balance": "training.balance",
    "diffusion.loss": "objective.loss",
    "diffusion.weighting": "objective.weighting",
    "diffusion.times": "objective.times",
    "diffusion.label_dropout": "objective.label_dropout",
    "diffusion.curriculum_start": "objective.curriculum_start",
    "diffusion.curriculum_until": "objective.curriculum_until",
    "training.clip": "training.clip_gradient",
    "sampling.eta": "an option of the sampler, sampling.sampler = 'ddim:eta=0.5',",
    "distillation": "objective, with name = 'distillation'",
    "refinement": "objective, with name = 'refinement' or 'adversarial'",
}
"""New places of the keys of version 0.1, for error messages."""

_SECTIONS = ("data", "diffusion", "training", "sampling", "distillation", "refinement")
_SCHEDULES = {"linear": "original-linear", "cosine": "original-cosine"}
_OBJECTIVE_KEYS = (
    "loss",
    "weighting",
    "times",
    "label_dropout",
    "curriculum_start",
    "curriculum_until",
)
_REFINEMENT_KEYS = {
    "reference": "reference",
    "sha256": "sha256",
    "images": "images",
    "beta": "beta",
    "alpha": "alpha",
    "confused": "wrong_labels",
}
_ADVERSARIAL_KEYS = {
    "reference": "reference",
    "sha256": "sha256",
    "critic": "critic",
    "critic_rate": "critic_rate",
    "noise": "instance_noise",
    "penalty": "gradient_penalty",
    "head_start": "head_start",
}


def check_format(number: Any, name: str) -> None:
    """Refuse the format of a later version.

    Args:
        number: the format.
        name: of the file, for the error.

    Raises:
        RecipeError: if this version cannot read the format.
    """
    if number not in (1, FORMAT):
        raise RecipeError(f"{name} is of format {number!r}, not {FORMAT}: update mezzotint")


def upgrade(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A whole recipe in the current format.

    Args:
        recipe: nested keys of a recipe that this package wrote, in any format.

    Returns:
        The same without the key ``format``; keys that its objective did not use are left out.
    """
    sections = {k: dict(v) if isinstance(v, Mapping) else v for k, v in recipe.items()}
    if sections.pop("format", 1) != 1:
        return sections
    if "objective" in sections:
        raise RecipeError("a recipe of version 0.1 has no section objective")
    for key in _SECTIONS:
        if not isinstance(sections.get(key, {}), dict):
            raise RecipeError(f"{key} is a section of keys, not the value {sections[key]!r}")
    diffusion = sections.setdefault("diffusion", {})
    moved = {key: diffusion.pop(key) for key in _OBJECTIVE_KEYS if key in diffusion}
    if isinstance(schedule := diffusion.get("schedule"), str):
        diffusion["schedule"] = _SCHEDULES.get(schedule, schedule)
    sampling = sections.setdefault("sampling", {})
    sampler = sampling.get("sampler")
    if "eta" in sampling:
        sampling["sampler"] = f"{sampler}:eta={sampling.pop('eta')}"
    if sampler == "ddpm-large":
        sampling["sampler"] = "ddpm:variance=large"
    sections["objective"] = _objective(
        moved,
        sections.pop("distillation", {}),
        sections.pop("refinement", {}),
        few_step=sampler == "consistency",
    )
    training = sections.setdefault("training", {})
    if "balance" in sections.get("data", {}):
        training["balance"] = sections["data"].pop("balance")
    if "clip" in training:
        training["clip_gradient"] = training.pop("clip")
    if training.get("optimizer") == "adam" or training.get("weight_decay") == 0.01:
        training.pop("weight_decay", None)  # adam ignored it; 0.01 was the default, and is
    return sections


def _objective(
    denoising: dict[str, Any],
    distillation: dict[str, Any],
    refinement: dict[str, Any],
    *,
    few_step: bool,
) -> dict[str, Any]:
    """The section ``[objective]`` for three sections of version 0.1."""
    if "teacher" in distillation:
        keys = ("teacher", "sha256", "guidance", "interval", "stages")
        section = {key: distillation[key] for key in keys if key in distillation}
        return {"name": "distillation", **section, **_only(denoising, "times")}
    if "reference" not in refinement:
        if denoising.get("curriculum_start", 1.0) == 1:
            denoising.pop("curriculum_until", None)
        return {"name": "denoising", **denoising}
    if few_step:
        return {"name": "adversarial", **_renamed(refinement, _ADVERSARIAL_KEYS)}
    denoising_keys = _only(denoising, "weighting", "times", "label_dropout")
    return {"name": "refinement", **_renamed(refinement, _REFINEMENT_KEYS), **denoising_keys}


def _only(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: section[key] for key in keys if key in section}


def _renamed(section: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {new: section[old] for old, new in names.items() if old in section}
