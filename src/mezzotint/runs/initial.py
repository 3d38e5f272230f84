"""The trained model that a run begins from, for distillation or refinement."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from .. import weights
from ..build import trained_denoiser
from ..data import ImageSpec
from ..data.npz import Arrays
from ..diffusion.denoiser import NetworkDenoiser
from ..loading import find_weights, from_parts
from ..recipe.fields import RecipeError
from ..recipe.objectives import Distillation, Refinement
from ..recipe.schema import Recipe
from ..sampling import sample_distributed
from ..utils.files import sha256, whole_file
from ..utils.processes import processes

INITIAL = "initial.safetensors"
SAMPLES = "reference-samples.npz"
SAMPLES_0_1 = "rivals.npz"
"""The name that version 0.1 gave to the same file."""


@dataclass(frozen=True)
class InitialModel:
    """A model to begin from.

    Args:
        path: its weights file.
        denoiser: the model.
        samples: uint8 images sampled from it, with the classes in rotation, for a refinement.
    """

    path: Path
    denoiser: NetworkDenoiser
    samples: UInt8[Tensor, "n channels height width"] | None = None

    def save(self, folder: Path) -> None:
        """Copy the weights and the samples to a run, so that it can be resumed without the original file."""
        weights_path = folder / INITIAL
        samples_path = folder / SAMPLES
        if not weights_path.exists():
            with whole_file(weights_path) as temporary:
                shutil.copyfile(self.path, temporary)
        if self.samples is not None and _saved_samples(folder) is None:
            with whole_file(samples_path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, images=self.samples.numpy())


def find_initial(
    recipe: Recipe, spec: ImageSpec, folder: Path | None, *, most: int | None = None
) -> InitialModel | None:
    """The model that a recipe distills or refines.

    Args:
        recipe: its ``[objective]`` names the model.
        spec: of the images to train on.
        folder: of a run to resume; copies of the model and its samples there are preferred.
        most: largest number of images to sample for a refinement, or one of each class if that is more; None
            for as many as the recipe says.

    Returns:
        The model; None if the recipe begins from random weights.

    Raises:
        FileNotFoundError: if there is no such model.
        RecipeError: if it does not fit the recipe or the images.
    """
    objective = recipe.objective
    name = recipe.initial_model
    if name is None:
        return None
    key = f"objective.{objective.initial_key}"
    path = find_weights(name) if folder is None else _weights_path(name, folder)
    if objective.sha256 is not None and sha256(path) != objective.sha256:
        raise RecipeError(
            f"{key} = {name!r} is not the model this recipe was made for: the SHA-256 of {path} is"
            " another than objective.sha256"
        )
    tensors, initial_recipe, initial_spec = weights.read(path)
    _check_kind(recipe, initial_recipe, key, name)
    _check_fit(recipe, initial_recipe, key, name)
    if initial_spec != spec:
        raise RecipeError(f"{key} = {name!r} was trained on other images: {initial_spec}")
    device = processes().device
    denoiser = trained_denoiser(initial_recipe, spec, tensors, device)
    if not isinstance(objective, Refinement):
        return InitialModel(path, denoiser)
    if objective.images < len(spec.classes):
        raise RecipeError(
            f"objective.images = {objective.images}: at least one for each of {len(spec.classes)} classes"
        )
    samples = None if folder is None else _broadcast(lambda: _saved_samples(folder))
    if samples is None:
        model = from_parts(initial_recipe, spec, tensors, device)
        number = objective.images
        if most is not None:
            number = min(number, max(most, len(spec.classes)))
        samples = sample_distributed(model, number, recipe.seed, guidance=1.0).images
    return InitialModel(path, denoiser, torch.as_tensor(samples))


def _weights_path(name: str, folder: Path) -> Path:
    """The copy of the model in the folder of the run, if any, or else the original."""
    copy = folder / INITIAL
    return copy if copy.is_file() else find_weights(name)


def _saved_samples(folder: Path) -> Any:
    for name in (SAMPLES, SAMPLES_0_1):
        if (folder / name).is_file():
            with Arrays.opened(folder / name) as arrays:
                return arrays.images("images")
    return None


def _broadcast(read: Any) -> Any:
    """The value that the first process reads, on all processes."""
    group = processes()
    return group.from_main(read() if group.is_main else None)


def _check_kind(recipe: Recipe, initial: Recipe, key: str, name: str) -> None:
    """Refuse models of the wrong kind: few-step models have other objectives."""
    if isinstance(recipe.objective, Distillation):
        if initial.few_step:
            raise RecipeError(f"the teacher {name} is a few-step model already: refine it instead")
        return
    if recipe.few_step != initial.few_step:
        kind = "is" if initial.few_step else "is not"
        raise RecipeError(
            f"{key} = {name!r} {kind} a few-step model, which objective.name ="
            f" {recipe.objective.name!r} is not for; `mezzotint refine` takes the objective that fits"
        )


def _check_fit(recipe: Recipe, initial: Recipe, key: str, name: str) -> None:
    """Refuse a model whose network or diffusion is not that of the recipe."""
    if (recipe.net, recipe.diffusion) != (initial.net, initial.diffusion):
        raise RecipeError(
            f"the recipe's net or diffusion is not that of {key} = {name!r}: training begins from"
            " its weights; `mezzotint distill` and `mezzotint refine` take both from it"
        )
