"""The weights file: safetensors with the recipe and the shape of the images in the header.

It contains everything that sampling needs, and reading it never runs code. Its header also has the SHA-256
of the tensors, and one of itself, so that a damaged file is refused. Files of other programs, and those of
earlier builds, have neither.
"""

import errno
import hashlib
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
from .utils.console import in_a_line
from .utils.files import naming, whole_file
from .utils.json_text import parse_json

MODEL = "model.safetensors"
"""Name of the weights file in a run and in a checkpoint."""

FORMATS = ("1", "2")
"""Formats that can be read; the last one is written. Format 1 has recipes of version 0.1."""

TENSORS_HASH = "tensors_sha256"
"""Key of the header: SHA-256 of all that follows the header, in hexadecimal."""

HEADER_HASH = "header_sha256"
"""Key of the header: SHA-256 of the header without this key, as JSON with sorted keys."""


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
    content = memoryview(serialize(cpu_tensors))
    size = int.from_bytes(content[:8], "little")
    data = content[8 + size :]
    head = json.loads(bytes(content[8 : 8 + size]))
    head["__metadata__"] = metadata | {TENSORS_HASH: hashlib.sha256(data).hexdigest()}
    head["__metadata__"][HEADER_HASH] = _header_hash(head)
    # The library writes the keys of the header in random order; sorting makes equal models equal files.
    text = json.dumps(head, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, data])


def _header_hash(head: Mapping[str, Any]) -> str:
    metadata = {key: value for key, value in head["__metadata__"].items() if key != HEADER_HASH}
    text = json.dumps({**head, "__metadata__": metadata}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> tuple[dict[str, Tensor], Recipe, ImageSpec]:
    """Read a weights file.

    Args:
        path: file to read.

    Returns:
        the weights by name, the recipe, and the shape and classes of the images.

    Raises:
        ValueError: if the file is damaged or not a weights file of Mezzotint.
    """
    metadata, tensors = read_file(path)
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


def read_file(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read any safetensors file.

    Args:
        path: file to read.

    Returns:
        The strings of its header by key, and its tensors by name.

    Raises:
        ValueError: if the file is damaged.
    """
    return _open(path, with_tensors=True)


def _open(path: Path, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError, where torch cannot map the file
        raise OSError(errno.EIO, in_a_line(error), str(path)) from error
    if TENSORS_HASH in metadata or HEADER_HASH in metadata:
        _verify(path, metadata, with_tensors)
    return metadata, tensors


def _verify(path: Path, metadata: Mapping[str, str], with_tensors: bool) -> None:
    """Refuse a file whose header, or whose tensors, are not those that were written."""
    with naming(path), path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        damaged = metadata.get(HEADER_HASH) != _header_hash(parse_json(file.read(size)))
        if with_tensors and not damaged:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            damaged = metadata.get(TENSORS_HASH) != digest
    if damaged:
        raise ValueError(
            f"{path} is damaged: it does not match the SHA-256 in its header; copy or fetch it again"
        )


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
