"""Training of the classifiers that evaluate images.

They see the training split only, augmented by random maps that leave the class as it is.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from ..data import ImageData
from ..registry import CLASSIFIERS
from ..training.batches import batch_indices
from ..training.ema import Ema
from ..training.optimizers import can_fuse
from ..utils import pixels
from ..utils.device import place
from ..utils.precision import TYPES, in_precision
from ..utils.progress import bar
from ..utils.randomness import Stream, derived_seed, generator
from .augmentation import AUGMENTATIONS


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """Settings of a classifier's training: AdamW with linear warm-up and cosine decay, averaged weights.

    Attributes:
        kind: Architecture, a name of the registry CLASSIFIERS.
        width: How many times as many channels as the shipped classifiers have.
        augmentation: "jitter", small affine maps; "mirror", for what may be seen from either side, which a
            digit may not; or "erase", mirrored, with a part hidden.
        epochs: Passes over the data.
        batch: Images per step.
        learning_rate: Peak of the schedule.
        weight_decay: Coefficient of AdamW.
        ema: Decay of the moving average of the weights, between 0 and 1.
        precision: Number type of products and convolutions in training; weights are in fp32.
        seed: Seed of initial weights, order and augmentation.
    """

    kind: Literal["plain", "residual"] = "plain"
    width: int = 1
    augmentation: Literal["jitter", "mirror", "erase"] = "jitter"
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0


def train_classifier(
    recipe: ClassifierRecipe, data: ImageData, device: torch.device | None = None
) -> nn.Module:
    """Train a classifier.

    Args:
        recipe: Settings of the training.
        data: Training images with labels.
        device: Where to train; the CPU if None.

    Returns:
        The classifier with averaged weights, in eval mode, on ``device``.

    Raises:
        ValueError: If the images are not of two classes or more.
    """
    if len(data.classes) < 2:
        raise ValueError("a classifier needs images of two classes or more, with their labels")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(recipe.seed, Stream.INIT, 0))
        network = CLASSIFIERS[recipe.kind](data.channels, len(data.classes), recipe.width)
        return _fit(recipe, data, place(network, device or torch.device("cpu")))


def _fit(recipe: ClassifierRecipe, data: ImageData, network: nn.Module) -> nn.Module:
    """Train ``network`` in place and return the moving average of its weights."""
    ema = Ema(network, recipe.ema)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=can_fuse(list(network.parameters())),
    )
    device = next(network.parameters()).device
    augment = AUGMENTATIONS[recipe.augmentation]
    steps = max(1, recipe.epochs * len(data) // recipe.batch)
    progress_bar = bar(recipe.kind, steps)
    for step in range(steps):
        fraction = step / steps
        # The rate of the first step of a warm-up is 0, which few steps cannot afford.
        warmup = min(1.0, fraction / 0.1) if steps >= 10 else 1.0
        decay = (1 + math.cos(math.pi * fraction)) / 2
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * warmup * decay
        rows = batch_indices(recipe.seed, step * recipe.batch, recipe.batch, len(data))
        rng = generator(recipe.seed, Stream.DRAWS, step)
        images = augment(pixels.to_float(data.images[rows]), rng).to(device)
        with in_precision(device, TYPES[recipe.precision]):
            _, logits = network(images)
        loss = F.cross_entropy(logits.float(), data.labels[rows].to(device), label_smoothing=0.02)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(network, step)
        progress_bar.update()
        if step % 50 == 0:
            progress_bar.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
    progress_bar.close()
    return ema.network
