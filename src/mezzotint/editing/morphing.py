"""Morphing: a row of images from one sample to another.

Image k of n + 1 has weight w = k / n and is sampled from mixed noise (docs/mathematics.md, eq. 24)::

    z_w = ((1 - w) a + w b) / sqrt((1 - w)^2 + w^2),

which is standard normal for each w if a and b are independent, and from a mixed embedding of the two
labels. At w = 0 and w = 1 both are those of the two samples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..samplers.noise import ImageNoise
from ..samplers.step import Noise, Step
from .base import Plan


@dataclass(frozen=True)
class MixedNoise:
    """Noise between that of two images, for every draw: those of random samplers are mixed too.

    Args:
        start: noise of the first image, (1, channels, height, width) at each call.
        end: noise of the last image; None for the same noise.
        weights: weight w of the last image (images,), in [0, 1].
    """

    start: Noise
    end: Noise | None
    weights: Float64[Tensor, " images"]

    def __call__(self) -> Float[Tensor, "images channels height width"]:
        """Draw fresh noise."""
        a = self.start()
        if self.end is None:
            return a.expand(len(self.weights), *a.shape[1:])
        b = self.end()
        norm = ((1 - self.weights).square() + self.weights.square()).sqrt()
        left, right = (
            (w / norm).to(a)[:, None, None, None] for w in (1 - self.weights, self.weights)
        )
        return left * a + right * b


def mixed_labels(
    labels: Int64[Tensor, " ends"], weights: Float64[Tensor, " images"], classes: int
) -> Float[Tensor, "images classes"]:
    """Weights of the classes for each image; see :class:`mezzotint.nets.embeddings.OptionalLabels`.

    Args:
        labels: of the first and of the last image (2,).
        weights: weight w of the last label (images,), in [0, 1].
        classes: number of classes.

    Returns:
        (images, classes), each row of sum 1.
    """
    start, end = labels.tolist()
    rows = torch.zeros(len(weights), classes, dtype=torch.float64)
    rows[:, start] += 1 - weights
    rows[:, end] += weights
    return rows.float()


@torch.inference_mode()
def morph(
    plan: Plan,
    noises: Sequence[Callable[[], ImageNoise]],
    labels: Int64[Tensor, " ends"] | None,
    weights: Float64[Tensor, " images"],
    classes: int,
) -> Iterator[Step]:
    """Sample images between two, step by step.

    Args:
        plan: the parts of sampling.
        noises: makes the noise of the first image and that of the last one; one entry if they share it.
        labels: of the first and of the last image (2,), or None for no class.
        weights: weight w of the last one (images,), in [0, 1].
        classes: number of classes.

    Yields:
        n + 1 steps, the last of which is the images.
    """
    start, *end = (make() for make in noises)
    noise = MixedNoise(start, end[0] if end else None, weights)
    x = noise()
    mixed = None if labels is None else mixed_labels(labels, weights, classes).to(x.device)
    yield from plan.walk(plan.clipped_denoiser, x, plan.grid, mixed, noise)
