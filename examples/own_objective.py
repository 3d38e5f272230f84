"""An objective of your own: what a network is trained for, in a few lines, and a loop of your own around it.

    python examples/own_objective.py

An objective draws what is random about a batch, and gives each image's loss. This one looks at edges as well:
the squared error of the image, and of its differences from pixel to pixel.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint import as_recipe, build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import Schedule
from mezzotint.objectives import Draws, Objective
from mezzotint.objectives.times import logit_normal, uniforms
from mezzotint.recipe.schema import Training
from mezzotint.training.trainer import Trainer


@dataclass(frozen=True)
class Edges(Objective[Draws]):
    """The error of the predicted image, and ``weight`` times that of its edges."""

    weight: float = 1.0

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> Draws:
        return Draws(schedule.snap(logit_normal(uniforms(count, generator))))

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Tensor,
        labels: Tensor | None,
        draws: Draws,
        noise: Tensor,
    ) -> Tensor:
        x_t = diffuse(x0, noise[:, 0], denoiser.schedule.level(draws.t))
        error = denoiser(x_t, draws.t, labels).x0 - x0
        edges = error.diff(dim=2).square().mean((1, 2, 3)) + error.diff(dim=3).square().mean(
            (1, 2, 3)
        )
        return error.square().mean((1, 2, 3)) + self.weight * edges


recipe = as_recipe("digits")
data = build.load_data(recipe.data)
settings = Training(steps=int(sys.argv[1]) if sys.argv[1:] else 200, warmup=20)
trainer = Trainer(build.new_denoiser(recipe, data.spec), Edges(), data, settings)
for number, result in enumerate(trainer, 1):
    if number % 20 == 0 or number == settings.steps:
        print(f"step {number}: loss {result.loss.item():.4f}")
