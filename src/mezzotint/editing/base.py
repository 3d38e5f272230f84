"""What an edit is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..diffusion.denoiser import Clipped, Denoiser
from ..samplers.denoise import Walk
from ..samplers.grids import Grid


@dataclass(frozen=True)
class Plan:
    """The parts of sampling a batch, which an edit changes.

    Args:
        denoiser: the model, guided, not yet clipped.
        walk: the sampler.
        grid: n + 1 decreasing times.
        clip: whether predicted images are kept within the range of images.
    """

    denoiser: Denoiser
    walk: Walk
    grid: Grid
    clip: bool

    @property
    def clipped_denoiser(self) -> Denoiser:
        """The denoiser that the sampler gets."""
        return Clipped(self.denoiser) if self.clip else self.denoiser


class Edit(ABC):
    """A change of how images are sampled."""

    @property
    def default_steps(self) -> int | None:
        """Sampling steps if none are asked for; None for those of the model's recipe."""
        return None

    @property
    def own_sampler(self) -> bool:
        """Whether it has a sampler of its own, in the place of the recipe's."""
        return False

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """How many there are of what is 1, or one for each result; in words for errors: ``images``."""

    def check_count(self, count: int) -> None:
        """Refuse a number of results that does not go with the images.

        Args:
            count: results that are asked for.

        Raises:
            ValueError: if there are several images, but not one for each result.
        """
        for name, number in self.counts.items():
            if number not in (1, count):
                raise ValueError(f"{number} {name} for {count} results: give one, or {count}")

    @abstractmethod
    def plan(self, plan: Plan, rows: slice) -> Plan:
        """The parts of sampling some of the images with this edit.

        Args:
            plan: the parts without it.
            rows: which of the images.

        Returns:
            the changed parts.

        Raises:
            ValueError: if the schedule has not as many times as steps are asked for.
        """
