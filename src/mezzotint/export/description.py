"""What a program without this package must know of a model to sample from it, as JSON can say it."""

from typing import Any, Literal

import torch

from .. import __version__
from ..diffusion.schedules import Flow, Schedule
from ..model import Model
from ..recipe.toml import to_toml
from ..registry import GRIDS, PARAMETRIZATIONS
from ..samplers import make_grid
from ..samplers.grids import is_list

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100)
"""Step counts whose time grids stand in the metadata, beside that of the recipe."""

LIMITS = {
    "count": (1, 100),
    "frames": (2, 100),
    "guidance": (0, 20),
    "strength": (0, 1),
    "pictures": (1, 100),
}
"""What a visitor of a page may choose: the least and the most. Pictures are those of all classes together."""

MOST_SEED = 2**63 - 1

LabelInput = Literal["index", "weights"]
"""Labels as int64, the number of classes standing for none, or as a row of weights of the classes."""


def describe(model: Model, labels: LabelInput = "index") -> dict[str, Any]:
    """What a sampler needs to know of a model, as JSON can say it.

    Args:
        model: the model.
        labels: how the graph takes labels.

    Returns:
        ``timesteps``: the factor from t to the input ``timestep``; ``parametrization``: what the network
        predicts; ``knots``: times with alpha and sigma, which are linear in between for the flow and are not
        defined in between for tables; ``grids``: times by number of steps; ``sampling``: the recipe's
        options; classes, shape, and the recipe.
    """
    recipe = model.recipe
    schedule = model.denoiser.schedule
    return {
        "format": 1,
        "version": __version__,
        "name": recipe.name,
        "shape": list(model.spec.shape),
        "classes": list(model.spec.classes),
        "labels": labels if model.spec.classes else None,
        "no_label": len(model.spec.classes),
        "timesteps": schedule.timesteps or 1000,
        "discrete": schedule.timesteps is not None,
        "few_step": recipe.few_step,
        "parametrization": recipe.diffusion.parametrization,
        "knots": _knots(schedule),
        "grids": _grids(model),
        "sampling": {
            "sampler": recipe.sampling.sampler,
            "steps": recipe.sampling.steps,
            "grid": recipe.sampling.grid,
            "guidance": recipe.sampling.guidance,
            "interval": list(recipe.sampling.interval),
            "clip": recipe.sampling.clip,
        },
        "recipe": to_toml(recipe),
    }


def _knots(schedule: Schedule) -> dict[str, list[float]]:
    """Times with their noise levels: all there are, or both ends of the flow."""
    if schedule.timesteps is not None:
        times = torch.arange(schedule.timesteps + 1, dtype=torch.float64) / schedule.timesteps
    elif isinstance(schedule, Flow):
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    else:
        times = torch.linspace(0, 1, 1001, dtype=torch.float64)
    level = schedule.level(times)
    return {"t": times.tolist(), "alpha": level.alpha.tolist(), "sigma": level.sigma.tolist()}


def _grids(model: Model) -> dict[str, list[float]]:
    """Time grids by number of steps."""
    sampling = model.recipe.sampling
    schedule = model.denoiser.schedule
    grids = {str(sampling.steps): make_grid(sampling.grid, schedule, sampling.steps).tolist()}
    name = next(iter(GRIDS)) if is_list(sampling.grid) else sampling.grid
    for steps in STEPS:
        if str(steps) not in grids and steps <= (schedule.timesteps or steps):
            grids[str(steps)] = make_grid(name, schedule, steps).tolist()
    return grids


def known_parametrization(name: str) -> bool:
    """Whether programs that read the metadata know a parametrization by its name alone."""
    return name in ("eps", "x0", "v", "flow") and name in PARAMETRIZATIONS
