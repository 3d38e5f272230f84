"""Small things that several tests need."""

import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.data import ImageData
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.schema import Recipe


@dataclass(frozen=True)
class Gaussian:
    """The exact denoiser of pixels that are independent N(mean, std^2):

    E[x0 | x_t] = mean + alpha std^2 / (alpha^2 std^2 + sigma^2) (x_t - alpha mean).
    """

    schedule: Schedule
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, x_t: Any, t: Any, labels: Any) -> Prediction:
        level = self.schedule.level(t)
        gain = level.alpha * self.std**2
        gain = gain / (level.alpha.square() * self.std**2 + level.sigma.square())
        offset = level.alpha * self.mean
        centred = x_t - scale(offset, torch.ones_like(x_t))
        x0 = self.mean + scale(gain, centred)
        return Prediction(x0, scale(1 / level.sigma, x_t - scale(level.alpha, x0)))


def tiny_recipe(**changes: Any) -> Recipe:
    """`digits` with a network of a few thousand parameters; ``changes`` as nested dictionaries."""
    return as_recipe(
        as_recipe(
            "digits",
            {
                "net": {"width": 8, "blocks": 1, "embedding": 16, "heads": 2, "groups": 4},
                "training": {
                    "steps": 10,
                    "batch": 8,
                    "warmup": 2,
                    "sample_every": 0,
                    "log_every": 1,
                    "precision": "fp32",
                },
                "objective": {"times": "logit-normal"},
                "sampling": {"sampler": "heun", "steps": 3},
            },
        ),
        changes,
    )


def few_step_recipe(**changes: Any) -> Recipe:
    """The tiny recipe, distilled: of a model that jumps to the end of a path."""
    few_step = {
        "objective": {"name": "distillation", "teacher": "digits"},
        "sampling": {"sampler": "consistency"},
    }
    return as_recipe(tiny_recipe(**few_step), changes)


def tiny_data(count: int = 40, classes: int = 10, size: int = 8, channels: int = 1) -> ImageData:
    """Noise with labels 0, 1, 2, ... in turn."""
    source = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, channels, size, size), generator=source).to(torch.uint8)
    names = tuple(str(k) for k in range(classes))
    return ImageData(images, torch.arange(count) % max(classes, 1), names)


def idx_file(array: NDArray[np.uint8]) -> bytes:
    """An IDX file of bytes, put together here and not by the code under test."""
    head = struct.pack(">HBB", 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def as_if_killed(run: Path, copy: Path) -> Path:
    """A copy of a finished run, as one is that was killed before its last checkpoint: only an earlier one
    is there to go on from."""
    shutil.copytree(run, copy)
    kill(copy)
    return copy


def kill(run: Path) -> None:
    """Take a finished run's weights and last checkpoint away."""
    (run / "model.safetensors").unlink()
    shutil.rmtree(max((run / "checkpoints").glob("step-*")))
