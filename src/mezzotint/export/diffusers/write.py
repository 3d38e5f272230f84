"""A model as a folder that diffusers loads. Nothing here needs diffusers.

The folder brings the code that samples from it. It is not written a second time: :mod:`.bundle` puts
definitions of this package's own modules together (networks, schedules, samplers), so that the same lines
draw the same pixels, and whoever reads them there reads what is here. Where diffusers looks for code decides
the number of files: the pipeline's is beside ``model_index.json``, that of a component in the component's
folder, without which it could not be loaded from the Hub. The code is the same for all models.

Weights are those of training, so that they come back unchanged: kernels are standardized when images are
drawn.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ... import __version__, weights
from ...build import make_schedule
from ...data.images import ImageSpec
from ...diffusion.schedules import Table
from ...loading import find_weights
from ...recipe.fields import RecipeError
from ...recipe.schema import Recipe
from ...recipe.toml import to_dict
from ...recipe.versions import FORMAT
from ...utils.files import read_bytes, whole_folder
from ...utils.json_text import parse_json
from ...utils.output import replaced_folder
from .bundle import bundle
from .sampling import GRIDS, PARAMETRIZATIONS, SAMPLERS, SCHEDULES

INDEX = "model_index.json"
CONFIG = "unet/config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
CODE = {
    "pipeline.py": "pipeline",
    "unet/mezzotint_network.py": "network",
    "scheduler/mezzotint_scheduler.py": "scheduler",
}
"""Files of code, and the module beside this one that each is made from."""

FILES = (INDEX, CONFIG, WEIGHTS, SCHEDULER, *CODE)

PIPELINE = "MezzotintPipeline"
PREFIX = "network."
"""What the names of weights begin with, because the network is a part of diffusers' model."""

NETWORKS = {"lean": "mezzotint.nets:Lean", "unet": "mezzotint.nets:UNet"}
"""Networks whose code can be exported, and where they are."""


def export_diffusers(model: str | Path, out: Path) -> None:
    """Write a model as a folder that diffusers loads.

    Args:
        model: a run's folder, a checkpoint, a weights file, or the name of a shipped model. Its weights are
            read from the file, because those of a loaded model are prepared for sampling.
        out: the folder; an earlier export in it is replaced.

    Raises:
        FileNotFoundError: if there is no model.
        ValueError: if the model is damaged or has parts that are not of this package, or the folder holds
            something else or cannot be replaced; nothing is written then.
    """
    file = find_weights(model)
    tensors, recipe, spec = weights.read(file)
    _check_parts(recipe)
    out = replaced_folder(out, FILES, file.stat().st_size)
    _check_folder(out)
    with whole_folder(out.resolve()) as folder:
        for name, module in CODE.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(_code(module), encoding="utf-8")
        _write_json(folder / INDEX, _index(recipe, spec))
        _write_json(folder / CONFIG, _network_config(recipe, spec))
        _write_json(folder / SCHEDULER, _scheduler_config(recipe))
        prefixed = {f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}
        weights.save(folder / WEIGHTS, prefixed, {"format": "pt"})


def is_export(index: object) -> bool:
    """Whether the content of a ``model_index.json`` is that of an export, or of a pipeline saved from it."""
    if not isinstance(index, dict) or "recipe" not in index:
        return False
    name = index.get("_class_name")
    return (name[-1:] if isinstance(name, list) else [name]) == [PIPELINE]


def read_json(path: Path) -> object:
    """The content of a JSON file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON.
    """
    try:
        return parse_json(read_bytes(path))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def _check_parts(recipe: Recipe) -> None:
    """Refuse parts that are not of this package, since their code cannot be exported."""
    diffusion = recipe.diffusion
    sampling = recipe.sampling
    parts: list[tuple[str, str, Mapping[str, Any]]] = [
        ("net.name", recipe.net.name, NETWORKS),
        ("diffusion.schedule", diffusion.schedule, SCHEDULES),
        ("diffusion.parametrization", diffusion.parametrization, PARAMETRIZATIONS),
        ("sampling.sampler", sampling.sampler.partition(":")[0].strip(), SAMPLERS),
    ]
    if "," not in sampling.grid or ":" in sampling.grid:
        parts.append(("sampling.grid", sampling.grid.partition(":")[0].strip(), GRIDS))
    for key, name, known in parts:
        if name not in known:
            raise RecipeError(
                f"{key} = {name!r} is a part of your own: the code of {', '.join(known)} can be exported"
            )
    if recipe.net.network != NETWORKS[recipe.net.name]:
        raise RecipeError(
            f"net.name = {recipe.net.name!r} is {recipe.net.network}: only networks of this package can be"
            " exported"
        )


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it but an earlier export."""
    if not out.exists():
        return
    files = (path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir())
    strange = next((name for name in files if name not in FILES), None)  # of a million, perhaps
    entries = sorted(path.name for path in out.iterdir()) if strange is None else []
    index = out / INDEX
    if entries and not (index.is_file() and is_export(read_json(index))):
        strange = entries[0]
    if strange is not None:
        raise ValueError(
            f"out = {out} holds something else, such as {strange}: name a folder that does not exist"
        )


def _code(module: str) -> str:
    """The content of a file of code."""
    origin = f"# Made by mezzotint {__version__} from its own sources; MIT licence.\n"
    return origin + bundle(f"{__package__}.{module}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _index(recipe: Recipe, spec: ImageSpec) -> dict[str, Any]:
    return {
        "_class_name": ["pipeline", PIPELINE],
        "unet": ["mezzotint_network", "MezzotintNetwork"],
        "scheduler": ["mezzotint_scheduler", "MezzotintScheduler"],
        "few_step": recipe.few_step,
        "images": {"size": spec.size, "channels": spec.channels, "classes": spec.classes},
        "recipe": {"format": FORMAT, **to_dict(recipe)},
    }


def _network_config(recipe: Recipe, spec: ImageSpec) -> dict[str, Any]:
    options = to_dict(recipe.net)
    return {
        "_class_name": "MezzotintNetwork",
        "kind": options.pop("name"),
        "size": spec.size,
        "channels": spec.channels,
        "num_classes": len(spec.classes),
        "options": options,
    }


def _scheduler_config(recipe: Recipe) -> dict[str, Any]:
    """The schedule as diffusers names it; keys that a scheduler does not know would make it warn."""
    schedule = make_schedule(recipe.diffusion)
    config: dict[str, Any] = {
        "_class_name": "MezzotintScheduler",
        "num_train_timesteps": schedule.timesteps or 1000,
    }
    if not isinstance(schedule, Table):
        return config
    before = torch.cat([torch.ones(1, dtype=torch.float64), schedule.alphas_bar[:-1]])
    types = {"eps": "epsilon", "x0": "sample"}
    return config | {
        "trained_betas": (1 - schedule.alphas_bar / before).tolist(),
        "prediction_type": types.get(recipe.diffusion.parametrization, "v_prediction"),
        "clip_sample": False,
        "set_alpha_to_one": True,
        # Whatever the recipe's grid: DDIMScheduler is exact for equal strides of whole steps alone.
        "timestep_spacing": "trailing",
    }
