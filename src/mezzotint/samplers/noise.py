"""The noise that sampling starts from, and that stochastic samplers add."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..utils.randomness import generator


class ImageNoise:
    """Standard normal noise for a batch, with one generator per image.

    An image therefore depends only on the seed and its number, not on the rest of the batch. Noise is drawn
    on the CPU, where it is the same on every machine, and then moved to the device.

    Args:
        seed: integer from 0 to 2**63 - 1.
        numbers: numbers of the images in the batch.
        shape: (channels, height, width) of an image.
        device: device of the images.
    """

    def __init__(
        self, seed: int, numbers: range, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.generators = [generator(seed, number) for number in numbers]
        self.shape = shape
        self.device = device

    def __call__(self) -> Float[Tensor, "batch channels height width"]:
        """Draw fresh noise."""
        noise = torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])
        return noise.to(self.device)
