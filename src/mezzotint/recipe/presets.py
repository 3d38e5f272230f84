"""Named recipes, each defined by its differences from another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.console import printable
from .fields import RecipeError
from .schema import Recipe
from .toml import nearest, override, read_toml
from .versions import FORMAT, check_format

# More times of training have much noise, with which short trainings come further (docs/log.md).
DIGIT_TIMES = "logit-normal:shift=2"

# Digits in minutes on two laptop cores: flow matching and a small network.
DIGITS = override(Recipe(), {"objective": {"times": DIGIT_TIMES}})

# The same with a wider network and more steps. The shipped model is a refinement of it.
DIGITS_LONG = override(
    DIGITS,
    {
        "name": "digits-long",
        "net": {"width": 48},
        "training": {"steps": 10_000, "ema": 0.999},
        "sampling": {"guidance": 1.35},
    },
)

# The norms and heads of the shipped models, from which the recipes below begin.
SHIPPED_NET = {"groups": 8, "heads": 4}

# The shipped model distilled to one, two or four network evaluations. It needs no guidance.
DIGITS_FAST = override(
    DIGITS_LONG,
    {
        "name": "digits-fast",
        "net": SHIPPED_NET,
        "objective": {
            "name": "distillation",
            "teacher": "digits",
            "guidance": 1.0,
            "solver": "heun",
            "stages": 5,
        },
        "training": {"steps": 1600, "learning_rate": 0.01, "warmup": 100, "ema": 0.995},
        "sampling": {"sampler": "consistency", "steps": 2, "guidance": 1.0},
    },
)

# Refinement of a trained model by direct discriminative optimization. The result needs no guidance, which
# halves the network evaluations.
DIGITS_REFINED = override(
    DIGITS_LONG,
    {
        "name": "digits-refined",
        "net": SHIPPED_NET,
        "training": {
            "steps": 300,
            "optimizer": "adamw",
            "learning_rate": 2e-4,
            "weight_decay": 0.0,
            "warmup": 20,
            "ema": 0.98,
            "sample_every": 0,
        },
        "objective": {"name": "refinement", "reference": "digits", "times": DIGIT_TIMES},
        "sampling": {"guidance": 1.0},
    },
)

# Refinement of the few-step model by adversarial training against a critic.
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
        "objective": {
            "name": "adversarial",
            "reference": "digits-fast",
            "critic_features": "model",
            "wrong_labels": 0.5,
        },
    },
)

# Fashion-MNIST is harder than digits, so the network is wider and the training longer.
FASHION = override(
    Recipe(),
    {
        "name": "fashion",
        "data": {"name": "fashion-mnist"},
        "net": {"width": 48},
        "training": {"steps": 10_000, "ema": 0.999},
    },
)

# Small colour images. For a folder of your own, use --data.name folder:PATH.
RGB32 = override(
    Recipe(),
    {
        "name": "rgb32",
        "data": {"name": "cifar10", "size": 32, "channels": 3, "background": 255},
        "net": {"width": 64},
        "training": {"steps": 20_000, "learning_rate": 0.01, "ema": 0.999},
        "sampling": {"steps": 20},
    },
)

# The same at twice the side. Patches are twice as large, so that only the width adds computation.
RGB64 = override(
    RGB32,
    {"name": "rgb64", "data": {"size": 64}, "net": {"patch": 4, "width": 96}},
)

# The original system, with the settings in its source code.
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
    """Return a recipe by name, or read it from a TOML file.

    A file lists the differences from the recipe in its key ``base`` (``digits`` if absent).

    Args:
        name: A key of RECIPES, or the path of a ``.toml`` file.

    Returns:
        The recipe; one from a file is named after it unless the file has a ``name``.

    Raises:
        RecipeError: If there is no such recipe or file, or the file is not valid.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name).expanduser()
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"there is no recipe file {name}")
        changes = read_toml(path)
        base = changes.pop("base", "digits")
        if base not in list(RECIPES):
            raise RecipeError(f"base = {base!r} is no recipe.{nearest(str(base), RECIPES)}")
        number = changes.pop("format", FORMAT)
        check_format(number, name)
        if number != FORMAT:
            raise RecipeError(
                f"{name} is of format {number!r}, in which schedules and objectives had other names: write it"
                f" anew for format {FORMAT} (CHANGELOG.md says what moved)"
            )
        return override(RECIPES[base], {"name": printable(path.stem), **changes})
    known = ", ".join(RECIPES)
    raise RecipeError(
        f"there is no recipe {name!r}: take one of {known}, or a .toml file.{nearest(name, RECIPES)}"
    )


def base_of(name: str) -> Recipe:
    """The named recipe that a recipe is defined by its differences from.

    Args:
        name: a key of RECIPES, which is its own, or the path of a ``.toml`` file that :func:`find` reads.

    Returns:
        The named recipe.
    """
    if name in RECIPES:
        return RECIPES[name]
    return RECIPES[read_toml(Path(name).expanduser()).get("base", "digits")]


def as_recipe(recipe: str | Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe, by name or as it is, with changes.

    Args:
        recipe: A recipe, a key of RECIPES, or the path of a ``.toml`` file.
        changes: Nested keys and values to replace, such as ``{"training": {"steps": 100}}``.

    Returns:
        A new recipe.

    Raises:
        RecipeError: If there is no such recipe, or a change has an unknown key or a wrong value.
    """
    base = find(recipe) if isinstance(recipe, str) else recipe
    return override(base, changes or {})
