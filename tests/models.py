"""Small models for tests: untrained, but with every weight random, so that no layer is trivial."""

from pathlib import Path

import torch

from common import tiny_recipe
from mezzotint import build, weights
from mezzotint.config import Recipe


def random_model_file(
    path: Path, recipe: Recipe | None = None, *, classes: int = 10, channels: int = 1, size: int = 8
) -> Path:
    """A weights file of the recipe's network (tiny if not given) with weights drawn anew.

    Fresh networks begin with layers at zero, and would answer the same to any label and time; here
    labels are even given more weight than the rest, so that a wrong one shows.
    """
    recipe = recipe or tiny_recipe()
    spec = weights.ImageSpec((size, size), channels, tuple(str(k) for k in range(classes)))
    network = build.make_network(recipe, spec)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(0, 1.5 if name.startswith("label") else 0.3, generator=source)
    weights.write(path, network.state_dict(), recipe, spec)
    return path
