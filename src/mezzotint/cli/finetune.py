"""What the verbs that go on from a trained model have in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..recipe.toml import override, to_dict
from .dry_run import say_forecast
from .flags import nested
from .modules import loading_modules
from .train import run_until_stopped, say_done

if TYPE_CHECKING:
    from ..data import ImageSpec


def recipe_in(model: str) -> tuple[Recipe, "ImageSpec", str]:
    """A model's recipe, the shape and classes of its images, and the SHA-256 of its weights."""
    with loading_modules():
        from ..loading import find_weights
        from ..utils.files import sha256
        from ..weights import read

    path = find_weights(model)
    _, recipe, spec = read(path)
    return recipe, spec, sha256(path)


def onward(base: Recipe, initial: Recipe) -> Recipe:
    """``base`` with the data, the network and the diffusion of a model that training begins from."""
    changes = {
        "name": f"{initial.name}-{base.name.rpartition('-')[2]}",
        "data": to_dict(initial.data),
        "net": to_dict(initial.net),
        "diffusion": to_dict(initial.diffusion),
    }
    return override(base, changes)


def train_onward(
    base: Recipe, model: str, out: Path | None, dry_run: bool, flags: Mapping[str, Any]
) -> None:
    """Train ``base``, which was made for a model, with what flags change in it, or say what that takes."""
    if base.initial_model != model:
        raise RecipeError(f"the model {model!r} cannot stand here: it comes first")
    final = override(base, nested(flags))
    if dry_run:
        say_forecast(final, base, out)
        return
    say_done(run_until_stopped(final, out))
