"""The weights file: safetensors, with the recipe and the data's shape in the header, so that the file
alone is enough to sample. Reading one never runs code."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from .data.images import ImageSpec
from .recipe.schema import Recipe
from .recipe.toml import from_toml, to_toml
from .utils.files import whole_file

FORMATS = ("1", "2")
"""Formats that can be read; the last one is written. Files of format 1 have recipes of version 0.1."""


def header(recipe: Recipe, spec: ImageSpec) -> dict[str, str]:
    """What the header of a weights file says."""
    return {
        "mezzotint": FORMATS[-1],
        "recipe": to_toml(recipe),
        "images": json.dumps(asdict(spec)),
    }


def write(path: Path, tensors: dict[str, Tensor], recipe: Recipe, spec: ImageSpec) -> None:
    """Write a weights file, whole or not at all."""
    with whole_file(path) as temporary:
        save(temporary, tensors, header(recipe, spec))


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """safetensors, from tensors of any memory format and device."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = serialize(plain, metadata or None)
    # The library writes the header's keys in a random order: sorted, equal models are equal files.
    size = int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + content[8 + size :])


def read(path: Path) -> tuple[dict[str, Tensor], Recipe, ImageSpec]:
    """The tensors, recipe and image spec of a weights file.

    Raises ValueError, naming the file, where it is broken or none of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "recipe" not in metadata or "images" not in metadata:
                raise ValueError(
                    f"{path} has no recipe in its header: it was not written by mezzotint"
                    " (saved_model.pth of the original goes through `mezzotint import`)"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    try:
        images = json.loads(metadata["images"])
        spec = ImageSpec(tuple(images["size"]), images["channels"], tuple(images["classes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the header of {path} does not describe images: {error!r}") from error
    if metadata.get("mezzotint") not in FORMATS:
        raise ValueError(
            f"{path} is of format {metadata.get('mezzotint')}, not {FORMATS[-1]}: update mezzotint"
        )
    try:
        return tensors, from_toml(metadata["recipe"], "its recipe"), spec
    except ValueError as error:
        raise ValueError(f"{path} has a header that makes no sense: {error}") from error
