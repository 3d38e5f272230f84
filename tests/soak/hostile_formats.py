"""What is attacked with mutants: good files of each format, forged ones, and the package's own readers."""

import functools
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from mezzotint import loading
from mezzotint.cli.inputs import read_image
from mezzotint.data import Frame, ImageSpec, open_data
from mezzotint.data.decode import is_picture, read_header
from mezzotint.model import Model
from mezzotint.recipe.presets import DIGITS, find
from mezzotint.runs.resume import recipe_of_run
from mezzotint.training.checkpoint import MANIFEST, STATE, latest_checkpoint
from mezzotint.training.log import MetricsLog
from mezzotint.utils.cache import CACHE
from mezzotint.weights import MODEL

from . import forged_files, forged_texts, hostile_words
from . import good_files as good
from .confined import Limits

Reading = Callable[[bytes], object]
"""Reads a mutant as a user would meet it; None if the package refuses it without an exception."""


USUAL = Limits()


@dataclass(frozen=True)
class Format:
    """A format that is attacked.

    Args:
        seeds: contents of good files.
        readings: the ways in which it is read, working in a folder; mutants take turns.
        forge: draws a file that keeps to the format but lies in it.
        forged: the share of mutants that are forged, and not changed at random.
        share: of as many mutants as others have, if each takes long.
        limits: of what reading one may take.
    """

    seeds: Callable[[], Sequence[bytes]]
    readings: Callable[[Path], Sequence[Reading]]
    forge: Callable[[random.Random], bytes]
    forged: float = 0.3
    share: float = 1.0
    limits: Limits = USUAL


def idx(place: Path, ending: str) -> list[Reading]:
    """As images and as labels, of a data set of four files and of one's own."""
    images = place / f"t10k-images-idx3-ubyte{ending}"
    labels = place / f"t10k-labels-idx1-ubyte{ending}"

    def read(content: bytes, mutated: Path, name: str, folder: Path | None) -> object:
        images.write_bytes(good.idx()[0])
        labels.write_bytes(good.idx()[1])
        mutated.write_bytes(content)
        return open_data(name, "test" if folder else "train", folder=folder)

    return [
        functools.partial(read, mutated=mutated, name=name, folder=folder)
        for mutated in (images, labels)
        for name, folder in ((f"idx:{images}", None), ("kmnist", place))
    ]


def cifar(place: Path) -> list[Reading]:
    """As records of either data set, and as its list of names."""

    def read(content: bytes, name: str, mutated: str) -> object:
        ten, hundred, names = good.cifar()
        files = {"test_batch.bin": ten, "test.bin": hundred, "fine_label_names.txt": names}
        for file, healthy in {**files, mutated: content}.items():
            (place / file).write_bytes(healthy)
        return open_data(name, "test", folder=place)

    ways = [
        ("cifar10", "test_batch.bin"),
        ("cifar100", "test.bin"),
        ("cifar100", "fine_label_names.txt"),
    ]
    return [functools.partial(read, name=name, mutated=mutated) for name, mutated in ways]


def picture(place: Path, ending: str) -> list[Reading]:
    """As the picture that is to be repainted, of each number of channels, and as one of a data set."""
    path = place / f"picture{ending}"

    def read(content: bytes, channels: int) -> object:
        path.write_bytes(content)
        is_picture(path)
        read_header(path)
        model = SimpleNamespace(spec=ImageSpec((8, 8), channels, ()), recipe=DIGITS)
        image = read_image(str(path), cast(Model, model))
        assert tuple(image.shape) == (channels, 8, 8)
        return image

    return [functools.partial(read, channels=channels) for channels in (1, 3)]


