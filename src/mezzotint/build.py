"""From a recipe to the parts it names."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor, nn

from . import pixels
from .config import Recipe
from .data import Frame, ImageData, Split, open_data
from .diffusion.adversarial import Adversarial
from .diffusion.consistency import Consistency
from .diffusion.denoiser import Clipped, Guided, NetworkDenoiser
from .diffusion.discriminative import Discriminative
from .diffusion.objectives import LOSSES, TIMES, WEIGHTINGS, Curriculum, Objective
from .diffusion.parametrizations import PARAMETRIZATIONS
from .diffusion.schedules import SCHEDULES, Schedule
from .nets import NETS, Critic
from .weights import ImageSpec


def load_data(recipe: Recipe, split: Split = "train") -> ImageData:
    """The recipe's images, at the recipe's size."""
    section = recipe.data
    frame = Frame(
        size=(section.size, section.columns or section.size) if section.size else None,
        crop=section.crop,
        fit=section.fit,
        channels=section.channels,
        background=section.background,
    )
    folder = Path(section.folder).expanduser() if section.folder else None
    return open_data(section.name, split, folder=folder, frame=frame, broken=section.broken)


def spec_of(data: ImageData) -> ImageSpec:
    """What a network must know of its data."""
    return ImageSpec(data.size, data.channels, data.classes)


def make_network(recipe: Recipe, spec: ImageSpec) -> nn.Module:
    """The recipe's network, freshly initialized from torch's global generator.

    Raises ValueError where the images do not fit it.
    """
    settings: dict[str, Any] = {
        field.name: getattr(recipe.net, field.name) for field in dataclasses.fields(recipe.net)
    }
    kind = NETS[settings.pop("name")]
    return kind(size=spec.size, channels=spec.channels, num_classes=len(spec.classes), **settings)


def make_schedule(recipe: Recipe) -> Schedule:
    """The recipe's noise schedule."""
    return SCHEDULES[recipe.diffusion.schedule](recipe.diffusion.timesteps)


def make_denoiser(recipe: Recipe, network: nn.Module) -> NetworkDenoiser:
    """A network as a denoiser."""
    parametrization = PARAMETRIZATIONS[recipe.diffusion.parametrization]
    return NetworkDenoiser(network, make_schedule(recipe), parametrization)


def make_objective(recipe: Recipe, spec: ImageSpec) -> Objective:
    """The recipe's training objective."""
    section = recipe.diffusion
    return Objective(
        loss=LOSSES[section.loss],
        weighting=WEIGHTINGS[section.weighting],
        times=TIMES[section.times],
        curriculum=Curriculum(start=section.curriculum_start, until=section.curriculum_until),
        label_dropout=section.label_dropout,
        null_label=len(spec.classes),
    )


def make_consistency(recipe: Recipe, teacher: NetworkDenoiser) -> Consistency:
    """The recipe's objective after a teacher, who is followed as images are sampled from it."""
    section = recipe.distillation
    guided = Clipped(Guided(teacher, section.guidance, section.interval))
    times = TIMES[recipe.diffusion.times]
    return Consistency(teacher=guided, stages=section.stages, times=times)


def make_discriminative(
    recipe: Recipe,
    spec: ImageSpec,
    reference: NetworkDenoiser,
    rivals: UInt8[Tensor, "n channels height width"],
) -> Discriminative:
    """The recipe's objective after a reference, which drew ``rivals``, the classes in turn."""
    section = recipe.refinement
    return Discriminative(
        denoising=make_objective(recipe, spec),
        reference=reference,
        rivals=pixels.to_float(rivals),
        classes=len(spec.classes),
        beta=section.beta,
        alpha=section.alpha,
        confused=section.confused,
    )


def make_adversarial(recipe: Recipe, spec: ImageSpec) -> Adversarial:
    """The recipe's objective with a critic, freshly initialized from torch's global generator."""
    section = recipe.refinement
    critic = Critic(
        size=spec.size, channels=spec.channels, num_classes=len(spec.classes), width=section.critic
    )
    return Adversarial(
        critic=critic,
        noise=section.noise,
        penalty=section.penalty,
        head_start=section.head_start,
    )


def objective_of(
    recipe: Recipe,
    spec: ImageSpec,
    earlier: NetworkDenoiser | None = None,
    rivals: UInt8[Tensor, "n channels height width"] | None = None,
) -> Objective | Consistency | Discriminative | Adversarial:
    """What a run is trained for: images; to be as an ``earlier`` model in fewer steps; to be better than it
    and the ``rivals`` it drew; or, if it is a few-step model, to pass before a critic."""
    if earlier is None:
        return make_objective(recipe, spec)
    if recipe.refinement.reference is None:
        return make_consistency(recipe, earlier)
    if recipe.few_step:
        return make_adversarial(recipe, spec)
    assert rivals is not None
    return make_discriminative(recipe, spec, earlier, rivals)
