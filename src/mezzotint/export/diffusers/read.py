"""An exported folder as a weights file. JSON and safetensors are read, and no code is run."""

from pathlib import Path
from typing import Any

from ... import build, weights
from ...data.images import ImageSpec
from ...recipe.schema import Recipe
from ...recipe.toml import from_dict
from .write import CONFIG, INDEX, PREFIX, WEIGHTS, is_export, read_json


def import_diffusers(folder: Path, out: Path) -> None:
    """Convert a folder that :func:`export_diffusers` or the pipeline's ``save_pretrained`` wrote.

    Args:
        folder: the folder.
        out: weights file to write.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if the folder holds something else, or is damaged; nothing is written then.
    """
    recipe, spec = _read_index(folder)
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder} has no {WEIGHTS}: other files of weights are not read")
    _, named = weights.read_file(folder / WEIGHTS)
    strange = [name for name in named if not name.startswith(PREFIX)]
    try:
        if strange:
            raise ValueError(f"there is a tensor {strange[0]}")
        tensors = {name.removeprefix(PREFIX): named[name] for name in named}
        with build.shapes_alone():
            build.check_weights(build.make_network(recipe.net, spec), tensors)
        network = build.make_network(recipe.net, spec)
        network.load_state_dict(tensors)
    except ValueError as error:
        raise ValueError(f"{folder / WEIGHTS}: {error}") from error
    weights.write(out, network.state_dict(), recipe, spec)


def _read_index(folder: Path) -> tuple[Recipe, ImageSpec]:
    """The recipe and the images that a folder describes."""
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(
            f"{folder} holds {_what(folder)}, and no {INDEX}: only what `mezzotint export diffusers` wrote is"
            " imported"
        )
    index: Any = read_json(path)
    if not is_export(index):
        raise ValueError(
            f"{folder} holds {_what(folder)}: only what `mezzotint export diffusers` wrote is imported"
        )
    try:
        recipe = from_dict(index["recipe"], f"the recipe in {path}")
        spec = weights.parse_spec(index["images"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a model of mezzotint: {error}") from error
    return recipe, spec


def _what(folder: Path) -> str:
    """What a folder holds, by the classes that its files name."""
    kinds = []
    for name in (INDEX, CONFIG, "config.json"):
        if (folder / name).is_file():
            content = read_json(folder / name)
            kind = content.get("_class_name") if isinstance(content, dict) else None
            kinds += [str(kind[-1] if isinstance(kind, list) and kind else kind)] if kind else []
    return f"{' with '.join(kinds)} of diffusers" if kinds else "no model of diffusers"
