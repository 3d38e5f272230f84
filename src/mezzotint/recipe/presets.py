"""Named recipes, each derived from another by naming what differs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .fields import RecipeError
from .schema import Recipe
from .toml import nearest, override, read_toml
from .versions import FORMAT, check_format

# Clear digits from two laptop cores in minutes: straight paths, a lean network.
DIGITS = Recipe()

# What the shipped model begins as: the same, wider and longer.
DIGITS_LONG = override(
    DIGITS,
    {
        "name": "digits-long",
        "net": {"width": 48},
        "training": {"steps": 10_000, "ema": 0.999},
        "sampling": {"guidance": 1.35},
    },
)

# The shipped model's network in one, two or four evaluations, with guidance already in it.
DIGITS_FAST = override(
    DIGITS_LONG,
    {
        "name": "digits-fast",
        "objective": {
            "name": "distillation",
            "teacher": "digits",
            "guidance": 1.0,
            "stages": 5,
        },
        "training": {"steps": 1600, "learning_rate": 0.01, "warmup": 100, "ema": 0.995},
        "sampling": {"sampler": "consistency", "steps": 2, "guidance": 1.0},
    },
)

# A trained model told apart from real images: better, and without guidance's second pass.
DIGITS_REFINED = override(
    DIGITS_LONG,
    {
        "name": "digits-refined",
        "training": {
            "steps": 300,
            "optimizer": "adamw",
            "learning_rate": 2e-4,
            "weight_decay": 0.0,
            "warmup": 20,
            "ema": 0.98,
            "sample_every": 0,
        },
        "objective": {"name": "refinement", "reference": "digits"},
        "sampling": {"guidance": 1.0},
    },
)

# The few-step model, told apart from real images by a critic.
DIGITS_FAST_REFINED = override(
    DIGITS_FAST,
    {
        "name": "digits-fast-refined",
        "training": {
            "steps": 240,
            "optimizer": "adam",
            "learning_rate": 4e-5,
            "warmup": 0,
            "ema": 0.99,
            "sample_every": 0,
        },
        "objective": {"name": "adversarial", "reference": "digits-fast"},
    },
)

# Clothes instead of digits: more to be learnt, so a wider network and more steps.
FASHION = override(
    DIGITS,
    {
        "name": "fashion",
        "data": {"name": "fashion-mnist"},
        "net": {"width": 40},
        "training": {"steps": 2700},
    },
)

# Small colour pictures of any kind: name yours with --data.name folder:PATH.
RGB32 = override(
    DIGITS,
    {
        "name": "rgb32",
        "data": {"name": "cifar10", "size": 32, "channels": 3, "background": 255},
        "net": {"width": 64},
        "training": {"steps": 20_000, "learning_rate": 0.01, "ema": 0.999},
        "sampling": {"steps": 20},
    },
)

# The same at twice the side: larger patches, so that the arithmetic grows with the width alone.
RGB64 = override(
    RGB32,
    {"name": "rgb64", "data": {"size": 64}, "net": {"patch": 4, "width": 96}},
)

# The original system, as its source trains it.
DDPM = override(
    DIGITS,
    {
        "name": "ddpm",
        "data": {"size": 32},
        "net": {"name": "unet"},
        "diffusion": {
            "schedule": "original-linear",
            "timesteps": 1000,
            "parametrization": "eps",
        },
        "objective": {"loss": "l1", "times": "uniform", "label_dropout": 0.0},
        "training": {
            "steps": 937_500,  # 1000 epochs of 60,000 images
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "warmup": 0,
            "decay": "none",
            "ema": 0.0,
            "log_every": 5,
        },
        "sampling": {"sampler": "ddpm", "steps": 1000, "grid": "linspace", "guidance": 1.0},
    },
)

RECIPES: dict[str, Recipe] = {
    "digits": DIGITS,
    "digits-long": DIGITS_LONG,
    "digits-refined": DIGITS_REFINED,
    "digits-fast": DIGITS_FAST,
    "digits-fast-refined": DIGITS_FAST_REFINED,
    "fashion": FASHION,
    "rgb32": RGB32,
    "rgb64": RGB64,
    "ddpm": DDPM,
}


def find(name: str) -> Recipe:
    """The recipe of that name, or in that TOML file, whose key ``base`` names what it derives from.

    Raises RecipeError where there is none, naming the nearest.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"there is no recipe file {name}")
        changes = read_toml(path)
        base = changes.pop("base", "digits")
        if base not in list(RECIPES):
            raise RecipeError(f"base = {base!r} is no recipe.{nearest(str(base), RECIPES)}")
        check_format(number := changes.pop("format", FORMAT), name)
        if number != FORMAT:
            raise RecipeError(
                f"{name} is of format {number}, in which schedules and objectives had other names: write it"
                f" anew for format {FORMAT} (CHANGELOG.md says what moved)"
            )
        return override(RECIPES[base], {"name": path.stem, **changes})
    known = ", ".join(RECIPES)
    raise RecipeError(
        f"there is no recipe {name!r}: take one of {known}, or a .toml file.{nearest(name, RECIPES)}"
    )


def as_recipe(recipe: str | Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe, or the recipe of a name, with nested ``changes``."""
    found = find(recipe) if isinstance(recipe, str) else recipe
    return override(found, changes or {})
