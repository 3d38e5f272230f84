"""From labels to images: the sampling loop of models, image grids, animations and metrics."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from .grids import Grid
from .noise import ImageNoise
from .step import Noise, Step

Walk = Callable[[Denoiser, Images, Grid, Labels | None, Noise], Iterator[Step]]
"""A sampler, or a function with the same arguments and result."""


@torch.inference_mode()
def denoise(
    denoiser: Denoiser,
    sampler: Walk,
    grid: Grid,
    labels: Tensor | None,
    numbers: range,
    shape: tuple[int, int, int],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Step]:
    """Sample images.

    Args:
        denoiser: the model.
        sampler: the sampler.
        grid: n + 1 decreasing times, from 1 to 0.
        labels: a class for each image (images,), or None.
        numbers: numbers of the images; the noise of image k depends only on ``seed`` and k.
        shape: (channels, height, width) of an image.
        seed: integer from 0 to 2**63 - 1.
        device: device of the denoiser.

    Yields:
        n + 1 steps; the last one holds the images.
    """
    noise = ImageNoise(seed, numbers, shape, torch.device(device))
    labels = None if labels is None else labels.to(device)
    yield from sampler(denoiser, noise(), grid, labels, noise)
