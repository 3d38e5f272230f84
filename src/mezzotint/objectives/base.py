"""What every training objective gives: random draws for a batch, and the loss of each image."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..diffusion.denoiser import Labels, NetworkDenoiser
from ..diffusion.level import Coefficient, Images
from ..diffusion.schedules import Schedule


@dataclass(frozen=True)
class Context:
    """What an objective may need beside its section of the recipe.

    Args:
        classes: number of classes of the images.
        size: their (height, width).
        channels: of the images.
        seed: of the run.
        initial: the trained model that the section names, if it names one.
        samples: images it drew, the classes in turn, in [-1, 1], on its device, if the section asks for any.
    """

    classes: int
    size: tuple[int, int]
    channels: int
    seed: int = 0
    initial: NetworkDenoiser | None = None
    samples: Images | None = None

    def require_initial(self, name: str) -> NetworkDenoiser:
        """The model to begin from. Raises ValueError where there is none."""
        if self.initial is None:
            raise ValueError(f"objective {name!r} needs the trained model that it names")
        return self.initial


Noise = Float[Tensor, "batch noises channels height width"]
D = TypeVar("D", bound="Draws")


@dataclass(frozen=True)
class Draws:
    """What is random about each image of a batch, its noise aside.

    ``t`` (batch,): times in (0, 1], float64.
    """

    t: Coefficient

    def part(self: D, rows: slice | Tensor) -> D:
        """The draws of some of the images: those rows of every tensor."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v[rows] for k, v in values.items() if isinstance(v, Tensor)})


class Objective(ABC, Generic[D]):
    """A training objective.

    The trainer calls :meth:`draw` once for a whole batch, draws the noise, and calls :meth:`loss` for each
    part of the batch that it computes at once, on whatever process.
    """

    noises: ClassVar[int] = 1
    """Standard normal noises that each image needs."""

    group: ClassVar[int] = 1
    """Neighbouring images of a batch that are compared with each other. They are never put into different
    parts, so that the loss depends neither on gradient accumulation nor on the number of processes."""

    @abstractmethod
    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> D:
        """Draw times, and whatever else is random, for ``count`` images.

        Args:
            count: images in the batch, over all processes.
            schedule: the noise schedule, whose discrete times are kept to.
            generator: where all random numbers come from, on the CPU.
            progress: share of the training steps that are done, in [0, 1].
        """

    @abstractmethod
    def loss(
        self, denoiser: NetworkDenoiser, x0: Images, labels: Labels | None, draws: D, noise: Noise
    ) -> Float[Tensor, " batch"]:
        """The loss of each image.

        Args:
            denoiser: the network that is trained.
            x0: clean images in [-1, 1], (batch, channels, height, width).
            labels: their classes (batch,), or None.
            draws: what :meth:`draw` gave for these images.
            noise: standard normal, (batch, noises, channels, height, width), on the images' device.
        """

    def modules(self) -> dict[str, nn.Module]:
        """Networks that are trained beside the main one, by name. They are placed, averaged over processes,
        guarded against non-finite gradients, saved and resumed like it. Their parameters belong in
        :meth:`param_groups`, and every process has to initialize them alike (``utils.randomness.seeded``)."""
        return {}

    def param_groups(self, network: nn.Module) -> list[dict[str, Any]] | None:
        """Parameter groups for Adam, where the objective asks for its own optimizer; None where it takes the
        one of the training settings. ``lr_scale`` of a group multiplies the learning rate."""
        return None
