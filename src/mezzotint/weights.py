"""The weights file: safetensors with the recipe and the shape of the images in the header.

It contains everything that sampling needs, and reading it never runs code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from .data.images import ImageSpec
from .recipe.schema import Recipe
from .recipe.toml import from_toml, to_toml
from .utils.files import whole_file
from .utils.json_text import parse_json

FORMATS = ("1", "2")
"""Formats that can be read; the last one is written. Format 1 has recipes of version 0.1."""


def header(recipe: Recipe, spec: ImageSpec) -> dict[str, str]:
    """The header of a weights file.

    Args:
        recipe: recipe of the model.
        spec: shape and classes of the images.

    Returns:
        the header's strings by key.
    """
    return {
        "mezzotint": FORMATS[-1],
        "recipe": to_toml(recipe),
        "images": json.dumps(asdict(spec)),
    }


def write(path: Path, tensors: dict[str, Tensor], recipe: Recipe, spec: ImageSpec) -> None:
    """Write a weights file atomically.

    Args:
        path: file to write.
        tensors: weights by name.
        recipe: recipe of the model.
        spec: shape and classes of the images.
    """
    with whole_file(path) as temporary:
        save(temporary, tensors, header(recipe, spec))


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Equal tensors and metadata give equal files.

    Args:
        path: file to write.
        tensors: tensors by name, in any memory format and on any device.
        metadata: strings of the header by key.
    """
    path.write_bytes(content_of(tensors, metadata))


def content_of(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The content of a safetensors file; see :func:`save`."""
    cpu_tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = serialize(cpu_tensors, metadata or None)
    # The library writes the keys of the header in random order; sorting makes equal models equal files.
    size = int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def read(path: Path) -> tuple[dict[str, Tensor], Recipe, ImageSpec]:
    """Read a weights file.

    Args:
        path: file to read.

    Returns:
        the weights by name, the recipe, and the shape and classes of the images.

    Raises:
        ValueError: if the file is damaged or not a weights file of Mezzotint.
    """
    metadata, tensors = _open(path, with_tensors=True)
    recipe, spec = _parse(path, metadata)
    return tensors, recipe, spec


def read_header(path: Path) -> tuple[Recipe, ImageSpec]:
    """Read what a weights file says of itself, without its weights.

    Args:
        path: file to read.

    Returns:
        The recipe, and the shape and classes of the images.

    Raises:
        ValueError: if the file is damaged or not a weights file of Mezzotint.
    """
    metadata, _ = _open(path, with_tensors=False)
    return _parse(path, metadata)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of any safetensors file.

    Args:
        path: file to read.

    Returns:
        The tensors by name.

    Raises:
        ValueError: if the file is damaged.
    """
    _, tensors = _open(path, with_tensors=True)
    return tensors


def _open(path: Path, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if with_tensors else []
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error


def _parse(path: Path, metadata: dict[str, str]) -> tuple[Recipe, ImageSpec]:
    if "recipe" not in metadata or "images" not in metadata:
        raise ValueError(
            f"{path} has no recipe in its header: it was not written by mezzotint"
            " (saved_model.pth of the original goes through `mezzotint import`)"
        )
    if metadata.get("mezzotint") not in FORMATS:
        raise ValueError(
            f"{path} is of format {metadata.get('mezzotint')}, not {FORMATS[-1]}: update mezzotint"
        )
    try:
        spec = parse_spec(parse_json(metadata["images"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the header of {path} does not describe images: {error!r}") from error
    try:
        return from_toml(metadata["recipe"], "its recipe"), spec
    except ValueError as error:
        raise ValueError(f"{path} has a header that makes no sense: {error}") from error


def parse_spec(images: Mapping[str, Any]) -> ImageSpec:
    """The shape and classes of images, from what a file says of them.

    Args:
        images: "size" (height, width), "channels" and "classes"; from a stranger, perhaps.

    Returns:
        The same as an object.

    Raises:
        ValueError, KeyError, TypeError: if this does not describe images.
    """
    spec = ImageSpec(tuple(images["size"]), images["channels"], tuple(images["classes"]))
    numbers = (*spec.size, spec.channels)
    if len(spec.size) != 2 or not all(type(n) is int and 0 < n <= 65_536 for n in numbers):
        raise ValueError(f"size {spec.size} and {spec.channels} channels")
    if not all(isinstance(name, str) for name in spec.classes):
        raise ValueError("classes are names")
    if len(set(spec.classes)) != len(spec.classes):
        raise ValueError("two classes have the same name")
    return spec