def zips(place: Path) -> list[Reading]:
    """As a folder of pictures in an archive, whose broken ones are refused or left out."""
    path = place / "pictures.zip"
    cache = place / "cache"
    os.environ[CACHE] = str(cache)

    def read(content: bytes, broken: str) -> object:
        shutil.rmtree(cache, ignore_errors=True)
        path.write_bytes(content)
        try:
            return open_data(f"folder:{path}", frame=Frame(size=(8, 8)), broken=broken)  # type: ignore[arg-type]
        finally:
            assert not list(cache.glob("**/.tmp-*")), "something is left half-written"

    return [functools.partial(read, broken=broken) for broken in ("refuse", "skip")]


def npz(place: Path) -> list[Reading]:
    """As a data set, of both splits."""
    path = place / "images.npz"

    def read(content: bytes, split: str) -> object:
        path.write_bytes(content)
        return open_data(f"npz:{path}", split)  # type: ignore[arg-type]

    return [functools.partial(read, split=split) for split in ("train", "test")]


def weights(place: Path) -> list[Reading]:
    """As a model."""
    path = place / "model.safetensors"

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return loading.load(path, "cpu")

    return [read]


def manifest(place: Path) -> list[Reading]:
    """As the newest checkpoint of a run."""
    folder = place / "checkpoints" / "step-00000010"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, STATE):
        (folder / name).write_bytes(name.encode())

    def read(content: bytes) -> object:
        (folder / MANIFEST).write_bytes(content)
        return latest_checkpoint(folder.parent)

    return [read]


def manifest_seeds() -> list[bytes]:
    """The manifest of the checkpoint that :func:`manifest` makes, and one of another."""
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in (MODEL, STATE)}
    return [good.manifest(hashes), good.manifest(dict.fromkeys(hashes, "0" * 64))]


def recipe(place: Path) -> list[Reading]:
    """As a file that is named, and as the recipe of a run."""

    def read_named(content: bytes) -> object:
        (place / "my.toml").write_bytes(content)
        return find(str(place / "my.toml"))

    def read_of_run(content: bytes) -> object:
        (place / "recipe.toml").write_bytes(content)
        return recipe_of_run(place)

    return [read_named, read_of_run]


def metrics(place: Path) -> list[Reading]:
    """As the log of a run that is resumed, which goes on and draws its loss curve."""
    path = place / "metrics.jsonl"

    def read(content: bytes) -> object:
        path.write_bytes(content)
        log = MetricsLog(path, 5)
        log.write({"step": 6, "loss": 0.5})
        assert all(type(step) is int and step <= 6 for step, _ in log.losses)
        assert all(isinstance(loss, int | float) for _, loss in log.losses)
        assert all("step" in json.loads(line) for line in path.read_text("utf-8").splitlines())
        return log

    return [read]


def _pictures(kind: str, ending: str, forge: Callable[[random.Random], bytes]) -> Format:
    seeds = functools.partial(good.pictures, kind)
    return Format(seeds, functools.partial(picture, ending=ending), forge)


FORMATS: dict[str, Format] = {
    "idx": Format(good.idx, functools.partial(idx, ending=""), forged_files.idx),
    "idx.gz": Format(good.idx_gz, functools.partial(idx, ending=".gz"), forged_files.idx_gz),
    "cifar": Format(good.cifar, cifar, forged_files.cifar),
    "png": _pictures("PNG", ".png", forged_files.png),
    "jpeg": _pictures("JPEG", ".jpg", forged_files.jpeg),
    "gif": _pictures("GIF", ".gif", forged_files.gif),
    "webp": _pictures("WebP", ".webp", forged_files.webp),
    "zip": Format(good.zips, zips, forged_files.zips),
    "npz": Format(good.npz, npz, forged_files.npz),
    "weights": Format(good.weights, weights, forged_texts.weights),
    "manifest": Format(manifest_seeds, manifest, forged_texts.manifest),
    "recipe": Format(good.recipes, recipe, forged_texts.recipe),
    "metrics": Format(good.metrics, metrics, forged_texts.metrics),
    "words": Format(
        hostile_words.seeds,
        hostile_words.readings,
        hostile_words.forge,
        forged=1.0,
        share=0.2,
        limits=Limits(seconds=10),
    ),
}
