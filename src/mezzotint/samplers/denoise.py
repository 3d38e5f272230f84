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
    batch: int | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Step]:
    """Sample images, batch by batch.

    Args:
        denoiser: the model.
        sampler: the sampler.
        grid: n + 1 decreasing times, from 1 to 0.
        labels: a class for each image (images,), or None.
        numbers: numbers of the images; the noise of image k depends only on ``seed`` and k.
        shape: (channels, height, width) of an image.
        seed: integer from 0 to 2**63 - 1.
        batch: number of images to compute at once; None for all.
        device: device of the denoiser.

    Yields:
        n + 1 steps for each batch in turn; the last one of a batch holds its images.
    """
    size = batch or len(numbers)
    for start in range(0, len(numbers), size):
        rows = slice(start, start + size)
        noise = ImageNoise(seed, numbers[rows], shape, torch.device(device))
        batch_labels = None if labels is None else labels[rows].to(device)
        yield from sampler(denoiser, noise(), grid, batch_labels, noise)
