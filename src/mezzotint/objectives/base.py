"""The interface of training objectives: random draws for a batch, and the loss of each image."""

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
    """What an objective may need in addition to its section of the recipe.

    Args:
        classes: number of classes of the images; 0 for none.
        size: (height, width) of the images, in pixels.
        channels: channels of the images.
        seed: seed of the run.
        initial: the trained model that the section names, if it names one.
        samples: images sampled from that model, the classes in turn, in [-1, 1], on its device, if the
            section needs them.
    """

    classes: int
    size: tuple[int, int]
    channels: int
    seed: int = 0
    initial: NetworkDenoiser | None = None
    samples: Images | None = None

    def require_initial(self, name: str) -> NetworkDenoiser:
        """The model to start from, for the objective ``name``.

        Raises:
            ValueError: if there is none.
        """
        if self.initial is None:
            raise ValueError(f"objective {name!r} needs the trained model that it names")
        return self.initial


Noise = Float[Tensor, "batch noises channels height width"]
D = TypeVar("D", bound="Draws")


@dataclass(frozen=True)
class Draws:
    """The random numbers of each image of a batch, except its noise.

    Args:
        t: times (batch,) in (0, 1], float64.
    """

    t: Coefficient

    def part(self: D, rows: slice | Tensor) -> D:
        """The draws of some of the images: these rows of every tensor."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v[rows] for k, v in values.items() if isinstance(v, Tensor)})


class Objective(ABC, Generic[D]):
    """A training objective.

    The trainer calls :meth:`draw` once for the batch of all processes, draws the noise, and calls
    :meth:`loss` for each part of the batch that a process computes at once.
    """

    noises: ClassVar[int] = 1
    """Number of standard normal noises that each image needs."""

    group: ClassVar[int] = 1
    """Number of neighbouring images of a batch that are compared with each other.

    They always are in the same part, so that the loss depends neither on gradient accumulation nor on the
    number of processes.
    """

    @abstractmethod
    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> D:
        """Draw times, and all other random numbers except the noise.

        Args:
            count: images in the batch, over all processes.
            schedule: the noise schedule; times are rounded up to its discrete times, if it has them.
            generator: source of all random numbers, on the CPU.
            progress: share of the training steps that are done, in [0, 1].

        Returns:
            the draws of ``count`` images.
        """

    @abstractmethod
    def loss(
        self, denoiser: NetworkDenoiser, x0: Images, labels: Labels | None, draws: D, noise: Noise
    ) -> Float[Tensor, " batch"]:
        """The loss of each image.

        Args:
            denoiser: the network that is trained.
            x0: clean images (batch, channels, height, width) in [-1, 1].
            labels: their classes (batch,), or None.
            draws: from :meth:`draw`, for these images.
            noise: standard normal (batch, noises, channels, height, width), on the device of the images.

        Returns:
            the losses (batch,).
        """

    def modules(self) -> dict[str, nn.Module]:
        """Further networks to train, by name.

        Like the main network they are moved to the device, saved and resumed; their gradients are averaged
        over processes and checked to be finite. Their parameters belong in :meth:`param_groups`, and
        every process must initialize them with the same values (``utils.randomness.seeded``).
        """
        return {}

    def param_groups(self, network: nn.Module) -> list[dict[str, Any]] | None:
        """Parameter groups for Adam, or None to use the optimizer of the training settings.

        The key ``lr_scale`` of a group multiplies the learning rate.
        """
        return None
