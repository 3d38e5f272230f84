"""The trained model that a run goes on from: one to follow (distillation), or to surpass (refinement)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils.operations import broadcast_object_list
from jaxtyping import UInt8
from torch import Tensor

from .config import Recipe, RecipeError
from .drawing import draw
from .files import whole_file
from .model import Model, find_weights, load
from .runtime import processes
from .training.checkpoint import sha256
from .weights import ImageSpec

RIVALS = "rivals.npz"


@dataclass(frozen=True)
class Earlier:
    """A ``model``, and the ``rivals`` it drew, uint8, the classes in turn, where a run is to surpass it."""

    model: Model
    rivals: UInt8[Tensor, "n channels height width"] | None = None

    def save(self, folder: Path) -> None:
        """Keep the rivals, so that a resumed run meets the same ones."""
        path = folder / RIVALS
        if self.rivals is not None and not path.exists():
            with whole_file(path) as temporary:
                np.savez_compressed(temporary, images=self.rivals.numpy())


def find_earlier(recipe: Recipe, spec: ImageSpec, folder: Path) -> Earlier | None:
    """The model that a recipe distills or refines, if it does; what it is refined against is drawn, unless
    the run's ``folder`` already holds it.

    Raises FileNotFoundError or RecipeError where there is no such model, or it does not fit.
    """
    if recipe.distillation.teacher is not None:
        told = recipe.distillation
        teacher = _fitting("distillation.teacher", told.teacher, told.sha256, recipe, spec)
        if teacher.recipe.few_step:
            raise RecipeError(
                f"the teacher {told.teacher} is a few-step model already: refine it instead"
            )
        return Earlier(teacher)
    if recipe.refinement.reference is None:
        return None
    aim = recipe.refinement
    model = _fitting("refinement.reference", aim.reference, aim.sha256, recipe, spec)
    if model.recipe.few_step != recipe.few_step:
        raise RecipeError(
            f"sampling.sampler = {recipe.sampling.sampler!r}, but {aim.reference} draws with"
            f" {model.recipe.sampling.sampler!r}: few-step models are refined in another way than others;"
            " `mezzotint refine` takes the sampler from the model"
        )
    if recipe.few_step:
        return Earlier(model)
    if aim.images < len(spec.classes):
        raise RecipeError(
            f"refinement.images = {aim.images}: at least one for each of {len(spec.classes)} classes"
        )
    return Earlier(model, _rivals(model, recipe, folder / RIVALS))


def _rivals(model: Model, recipe: Recipe, path: Path) -> Tensor:
    """What the reference draws of its own accord, without guidance; by all processes together."""
    state = processes()
    kept = None
    if state.is_main_process and path.exists():
        kept = np.load(path, allow_pickle=False)["images"]
    kept = broadcast_object_list([kept])[0]  # the first process's folder decides
    if kept is not None:
        return torch.as_tensor(kept)
    return draw(model, recipe.refinement.images, recipe.seed, {"guidance": 1.0}).images


def _kind(recipe: Recipe) -> tuple[Any, ...]:
    """What two models must share for the weights of one to mean the same in the other."""
    section = recipe.diffusion
    return recipe.net, section.schedule, section.timesteps, section.parametrization


def _fitting(
    key: str, name: str | None, digest: str | None, recipe: Recipe, spec: ImageSpec
) -> Model:
    """The model ``name``, which the recipe names as its ``key``."""
    path = find_weights(name or "")
    if digest is not None and sha256(path) != digest:
        raise RecipeError(
            f"{key} = {name!r} is not the model this recipe was made for: the SHA-256 of {path} is"
            f" another than {key.split('.')[0]}.sha256"
        )
    model = load(path)
    role = key.split(".")[1]
    if _kind(recipe) != _kind(model.recipe):
        raise RecipeError(
            f"the recipe's net or diffusion is not that of its {role} {name}: training begins from"
            " its weights; `mezzotint distill` and `mezzotint refine` take both from it"
        )
    if model.spec != spec:
        raise RecipeError(f"the {role} {name} was trained on other images: {model.spec}")
    return model
