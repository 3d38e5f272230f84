"""Mezzotint: class-conditional diffusion models on small images, trained in minutes on a laptop.

    import mezzotint
    run = mezzotint.train("digits")
    model = mezzotint.load(run)
    images = model.sample(labels=[3, 7], steps=20, guidance=1.5, seed=0)  # uint8, (2, 1, 28, 28)

Names are imported when first used: ``import mezzotint`` itself loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import ImageData
    from .loading import load
    from .model import Model, Trajectory
    from .recipe.fields import RecipeError
    from .recipe.presets import RECIPES, as_recipe
    from .recipe.schema import Recipe
    from .runs.train import train

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "ImageData",
    "Model",
    "Recipe",
    "RecipeError",
    "Trajectory",
    "as_recipe",
    "load",
    "train",
]

_HOMES = {
    "ImageData": "data",
    "Model": "model",
    "RECIPES": "recipe.presets",
    "Recipe": "recipe.schema",
    "RecipeError": "recipe.fields",
    "Trajectory": "model",
    "as_recipe": "recipe.presets",
    "load": "loading",
    "train": "runs.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mezzotint' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
