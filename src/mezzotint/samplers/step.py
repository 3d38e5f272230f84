"""The interface of samplers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from ..registry import SAMPLERS, with_options
from .grids import Grid

Noise = Callable[[], Images]
"""Returns new standard normal noise, in the shape of the images, at each call."""


@dataclass(frozen=True)
class Step:
    """A step of the denoising. The first is pure noise at t = 1; the last is the image, x = x0, at t = 0.

    Args:
        x: noisy images (batch, channels, height, width).
        x0: clean images predicted from them, in the same shape.
        t: time, in [0, 1].
    """

    x: Images
    x0: Images
    t: float

    @property
    def final(self) -> bool:
        """Whether this is the last step, the image."""
        return self.t == 0


class Sampler(ABC):
    """A method to go from noise to images.

    A sampler has no state: the iterator that a call returns has all of it.
    """

    @abstractmethod
    def __call__(
        self, denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        """Go from noise to images.

        Args:
            denoiser: predicts clean images from noisy ones.
            x: pure noise (batch, channels, height, width).
            grid: n + 1 decreasing times, from 1 to 0.
            labels: classes (batch,), or None.
            noise: called for new noise by random samplers only.

        Yields:
            n + 1 steps, the first at t = 1, the last the image.
        """

    def evaluations(self, grid: Grid) -> list[float]:
        """The times at which a sampler evaluates the denoiser: once for each step, unless overridden."""
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
