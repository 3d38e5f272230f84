"""Write what a release leaves behind, into tests/reference/version-X.Y.Z, for the tests of later ones.

A tiny run as if killed half-way, the weights that it ends with, images drawn from these, and the hashes of
both with the build that computed them.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from common import as_if_killed, tiny_data, tiny_recipe
from mezzotint import __version__, load, weights
from mezzotint.runs.train import train
from soak.golden import build_description

FOLDER = Path(__file__).parents[1] / "reference" / f"version-{__version__}"

LABELS, SEED = [3, 7], 5


def hash_of_images(path: Path) -> str:
    """The hash of the images that a model draws."""
    images = load(path, "cpu").sample(LABELS, seed=SEED)
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


def hash_of_weights(path: Path) -> str:
    """The hash of the weights in a file, which a later header does not change."""
    _, tensors = weights.read_file(path)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def write(folder: Path) -> None:
    """Write all to a new folder."""
    recipe = tiny_recipe(training={"steps": 8, "save_every": 4, "keep": 2})
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch("mezzotint.build.load_data", return_value=tiny_data()),
    ):
        whole = train(recipe, Path(name) / "whole")
        run = as_if_killed(whole, folder / "run")
        shutil.copyfile(whole / "model.safetensors", run / "end.safetensors")
    for extra in ("samples", "loss.png"):
        shutil.rmtree(run / extra, ignore_errors=True)
        (run / extra).unlink(missing_ok=True)
    end = run / "end.safetensors"
    images = load(end, "cpu").sample(LABELS, seed=SEED)
    np.savez_compressed(run / "images.npz", images=images.numpy())
    known: dict[str, Any] = {
        "build": build_description(),
        "images": hash_of_images(end),
        "weights": hash_of_weights(end),
    }
    (run / "bits.json").write_text(json.dumps([known], indent=1) + "\n")


def main() -> int:
    argparse.ArgumentParser(prog="python -m soak.release", description=__doc__).parse_args()
    if FOLDER.exists():
        print(f"{FOLDER} exists: what a release wrote is not written again", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    write(FOLDER)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
