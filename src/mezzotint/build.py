"""From the sections of a recipe to the parts they name."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from .data import Frame, ImageData, ImageSpec, Split, open_data
from .diffusion.denoiser import Clipped, Guided, NetworkDenoiser
from .diffusion.parametrizations import PARAMETRIZATIONS
from .diffusion.schedules import SCHEDULES, Schedule
from .nets import NETS, Critic
from .objectives import (
    DDO,
    LOSSES,
    TIMES,
    WEIGHTINGS,
    AdversarialTuning,
    ConsistencyTuning,
    Curriculum,
    DenoisingObjective,
    Objective,
)
from .recipe.objectives import AdversarialRefinement, Denoising, Distillation, Refinement
from .recipe.schema import Data, Diffusion, Lean, Recipe, UNet
from .utils import pixels
from .utils.randomness import Stream, derived_seed

Samples = UInt8[Tensor, "n channels height width"]


def load_data(section: Data, split: Split = "train") -> ImageData:
    """The images of ``[data]``, at the size it asks for."""
    frame = Frame(
        size=(section.size, section.columns or section.size) if section.size else None,
        crop=section.crop,
        fit=section.fit,
        channels=section.channels,
        background=section.background,
    )
    folder = Path(section.folder).expanduser() if section.folder else None
    return open_data(section.name, split, folder=folder, frame=frame, broken=section.broken)


def make_network(section: Lean | UNet, spec: ImageSpec) -> nn.Module:
    """The network of ``[net]``, freshly initialized from torch's global generator.

    Raises ValueError where the images do not fit it.
    """
    settings: dict[str, Any] = {
        field.name: getattr(section, field.name) for field in dataclasses.fields(section)
    }
    kind = NETS[settings.pop("name")]
    return kind(size=spec.size, channels=spec.channels, num_classes=len(spec.classes), **settings)


def make_schedule(section: Diffusion) -> Schedule:
    """The noise schedule of ``[diffusion]``."""
    return SCHEDULES[section.schedule](section.timesteps)


def make_denoiser(section: Diffusion, network: nn.Module) -> NetworkDenoiser:
    """A network as a denoiser of ``[diffusion]``."""
    parametrization = PARAMETRIZATIONS[section.parametrization]
    return NetworkDenoiser(network, make_schedule(section), parametrization)


def new_denoiser(recipe: Recipe, spec: ImageSpec) -> NetworkDenoiser:
    """The recipe's denoiser, its network initialized from the recipe's seed."""
    with _seeded(recipe.seed, 0):
        network = make_network(recipe.net, spec)
    return make_denoiser(recipe.diffusion, network)


@contextmanager
def _seeded(seed: int, network: int) -> Iterator[None]:
    """Seed torch's global generator with the stream of initial weights for the block, and put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, Stream.INIT, network))
        yield


def make_objective(
    recipe: Recipe,
    spec: ImageSpec,
    initial: NetworkDenoiser | None = None,
    samples: Samples | None = None,
) -> Objective[Any]:
    """The objective of ``[objective]``.

    Args:
        recipe: the whole of it: the seed initializes a critic.
        spec: of the images.
        initial: the trained model that the objective names, if it names one.
        samples: what it drew, the classes in turn, for a refinement.

    Raises:
        ValueError: where the objective needs one of these and has none.
    """
    section = recipe.objective
    if isinstance(section, Denoising):
        return make_denoising(section, spec)
    if initial is None:
        raise ValueError(f"objective {section.name!r} needs the trained model that it names")
    if isinstance(section, AdversarialRefinement):
        return _adversarial(section, spec, recipe.seed)
    if isinstance(section, Distillation):
        guided = Clipped(Guided(initial, section.guidance, section.interval))
        return ConsistencyTuning(teacher=guided, stages=section.stages, times=TIMES[section.times])
    if samples is None:
        raise ValueError("objective 'refinement' needs images of the model that it names")
    return _ddo(section, spec, initial, samples)


def make_denoising(section: Denoising, spec: ImageSpec) -> DenoisingObjective:
    """The ordinary objective."""
    return DenoisingObjective(
        loss_function=LOSSES[section.loss],
        weighting=WEIGHTINGS[section.weighting],
        times=TIMES[section.times],
        curriculum=Curriculum(start=section.curriculum_start, until=section.curriculum_until),
        label_dropout=section.label_dropout,
        null_label=len(spec.classes),
    )


def _ddo(section: Refinement, spec: ImageSpec, reference: NetworkDenoiser, samples: Samples) -> DDO:
    device = next(reference.network.parameters()).device
    denoising = DenoisingObjective(
        weighting=WEIGHTINGS[section.weighting],
        times=TIMES[section.times],
        label_dropout=section.label_dropout,
        null_label=len(spec.classes),
    )
    return DDO(
        denoising=denoising,
        reference=reference,
        samples=pixels.to_float(samples).to(device),
        classes=len(spec.classes),
        beta=section.beta,
        alpha=section.alpha,
        wrong_labels=section.wrong_labels if len(spec.classes) > 1 else 0.0,
    )


def _adversarial(section: AdversarialRefinement, spec: ImageSpec, seed: int) -> AdversarialTuning:
    with _seeded(seed, 1):
        critic = Critic(
            size=spec.size,
            channels=spec.channels,
            num_classes=len(spec.classes),
            width=section.critic,
        )
    return AdversarialTuning(
        critic=critic,
        critic_rate=section.critic_rate,
        instance_noise=section.instance_noise,
        gradient_penalty=section.gradient_penalty,
        head_start=section.head_start,
    )
