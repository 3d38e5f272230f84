"""``mezzotint info``"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model import Model


def info(what: str, /) -> None:
    """Describe a model (a run's folder or a weights file) or a recipe.

        mezzotint info runs/digits
        mezzotint info ddpm

    Parameters
    ----------
    what
        A run's folder, a weights file, or a recipe's name or .toml file.
    """
    from rich.console import Console

    from .. import options
    from ..recipes import RECIPES, find

    console = Console()
    if what in RECIPES or what.endswith(".toml"):
        console.print(options.to_toml(find(what)), markup=False, highlight=False, soft_wrap=True)
        return
    from ..model import find_weights, load
    from ..training.checkpoint import sha256

    path = find_weights(Path(what))
    model = load(path, "cpu")
    parameters = sum(p.numel() for p in model.denoiser.network.parameters())
    height, width = model.spec.size
    lines = {
        "file": str(path),
        "SHA-256": sha256(path),
        "images": f"{height}x{width}, {model.spec.channels} channel(s)",
        "classes": ", ".join(model.spec.classes) or "none",
        "parameters": f"{parameters:,}",
        "multiply-adds": f"{_multiply_adds(model):,} per image and evaluation",
    }
    for name, value in lines.items():
        console.print(f"{name:14} {value}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        "\n" + options.to_toml(model.recipe), markup=False, highlight=False, soft_wrap=True
    )


def _multiply_adds(model: "Model") -> int:
    """Half the floating-point operations of one evaluation of one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.zeros(1, *model.spec.shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.denoiser.output(x, torch.tensor(0.5, dtype=torch.float64), None)
    return int(counter.get_total_flops() // 2)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return info
