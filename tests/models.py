"""Small models for tests: untrained, but with every weight random, so that no layer is trivial."""

import functools
from pathlib import Path

import torch
from torch import Tensor

from common import few_step_recipe, tiny_recipe
from mezzotint import build, weights
from mezzotint.data import ImageSpec
from mezzotint.loading import from_parts
from mezzotint.model import Model
from mezzotint.recipe.schema import Recipe


def random_weights(recipe: Recipe, spec: ImageSpec) -> dict[str, Tensor]:
    """Weights of the recipe's network, drawn anew: always the same ones.

    Fresh networks begin with layers at zero, and would answer the same to any label and time; here
    labels are even given more weight than the rest, so that a wrong one shows.
    """
    network = build.make_network(recipe.net, spec)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(0, 1.5 if name.startswith("label") else 0.3, generator=source)
    return network.state_dict()


def random_model_file(
    path: Path, recipe: Recipe | None = None, *, classes: int = 10, channels: int = 1, size: int = 8
) -> Path:
    """A weights file of the recipe's network (tiny if not given), with :func:`random_weights`."""
    recipe = recipe or tiny_recipe()
    spec = ImageSpec((size, size), channels, tuple(str(k) for k in range(classes)))
    weights.write(path, random_weights(recipe, spec), recipe, spec)
    return path


@functools.cache
def model_for(sampler: str) -> Model:
    """A model of ten classes, 8x8, one channel, that may be sampled with ``sampler``: a few-step one for
    "consistency", else an ordinary one. Both have the same weights."""
    recipe = few_step_recipe() if sampler == "consistency" else tiny_recipe()
    spec = ImageSpec((8, 8), 1, tuple("0123456789"))
    return from_parts(recipe, spec, random_weights(recipe, spec), torch.device("cpu"))
