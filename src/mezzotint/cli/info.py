"""``mezzotint info``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe.toml import to_toml
from .modules import loading_modules

if TYPE_CHECKING:
    from ..model import Model


def info(what: str, /, *, recipe: bool = False) -> None:
    """Describe a model or a recipe.

        mezzotint info runs/digits
        mezzotint info digits
        mezzotint info digits --recipe
        mezzotint info ddpm

    A name means the same in every verb that takes a model: where a model and a recipe share one, it is the
    model, and --recipe shows the recipe. The first line says which it is.

    Parameters
    ----------
    what
        A run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the Hugging Face Hub; or
        a recipe's name or .toml file.
    recipe
        Show the recipe of that name, as `mezzotint train` takes it.
    """
    from rich.console import Console

    from ..recipe.presets import RECIPES, find
    from ..utils.assets import shipped

    console = Console()
    only_recipe = what in RECIPES and what not in shipped("models") and not Path(what).exists()
    if recipe or only_recipe or what.endswith(".toml"):
        text = f"# the recipe {what}\n{to_toml(find(what))}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    with loading_modules():
        from ..loading import find_weights, load
        from ..utils.files import sha256

    path = find_weights(Path(what))
    model = load(path, "cpu")
    parameters = sum(p.numel() for p in model.denoiser.network.parameters())
    height, width = model.spec.size
    lines = {
        "model": what,
        "file": str(path),
        "SHA-256": sha256(path),
        "images": f"{height}x{width}, {model.spec.channels} channel(s)",
        "classes": ", ".join(model.spec.classes) or "none",
        "parameters": f"{parameters:,}",
        "multiply-adds": f"{_multiply_adds(model):,} per image and evaluation",
    }
    for name, value in lines.items():
        console.print(f"{name:14} {value}", markup=False, highlight=False, soft_wrap=True)
    console.print("\n" + to_toml(model.recipe), markup=False, highlight=False, soft_wrap=True)


def _multiply_adds(model: "Model") -> int:
    """Those of one evaluation of one image."""
    import torch

    from ..utils.counting import counted

    x = torch.zeros(1, *model.spec.shape)
    with counted() as count, torch.no_grad():
        model.denoiser.output(x, torch.tensor(0.5, dtype=torch.float64), None)
    return count.multiply_adds


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return info
