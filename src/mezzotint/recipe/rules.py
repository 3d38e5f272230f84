"""Validation of recipes across fields.

The functions take sections of :mod:`schema`. Their type is Any, because that module imports this one.
"""

from difflib import get_close_matches
from typing import Any

from ..registry import DATASETS, FORMATS
from .fields import RecipeError

TABLES = ("linear", "cosine", "original-linear", "original-cosine")
"""Schedules of this package that are tables. ``build`` checks what other schedules need."""


def check_data_name(name: str) -> None:
    """Check the name of a data set.

    Args:
        name: A name of the registry DATASETS, or ``FORMAT:PATH`` with a format of FORMATS.

    Raises:
        RecipeError: If it is neither.
    """
    kind, colon, path = name.partition(":")
    if name in DATASETS or (colon and kind in FORMATS and path):
        return
    known = [*DATASETS, *(f"{kind}:{'NAME' if kind == 'hf' else 'PATH'}" for kind in FORMATS)]
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise RecipeError(f"data.name = {name!r}: it is one of {', '.join(known)}.{hint}")


def check_interval(name: str, interval: tuple[float, float]) -> None:
    """Check that an interval is not empty.

    Args:
        name: Key of the interval, for the error message.
        interval: (low, high), with low < high.

    Raises:
        RecipeError: If it is empty.
    """
    if not interval[0] < interval[1]:
        raise RecipeError(f"{name} = {list(interval)} is empty: write low, high")


def check_diffusion(diffusion: Any) -> None:
    """Check that schedule, time steps and parametrization go together.

    Args:
        diffusion: Section ``[diffusion]``.

    Raises:
        RecipeError: If a table lacks its number of time steps, or if eps is predicted at pure noise, from
            where it does not determine the image.
    """
    if diffusion.schedule in TABLES and diffusion.timesteps is None:
        raise RecipeError(
            f"diffusion.schedule = {diffusion.schedule!r} is a table:"
            " it needs diffusion.timesteps, such as 1000"
        )
    if diffusion.schedule == "flow" and diffusion.parametrization == "eps":
        raise RecipeError(
            "diffusion.parametrization = 'eps' cannot go with diffusion.schedule = 'flow', which"
            " begins at pure noise, where eps says nothing of the image; use 'flow', 'v' or 'x0'"
        )


def check_objective(objective: Any) -> None:
    """Check that an objective has its initial model, and that each option has an effect.

    Args:
        objective: Section ``[objective]``.

    Raises:
        RecipeError: If the initial model is missing, or an option is out of range or without effect.
    """
    if objective.initial_key is not None and not objective.initial_model:
        raise RecipeError(
            f"objective.name = {objective.name!r} needs objective.{objective.initial_key}, the model to"
            " begin from; `mezzotint distill MODEL` and `mezzotint refine MODEL` make such recipes"
        )
    if objective.name == "distillation":
        check_interval("objective.interval", objective.interval)
    if objective.name == "adversarial" and objective.head_start == 1:
        raise RecipeError(
            "objective.head_start = 1: the critic would learn alone until the end, and the model nothing; say"
            " less than 1"
        )
    if objective.name != "denoising":
        return
    if objective.curriculum_start == 1 and objective.curriculum_until != 0.5:
        raise RecipeError(
            f"objective.curriculum_until = {objective.curriculum_until} does nothing while"
            " objective.curriculum_start = 1, which is off: say a start below 1"
        )


def check_training(training: Any, objective: Any) -> None:
    """Check that training options agree with each other and with the objective.

    Args:
        training: Section ``[training]``.
        objective: Section ``[objective]``.

    Raises:
        RecipeError: If two options contradict each other.
    """
    if training.accumulate > training.batch:
        raise RecipeError(
            f"training.accumulate = {training.accumulate} would cut a batch of"
            f" {training.batch} into parts smaller than an image"
        )
    if training.optimizer == "adam" and training.weight_decay:
        raise RecipeError(
            f"training.weight_decay = {training.weight_decay}: adam has none; use adamw or muon"
        )
    if objective.optimizer not in (None, training.optimizer):
        raise RecipeError(
            f"training.optimizer = {training.optimizer!r}: objective {objective.name!r} is trained with"
            f" {objective.optimizer!r}"
        )
    if objective.name == "adversarial" and training.batch % 2:
        raise RecipeError(
            f"training.batch = {training.batch}: images are compared in pairs here, so it must be even"
        )


def check_sampling(sampling: Any, timesteps: int | None, few_step: bool) -> None:
    """Check that sampling options agree with each other, the schedule and the model.

    Args:
        sampling: Section ``[sampling]``.
        timesteps: Number of discrete time steps of the schedule; None for continuous time.
        few_step: Whether the model is distilled.

    Raises:
        RecipeError: If two options contradict each other.
    """
    if timesteps is not None and sampling.steps > timesteps:
        raise RecipeError(
            f"sampling.steps = {sampling.steps} is more than the {timesteps} time steps there are;"
            f" use 1 to {timesteps}"
        )
    sampler = sampling.sampler.partition(":")[0]
    if few_step and sampler != "consistency":
        raise RecipeError(
            f"sampling.sampler = {sampling.sampler!r}: a distilled model jumps to the end of a path, which"
            " only sampler 'consistency' does"
        )
    if sampler == "consistency" and not few_step:
        raise RecipeError(
            "sampling.sampler = 'consistency' is for distilled models: what others predict is an average"
            " over images; make one with `mezzotint distill`, or use dpm++, heun, ddim or ddpm"
        )
    check_interval("interval", sampling.interval)


def check_data(data: Any) -> None:
    """Check that a data set is known, and that each option has an effect.

    Args:
        data: Section ``[data]``.

    Raises:
        RecipeError: If the name is unknown, or an option is out of range or without effect.
    """
    check_data_name(data.name)
    if data.channels == 2:
        raise RecipeError("data.channels = 2: images are grey (1) or in colour (3)")
    if data.columns is not None and data.size is None:
        raise RecipeError(f"data.columns = {data.columns} needs data.size, the height")
    if data.fit != "crop" and data.size is None:
        raise RecipeError(f"data.fit = {data.fit!r} does nothing without data.size, the height")
    if data.folder is not None and ":" in data.name:
        raise RecipeError(
            f"data.folder is for named data sets; data.name = {data.name!r} has its path"
        )
