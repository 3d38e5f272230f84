"""What every sampler takes and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from ..registry import SAMPLERS, with_options
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


class Sampler(ABC):
    """A way from noise to an image.

    All history lives in the generator that a call returns: two calls never meet.
    """

    @abstractmethod
    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Walk from noise to images.

        Args:
            denoiser: what sees the image behind the noise.
            x: pure noise (batch, channels, height, width).
            grid: n + 1 falling times, from 1 to 0.
            labels: classes (batch,), or None.
            noise: asked for fresh noise by samplers that are random, and by them alone.

        Yields:
            n + 1 steps, the first at t = 1, the last the image.
        """

    def evaluations(self, grid: Grid) -> list[float]:
        """The times at which a denoiser is asked on the way down a grid: once a step, unless a sampler says
        otherwise."""
        times: list[float] = grid[:-1].tolist()
        return times


def make_sampler(text: str) -> Sampler:
    """A sampler by its name and options.

    Args:
        text: such as "dpm++", "ddim:eta=0.5" or "ddpm:variance=large".

    Raises:
        ValueError: if the sampler has no such option, or the option no such value.
    """
    sampler = with_options("sampler", SAMPLERS, text)
    try:
        return sampler()
    except ValueError as error:
        raise ValueError(f"sampler {text!r}: {error}") from None
