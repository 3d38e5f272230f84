"""How an exported model samples, from the words of its recipe. This needs no diffusers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from ...diffusion.parametrizations import Parametrization, eps, flow, v, x0
from ...diffusion.schedules import (
    Flow,
    Schedule,
    cosine,
    linear,
    original_cosine,
    original_linear,
)
from ...recipe.rules import check_sampling
from ...registry import with_options
from ...samplers.consistency import Multistep
from ...samplers.ddim import DDIM
from ...samplers.ddpm import DDPM
from ...samplers.dpm import DPMSolver
from ...samplers.grids import Grid, karras, linspace, listed, log_snr, quadratic, trailing
from ...samplers.heun import Heun
from ...samplers.step import Sampler
from ...utils.numbers import whole_number

SCHEDULES: dict[str, Callable[[int | None], Schedule]] = {
    "linear": linear,
    "cosine": cosine,
    "original-linear": original_linear,
    "original-cosine": original_cosine,
    "flow": Flow,
}

PARAMETRIZATIONS: dict[str, Parametrization] = {"eps": eps, "x0": x0, "v": v, "flow": flow}

SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "ddpm": DDPM,
    "ddim": DDIM,
    "dpm++": DPMSolver,
    "heun": Heun,
    "consistency": Multistep,
}

GRIDS: dict[str, Callable[..., Grid]] = {
    "linspace": linspace,
    "trailing": trailing,
    "quadratic": quadratic,
    "log-snr": log_snr,
    "karras": karras,
}


@dataclass(frozen=True)
class Settings:
    """How images are drawn; see ``mezzotint sample --help``.

    Args:
        sampler: name and options of the sampler.
        steps: number of steps.
        grid: name and options of the time grid, or its times.
        guidance: scale of classifier-free guidance.
        interval: times between which guidance acts.
        clip: whether predicted images are kept within the range of images.
    """

    sampler: str
    steps: int
    grid: str
    guidance: float
    interval: tuple[float, float]
    clip: bool

    @classmethod
    def of(
        cls, recipe: Mapping[str, Any], few_step: bool, changes: Mapping[str, Any]
    ) -> "Settings":
        """The settings of a recipe, with changes.

        Args:
            recipe: the recipe as nested dictionaries.
            few_step: whether the model jumps to the end of a path.
            changes: values that take the place of the recipe's, unless they are None.

        Returns:
            The settings.

        Raises:
            ValueError: if they contradict each other or the model.
        """
        options = {name: value for name, value in changes.items() if value is not None}
        values = dict(recipe["sampling"]) | options
        values.pop("precision", None)  # that of the pipeline's weights and inputs
        values["steps"] = whole_number(values["steps"], "steps", 1)
        low, high = values.pop("interval")
        settings = cls(interval=(low, high), **values)
        if not 0 <= settings.guidance < math.inf:
            raise ValueError(f"guidance = {settings.guidance}: it must be at least 0")
        check_sampling(settings, recipe["diffusion"].get("timesteps"), few_step)
        return settings


def make_schedule(recipe: Mapping[str, Any]) -> Schedule:
    """The noise schedule of a recipe, which is nested dictionaries."""
    section = recipe["diffusion"]
    return SCHEDULES[section["schedule"]](section.get("timesteps"))


def make_denoiser(
    network: nn.Module, schedule: Schedule, recipe: Mapping[str, Any], settings: Settings
) -> Denoiser:
    """The denoiser of a recipe, guided and clipped.

    Args:
        network: the network.
        schedule: the noise schedule.
        recipe: the recipe as nested dictionaries.
        settings: guidance and clipping.

    Returns:
        The denoiser.
    """
    parametrization = PARAMETRIZATIONS[recipe["diffusion"]["parametrization"]]
    denoiser = NetworkDenoiser(network, schedule, parametrization)
    guided = Guided(denoiser, settings.guidance, settings.interval)
    return Clipped(guided) if settings.clip else guided


def make_sampler(settings: Settings) -> Sampler:
    """The sampler of the settings.

    Raises:
        ValueError: if there is none of that name, or it has no such option.
    """
    _check_name("sampler", settings.sampler, SAMPLERS)
    return with_options("sampler", SAMPLERS, settings.sampler)()


def make_grid(settings: Settings, schedule: Schedule) -> Grid:
    """The time grid of the settings: ``steps + 1`` decreasing times, from 1 to 0.

    Raises:
        ValueError: if there is none of that name, or it has no such option, or times are out of range.
    """
    if "," in settings.grid and ":" not in settings.grid:
        return listed(schedule, settings.steps, settings.grid)
    _check_name("grid", settings.grid, GRIDS)
    return with_options("grid", GRIDS, settings.grid)(schedule, settings.steps)


def _check_name(kind: str, text: str, parts: Mapping[str, Any]) -> None:
    if text.partition(":")[0].strip() not in parts:
        raise ValueError(f"{kind} = {text!r}: it is one of {', '.join(parts)}")
