"""The original system's ``saved_model.pth``: {model, optimizer, epoch, batch_index}, pickled tensors.

It is read with ``weights_only=True``, which creates tensors and plain containers only and runs no code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import build, weights
from ..data import ImageSpec
from ..recipe.presets import as_recipe
from ..recipe.schema import Recipe


def import_original(checkpoint: Path, out: Path, size: int = 32) -> None:
    """Convert a checkpoint of the original to a weights file with the recipe ``ddpm``.

    Args:
        checkpoint: file ``saved_model.pth`` of the original.
        out: weights file to write.
        size: side of the images in pixels, which the checkpoint does not contain.

    Raises:
        OSError: if the checkpoint cannot be opened.
        ValueError: if it is no such checkpoint; nothing is written then.
    """
    state = read_original(checkpoint)
    try:
        recipe, spec = recipe_of(state, size, str(checkpoint))
        network = build.make_network(recipe.net, spec)
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{checkpoint} is not a whole network of the original: {error}") from error
    weights.write(out, network.state_dict(), recipe, spec)


def read_original(checkpoint: Path) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint of the original.

    Raises:
        OSError: if the checkpoint cannot be opened.
        ValueError: if it is no such checkpoint.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        raise ValueError(
            f"{checkpoint} is not opened: it is damaged, or a pickle of other objects than tensors, which"
            " could run code in this process; ask its author for the weights alone"
        ) from error
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not all(isinstance(v, Tensor) for v in model.values()):
        raise ValueError(f"{checkpoint} is no checkpoint of the original: it has no entry 'model'")
    return {name.removeprefix("module."): tensor for name, tensor in model.items()}


def recipe_of(state: Mapping[str, Tensor], size: int, name: str) -> tuple[Recipe, ImageSpec]:
    """Infer the recipe from the shapes of the original's tensors.

    Args:
        state: the network's tensors.
        size: side of the images in pixels.
        name: name of the checkpoint, for messages.

    Returns:
        the recipe, and the shape and classes of the images.

    Raises:
        ValueError: if tensors are missing, or the recipe is not valid.
    """
    try:
        width, channels = state["downsample.0.block1.block1.proj.weight"].shape[:2]
        classes, embedding = state["label_emb.weight"].shape
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} is no network of the original: {error} is missing") from error
    depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("downsample."))
    net: dict[str, Any] = {"width": width, "depth": depth, "embedding": embedding}
    recipe = as_recipe("ddpm", {"name": "original", "data": {"size": size}, "net": net})
    class_names = tuple(str(label) for label in range(classes))
    return recipe, ImageSpec((size, size), channels, class_names)
