"""What every sampler takes and gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from .grids import Grid

Noise = Callable[[], Images]
"""Fresh standard normal noise, shaped like the images being sampled, at each call."""


@dataclass(frozen=True)
class Step:
    """A moment of the denoising: ``x`` at time ``t``, and the clean image ``x0`` seen in it.

    The first step is pure noise at t = 1; the last one, at t = 0, is the image, x = x0.
    """

    x: Images
    x0: Images
    t: float

    @property
    def final(self) -> bool:
        """Whether this is the image itself."""
        return self.t == 0


@runtime_checkable
class Sampler(Protocol):
    """A way from noise to an image.

    Called with the noise ``x`` (batch, channels, height, width), a grid of n + 1 times and labels
    (batch,) or None, it yields n + 1 steps. ``noise`` is asked only by samplers that are random.
    All history lives in the generator: two calls never meet.
    """

    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]: ...
