"""The noise that images begin from, and that random samplers add."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..utils.randomness import generator


class ImageNoise:
    """Noise for each image from a generator of its own, so that an image depends on its seed and number
    alone, whatever it is sampled together with. It is drawn on the CPU, where it is the same on every
    machine, and moved to the device.

    Args:
        seed: whole number from 0 to 2**63 - 1.
        numbers: of the images in the batch.
        shape: (channels, height, width).
        device: where the images are.
    """

    def __init__(
        self, seed: int, numbers: range, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.generators = [generator(seed, number) for number in numbers]
        self.shape = shape
        self.device = device

    def __call__(self) -> Float[Tensor, "batch channels height width"]:
        noise = torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])
        return noise.to(self.device)
