"""A sampler of your own, in a dozen lines, with a model that the package brings.

    python examples/own_sampler.py

A sampler is called with a denoiser, pure noise, n + 1 falling times, labels and a source of fresh noise, and
yields a step for each time. This one is Euler's method on the probability flow with a little noise put back.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from mezzotint import load
from mezzotint.diffusion.denoiser import Denoiser
from mezzotint.diffusion.process import diffuse
from mezzotint.samplers import Noise, Step, denoise, make_grid
from mezzotint.utils.pixels import to_uint8
from mezzotint.viz.grids import tile, to_pillow


def churned(
    denoiser: Denoiser, x: Tensor, grid: Tensor, labels: Tensor | None, noise: Noise
) -> Iterator[Step]:
    """Keep most of the predicted noise at each step, and renew the rest of it."""
    for t, s in pairwise(grid):
        prediction = denoiser(x, t, labels)
        yield Step(x, prediction.x0, t.item())
        eps = 0.999 * prediction.eps + (1 - 0.999**2) ** 0.5 * noise() if s > 0 else prediction.eps
        x = diffuse(prediction.x0, eps, denoiser.schedule.level(s))
    yield Step(x, x, 0.0)


model = load("digits", "cpu")
denoiser = model.guided_denoiser(model.sampling_options())
grid = make_grid("trailing", denoiser.schedule, 30)
steps = denoise(denoiser, churned, grid, torch.arange(10), range(10), model.spec.shape, seed=4)
images = torch.cat([to_uint8(step.x) for step in steps if step.final])
to_pillow(tile(images, 10), 4).save("own-sampler.png")
print("own-sampler.png")
