"""Construction of the parts that the sections of a recipe describe."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .data import Frame, ImageData, ImageSpec, Split, open_data
from .diffusion.denoiser import NetworkDenoiser
from .diffusion.parametrizations import determinant
from .diffusion.schedules import Schedule
from .recipe.schema import Data, Diffusion, Recipe
from .registry import PARAMETRIZATIONS, SCHEDULES, load
from .utils import pixels
from .utils.console import printable
from .utils.device import place
from .utils.randomness import Stream, seeded

if TYPE_CHECKING:
    from .objectives import Objective

Samples = UInt8[Tensor, "n channels height width"]


def load_data(section: Data, split: Split = "train") -> ImageData:
    """Load the images of ``[data]``.

    Args:
        section: the section ``[data]``.
        split: "train" or "test".

    Returns:
        the images, with the size and channels of the section.
    """
    frame = Frame(
        size=(section.size, section.columns or section.size) if section.size else None,
        crop=section.crop,
        fit=section.fit,
        channels=section.channels,
        background=section.background,
    )
    folder = Path(section.folder).expanduser() if section.folder else None
    return open_data(section.name, split, folder=folder, frame=frame, broken=section.broken)


def make_network(section: Any, spec: ImageSpec) -> nn.Module:
    """The network of ``[net]``, initialized from torch's global generator.

    Args:
        section: the section ``[net]``.
        spec: shape and classes of the images.

    Returns:
        the network, on the CPU.

    Raises:
        ValueError: if the images do not fit the network.
    """
    options = {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}
    del options["name"]
    network: nn.Module = load(section.network)(
        size=spec.size, channels=spec.channels, num_classes=len(spec.classes), **options
    )
    return network


def make_schedule(section: Diffusion) -> Schedule:
    """The noise schedule of ``[diffusion]``."""
    return SCHEDULES[section.schedule](section.timesteps)


def make_denoiser(section: Diffusion, network: nn.Module) -> NetworkDenoiser:
    """The denoiser of ``[diffusion]`` for a network.

    Args:
        section: the section ``[diffusion]``.
        network: the network.

    Returns:
        the denoiser.

    Raises:
        ValueError: if the network's output at the noisiest time does not determine the clean image.
    """
    schedule = make_schedule(section)
    parametrization = PARAMETRIZATIONS[section.parametrization]
    noisiest = schedule.level(torch.tensor(1.0, dtype=torch.float64))
    if determinant(parametrization, noisiest).abs() < 1e-12:
        raise ValueError(
            f"diffusion.parametrization = {section.parametrization!r} says nothing of the image at the"
            f" noisiest time of diffusion.schedule = {section.schedule!r}; use 'v' or 'x0'"
        )
    return NetworkDenoiser(network, schedule, parametrization)


def new_denoiser(recipe: Recipe, spec: ImageSpec) -> NetworkDenoiser:
    """The denoiser of a recipe, with a network initialized from the recipe's seed.

    Args:
        recipe: the recipe.
        spec: shape and classes of the images.

    Returns:
        the denoiser, on the CPU.

    Raises:
        ValueError: if the images do not fit the network.
    """
    with seeded(recipe.seed, Stream.INIT, 0):
        network = make_network(recipe.net, spec)
    return make_denoiser(recipe.diffusion, network)


def trained_denoiser(
    recipe: Recipe, spec: ImageSpec, tensors: Mapping[str, Tensor], device: torch.device
) -> NetworkDenoiser:
    """Make the denoiser of a teacher, or of a model to start training from.

    Args:
        recipe: recipe of the model.
        spec: shape and classes of the images.
        tensors: weights by name, which are copied.
        device: device of the denoiser.

    Returns:
        the denoiser, in evaluation mode and without gradients.

    Raises:
        ValueError: if the weights do not fit the network.
    """
    try:
        with shapes_alone():  # a recipe may claim a network that no memory holds
            check_weights(make_network(recipe.net, spec), tensors)
    except RuntimeError as error:
        raise ValueError(f"the network of the recipe cannot be made: {error}") from error
    with torch.random.fork_rng(devices=[]):  # random initial weights, which are overwritten
        network = make_network(recipe.net, spec)
    network.load_state_dict(tensors)
    network = place(network.eval().requires_grad_(False), device)
    return make_denoiser(recipe.diffusion, network)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Networks that are made in the block have shapes and no values, so that they take no memory."""
    with torch.device("meta"), _Uninitialized():
        yield


class _Uninitialized(TorchFunctionMode):
    """Leaves out the initialization of weights, which on the meta device takes a second of imports."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def check_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of a network.

    Args:
        network: the network.
        tensors: weights by name.

    Raises:
        ValueError: naming the first one that is missing, or has another name, shape or kind of numbers.
    """
    expected = network.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        its = _shape_and_kind(expected.get(name))
        actual = _shape_and_kind(tensors.get(name))
        if its != actual:
            raise ValueError(
                f"the weights do not fit the network: {printable(repr(name))} is {actual} in the weights,"
                f" {its} in the network"
            )


def _shape_and_kind(tensor: Tensor | None) -> str:
    """Of a tensor, in words."""
    if tensor is None:
        return "missing"
    kind = "numbers" if tensor.is_floating_point() else f"{tensor.dtype}"
    return f"{list(tensor.shape)} {kind}"


def make_objective(
    section: Any,
    spec: ImageSpec,
    *,
    seed: int = 0,
    initial: NetworkDenoiser | None = None,
    samples: Samples | None = None,
) -> "Objective[Any]":
    """The objective of ``[objective]``.

    Args:
        section: the section ``[objective]``.
        spec: shape and classes of the images.
        seed: seed of the run.
        initial: the trained model that the section names, if it names one.
        samples: uint8 samples of that model (n, channels, height, width), the classes in turn, if the section
            needs them.

    Returns:
        the objective.

    Raises:
        ValueError: if the objective needs a model or samples that are missing.
    """
    from .objectives import Context  # sampling starts faster without

    images = None
    if samples is not None and initial is not None:
        images = pixels.to_float(samples).to(next(initial.network.parameters()).device)
    context = Context(
        classes=len(spec.classes),
        size=spec.size,
        channels=spec.channels,
        seed=seed,
        initial=initial,
        samples=images,
    )
    objective: Objective[Any] = load(section.objective)(section, context)
    return objective
