"""The files of `soak.integrity`, and what of them is read after they were damaged."""

import base64
import contextlib
import hashlib
import io
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from torch import Tensor

from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.data.cache import cached
from mezzotint.data.transforms import Frame
from mezzotint.evaluation.features import load_classifier
from mezzotint.loading import find_weights
from mezzotint.runs.resume import load_newest
from mezzotint.runs.train import make_trainer, train
from mezzotint.utils import assets

OURS = (ValueError, OSError)
"""What a damaged file may raise, if it says which file it is."""


@dataclass(frozen=True)
class Subject:
    """A file to damage.

    Args:
        name: of the row.
        path: of the file.
        read: reads it as the product does; two readings of equal bits give equal texts.
        passed_over: what ``read`` gives if an older file takes its place, with a message on standard
            error.
    """

    name: str
    path: Path
    read: Callable[[], str]
    passed_over: str | None = None


def outcome_of(subject: Subject, whole: str) -> tuple[str | None, str]:
    """What came of damage.

    Args:
        subject: whose file is damaged.
        whole: what it gives when it is not.

    Returns:
        The name of the outcome, or None if the promise is broken; and what was read or said.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = subject.read()
    except OURS as error:
        named = subject.path.name in str(error)
        return "detected" if named else None, f"{type(error).__name__}: {error}"
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    if found == whole:
        return "harmless", ""
    if found == subject.passed_over and str(subject.path.parent) in said.getvalue():
        return "passed over", ""
    return None, "something else was read, and nothing said"


def flips(size: int, head: int, count: int, draws: random.Random) -> Iterator[tuple[int, int]]:
    """Positions of single bits, as byte and mask: half of them in the first bytes, half anywhere.

    Args:
        size: of the file in bytes.
        head: bytes of the header.
        count: how many.
        draws: what decides.
    """
    for k in range(count):
        inside = k * head // (count // 2) if k < count // 2 else draws.randrange(size)
        yield min(inside, size - 1), 1 << draws.randrange(8)


def head_size(path: Path) -> int:
    """How long the header of a file is, that is what says what the rest means."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return 8 + int.from_bytes(content[:8], "little")
    return 128 if path.suffix == ".npy" else len(content)


def digest(tensors: Mapping[str, Tensor], *others: object) -> str:
    """A hash of tensors' bits, their names and types, and of other things as they are printed."""
    found = hashlib.sha256(repr(others).encode())
    for name in sorted(tensors):
        array = tensors[name].detach().contiguous().numpy()
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _of_weights(place: str | Path) -> str:
    tensors, recipe, spec = weights.read(find_weights(place))
    return digest(tensors, recipe, spec)


def _of_classifier(name: str) -> str:
    found = load_classifier(name)
    return digest(found.network.state_dict(), found.classes, found.size)


def make_run(folder: Path) -> Path:
    """A finished run with two checkpoints."""
    recipe = tiny_recipe(training={"steps": 8, "save_every": 4, "keep": 2})
    with mock.patch("mezzotint.build.load_data", return_value=tiny_data()):
        return train(recipe, folder / "run", log=lambda text: None)


def checkpoints(run: Path) -> list[Subject]:
    """The three files of a run's newest checkpoint."""
    older, newest = sorted((run / "checkpoints").iterdir())
    trainer = make_trainer(tiny_recipe(training={"steps": 8}), tiny_data())

    def read() -> str:
        load_newest(trainer, run, "refuse", lambda text: None)
        if not (older.is_dir() and newest.is_dir()):
            raise AssertionError("a checkpoint was deleted")
        state = trainer.state
        found = state.tensors() | {
            f"sampling.{k}": v for k, v in state.sampling_network.state_dict().items()
        }
        return digest(found, state.step, state.images)

    aside = newest.with_name("aside")
    newest.rename(aside)
    newest.mkdir()  # nothing in it: as damaged as can be
    with contextlib.redirect_stderr(io.StringIO()):
        from_older = read()
    newest.rmdir()
    aside.rename(newest)
    names = ("model.safetensors", "state.safetensors", "manifest.json")
    return [Subject(f"checkpoint, {name}", newest / name, read, from_older) for name in names]


def decoded(folder: Path) -> list[Subject]:
    """The two files of a cache of decoded pictures; MEZZOTINT_CACHE must be ``folder / "cache"``."""
    files = []
    for k, image in enumerate(tiny_data(60).images):
        files.append(folder / f"picture{k}.png")
        Image.fromarray(image[0].numpy()).save(files[-1])

    def read() -> str:
        images, kept = cached(files, Frame(size=(8, 8)), 1, "refuse")
        return digest({"images": images}, kept)

    read()
    (array,) = (folder / "cache").rglob("images.npy")
    assert np.load(array).shape == (60, 1, 8, 8)
    paths = (array, array.with_name("built.json"))
    return [Subject(f"decoded pictures, {path.name}", path, read) for path in paths]


@contextlib.contextmanager
def installed_page(folder: Path) -> Iterator[list[Subject]]:
    """A script of the page, in an installation whose record has the SHA-256 of each file."""
    package = folder / "installation" / "mezzotint"
    shutil.copytree(assets.ASSETS / "page", package / "assets" / "page")
    record = [
        f"{path.relative_to(package.parent).as_posix()},sha256={_base64(path)},{path.stat().st_size}"
        for path in sorted(package.rglob("*.*"))
    ]
    information = package.parent / "mezzotint-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.4\nName: mezzotint\nVersion: 0\n")
    (information / "RECORD").write_text("\n".join([*record, "mezzotint-0.dist-info/RECORD,,"]))
    script = package / "assets" / "page" / "page.js"
    assets.installed_hashes.cache_clear()
    try:
        with mock.patch.object(sys, "path", [str(package.parent), *sys.path]):
            yield [Subject("page, page.js", script, lambda: _of_asset(script))]
    finally:
        assets.installed_hashes.cache_clear()


def _base64(path: Path) -> str:
    """The SHA-256 of a file, as installations record it."""
    content = hashlib.sha256(path.read_bytes()).digest()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _of_asset(path: Path) -> str:
    return hashlib.sha256(assets.read_asset(path)).hexdigest()


@contextlib.contextmanager
def subjects(folder: Path) -> Iterator[list[Subject]]:
    """All files to damage; within the block, the cache and copies of the shipped files are in ``folder``."""
    copies = folder / "assets"
    for kind in ("models", "classifiers"):
        shutil.copytree(assets.ASSETS / kind, copies / kind)
    run = make_run(folder)
    with (
        installed_page(folder) as page,
        mock.patch.object(assets, "ASSETS", copies),
        mock.patch.dict("os.environ", MEZZOTINT_CACHE=str(folder / "cache")),
    ):
        model = copies / "models" / "digits.safetensors"
        judge = copies / "classifiers" / "digits-plain.safetensors"
        yield [
            *checkpoints(run),
            Subject("run, model.safetensors", run / "model.safetensors", lambda: _of_weights(run)),
            *decoded(folder),
            Subject("shipped model, digits", model, lambda: _of_weights("digits")),
            Subject("shipped classifier", judge, lambda: _of_classifier("digits-plain")),
            *page,
        ]
