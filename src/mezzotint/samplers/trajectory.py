"""All steps of a denoising, as images."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..utils import pixels
from .step import Step


@dataclass(frozen=True)
class Trajectory:
    """All steps of sampling one batch.

    Args:
        x: noisy images (steps + 1, images, channels, height, width), uint8; the last are the samples.
        x0: predicted clean images at each step, in the same shape, uint8.
        t: decreasing times, from 1 to 0.
    """

    x: UInt8[Tensor, "times images channels height width"]
    x0: UInt8[Tensor, "times images channels height width"]
    t: tuple[float, ...]

    @classmethod
    def from_steps(cls, steps: Iterable[Step]) -> "Trajectory":
        """The trajectory of one batch.

        Args:
            steps: all steps of the batch, as a sampler yields them.

        Returns:
            the same as uint8 images.
        """
        steps = list(steps)
        return cls(
            x=torch.stack([pixels.to_uint8(step.x.cpu()) for step in steps]),
            x0=torch.stack([pixels.to_uint8(step.x0.cpu()) for step in steps]),
            t=tuple(step.t for step in steps),
        )
