"""Training a classifier to measure with: on the training split alone, with small random shifts,
turns and stretches, never a flip."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..data import ImageData
from ..registry import CLASSIFIERS
from ..training.batches import batch_indices
from ..training.ema import Ema
from ..training.optimizers import can_fuse
from ..utils import pixels
from ..utils.device import place
from ..utils.progress import bar
from ..utils.randomness import Stream, derived_seed, generator


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """How a classifier is trained: ``epochs`` over the data in batches of ``batch``, AdamW at
    ``learning_rate`` with a short rise and a cosine fall, weights averaged with decay ``ema``."""

    kind: Literal["plain", "residual"] = "plain"
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0


def jitter(
    images: Float[Tensor, "batch channels height width"], source: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Turn by up to 12 degrees, stretch and shear by up to 12%, shift by up to 2 pixels of 28."""
    count = len(images)
    draw = torch.rand(6, count, generator=source) * 2 - 1
    angle, shear = draw[0] * math.radians(12), draw[1] * 0.12
    wide, high = 1 + 0.12 * draw[2], 1 + 0.12 * draw[3]
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [wide * cos, high * (shear - sin), draw[4] / 7, wide * sin, high * cos, draw[5] / 7], dim=1
    ).view(count, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # Outside the image is background: grid_sample pads with 0, so black is moved there and back.
    return F.grid_sample(images + 1, grid.to(images), align_corners=False) - 1


def train_classifier(
    recipe: ClassifierRecipe, data: ImageData, device: torch.device | None = None
) -> nn.Module:
    """A trained classifier, its averaged weights, in eval mode, on ``device``, or the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(recipe.seed, Stream.INIT, 0))
        network = CLASSIFIERS[recipe.kind](data.channels, len(data.classes))
        return _fit(recipe, data, place(network, device or torch.device("cpu")))


def _fit(recipe: ClassifierRecipe, data: ImageData, network: nn.Module) -> nn.Module:
    ema = Ema(network, recipe.ema)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=can_fuse(list(network.parameters())),
    )
    device = next(network.parameters()).device
    steps = max(1, recipe.epochs * len(data) // recipe.batch)
    shown = bar(recipe.kind, steps)
    for step in range(steps):
        done = step / steps
        rise, fall = min(1.0, done / 0.1), (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rise * fall
        rows = batch_indices(recipe.seed, step * recipe.batch, recipe.batch, len(data))
        source = generator(recipe.seed, Stream.DRAWS, step)
        images = jitter(pixels.to_float(data.images[rows]), source).to(device)
        _, logits = network(images)
        loss = F.cross_entropy(logits, data.labels[rows].to(device), label_smoothing=0.02)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(network, step)
        shown.update()
        if step % 50 == 0:
            shown.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
    shown.close()
    return ema.network
