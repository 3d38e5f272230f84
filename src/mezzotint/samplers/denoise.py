"""From labels to images: the one loop that models, grids, films and measures go through."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from .grids import Grid
from .noise import ImageNoise
from .step import Noise, Step

Walk = Callable[[Denoiser, Images, Grid, Labels | None, Noise], Iterator[Step]]
"""A sampler, or any function that walks as one does."""


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
    """The denoising of many images, batch by batch.

    Args:
        denoiser: what sees the image behind the noise.
        sampler: the way from noise to an image.
        grid: the times, n + 1 of them.
        labels: a class for each image, (images,), or None.
        numbers: of the images; the noise of image k depends on ``seed`` and k alone.
        shape: (channels, height, width).
        seed: whole number from 0 to 2**63 - 1.
        batch: images at once; all, if None.
        device: where the denoiser computes.

    Yields:
        n + 1 steps for each batch in turn; the last of them holds the images.
    """
    size = batch or len(numbers)
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        noise = ImageNoise(seed, part, shape, torch.device(device))
        classes = None if labels is None else labels[start : start + size].to(device)
        yield from sampler(denoiser, noise(), grid, classes, noise)
