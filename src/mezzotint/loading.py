"""Where models are found, and how they are loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from . import weights
from .build import trained_denoiser
from .data import ImageSpec
from .model import Model
from .nets.blocks import fold_standardization
from .recipe.schema import Recipe
from .recipe.toml import nearest
from .utils.assets import shipped
from .utils.classes import file_names
from .utils.device import pick_device, prepare
from .utils.files import naming
from .utils.hub import PREFIX, fetch
from .weights import MODEL


def find_weights(path: str | Path) -> Path:
    """Find the weights file of a model.

    Args:
        path: weights file, run folder, checkpoint, or, if no such file exists, name of a shipped model; or
            ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``, of the Hugging Face Hub, which is fetched once.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a name of the Hub is malformed or cannot be read.
    """
    name = path.as_posix() if isinstance(path, Path) else path
    if name.startswith(PREFIX):
        return fetch(name.removeprefix(PREFIX), MODEL)
    path = Path(path).expanduser()
    models = shipped("models")
    if path.is_file():
        with naming(path), path.open("rb") as file:
            begin = file.read(9)
        if name in models and begin[8:] != b"{":  # not the header of a weights file
            return models[name]
        return path
    if name in models and not is_model(path):  # a folder of that name may hold anything else
        return models[name]
    if not path.exists():
        raise FileNotFoundError(
            f"there is no model at {path}: give a run folder, a weights file, hf:OWNER/NAME, or a shipped"
            f" model: {', '.join(models)}.{nearest(name, models)}"
        )
    if (path / MODEL).is_file():
        return path / MODEL
    from .training.checkpoint import latest_checkpoint  # most models start faster without

    checkpoint = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{path} holds neither {MODEL} nor a checkpoint")
    return checkpoint / MODEL


def model_names(places: Sequence[str]) -> list[str]:
    """Names for models that are shown together, which can be names of files.

    Args:
        places: of the models, as :func:`find_weights` takes them.

    Returns:
        the last part of each place, and more of it where two would be equal; two are equal only if their
        places are.
    """
    models = shipped("models")
    last = [name if name in models else Path(name).expanduser().resolve().name for name in places]
    short = [file_names([name.removesuffix(".safetensors")])[0] for name in last]
    folded = [name.casefold() for name in short]
    return [
        name if folded.count(name.casefold()) == 1 else file_names([place])[0]
        for name, place in zip(short, places, strict=True)
    ]


def is_model(folder: Path) -> bool:
    """Whether a folder is a run, finished or not, or a checkpoint."""
    return any((folder / name).exists() for name in (MODEL, "checkpoints"))


def load(path: str | Path, device: str | None = None) -> Model:
    """Load a model.

    Args:
        path: run folder, checkpoint, weights file, name of a shipped model, or ``hf:OWNER/NAME``.
        device: such as "cpu" or "cuda"; None for the best one of the machine.

    Returns:
        the model, on the device.

    Raises:
        FileNotFoundError: if there is no model.
        ValueError: if it is damaged, or a name of the Hub is malformed or cannot be read.
    """
    prepare()
    tensors, recipe, spec = weights.read(find_weights(path))
    return from_parts(recipe, spec, tensors, pick_device(device))


def from_parts(
    recipe: Recipe, spec: ImageSpec, tensors: Mapping[str, Tensor], device: torch.device
) -> Model:
    """Make a model from weights in memory, which are copied.

    Runs during training and :func:`load` both use it, so that equal weights give equal samples.

    Args:
        recipe: recipe of the model.
        spec: shape and classes of the images.
        tensors: weights by name.
        device: device of the model.

    Returns:
        the model.
    """
    denoiser = trained_denoiser(recipe, spec, tensors, device)
    fold_standardization(denoiser.network)
    return Model(recipe, spec, denoiser, device)
