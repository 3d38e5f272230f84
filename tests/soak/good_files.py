"""Contents of small good files of every format, from which mutants are made."""

import functools
import gzip
import io
import json
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import few_step_recipe, idx_file, tiny_recipe
from mezzotint.recipe.presets import RECIPES
from mezzotint.recipe.toml import to_toml
from mezzotint.weights import HEADER_HASH, TENSORS_HASH
from models import random_model_file
from nasty import GOOD, TURNED, encoder, exif

DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 256, (12, 8, 8), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3


def idx() -> list[bytes]:
    """Images, and labels of several types."""
    wide = [idx_file(LABELS)[:2] + bytes([code]) + idx_file(LABELS)[3:8] for code in (0x0C, 0x0E)]
    types = (">i4", ">f8")
    labels = [head + LABELS.astype(kind).tobytes() for head, kind in zip(wide, types, strict=True)]
    return [idx_file(IMAGES), idx_file(LABELS), *labels]


def idx_gz() -> list[bytes]:
    return [gzip.compress(content, mtime=0) for content in idx()]


def cifar() -> list[bytes]:
    """Records of CIFAR-10 and of CIFAR-100, and a list of names."""
    pixels = DRAW.integers(0, 256, (3, 3072), np.uint8)
    rows = [np.concatenate([np.full((3, n), 1, np.uint8), pixels], 1).tobytes() for n in (1, 2)]
    return [*rows, "\n".join(f"class {k}" for k in range(100)).encode()]


@functools.cache
def picture() -> Image.Image:
    return Image.fromarray(DRAW.integers(0, 256, (10, 12, 3), np.uint8))


@functools.cache
def pictures(kind: str) -> list[bytes]:
    """Pictures of a format, in all modes that the folder of odd pictures has, and films."""
    contents = [encode(picture()) for what, _, encode in GOOD if what.startswith(kind)]
    if kind == "PNG":
        contents += [encoder(kind, "RGB", exif=exif(TURNED))(picture()), film(kind)]
    elif kind == "JPEG":
        contents += [encoder(kind, "RGB", progressive=True)(picture())]
    elif kind == "WebP":
        contents += [encoder("WEBP", "RGB", quality=50, exif=exif(TURNED))(picture()), film("WEBP")]
    else:
        contents += [encoder(kind, "P", transparency=0)(picture()), film(kind)]
    return contents


def film(kind: str) -> bytes:
    """Three frames."""
    stream = io.BytesIO()
    frames = [picture().rotate(90 * k) for k in range(3)]
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    return stream.getvalue()


def zips() -> list[bytes]:
    """Archives of a few pictures, packed in each way."""
    png = encoder("PNG", "RGB")(picture())
    results = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        members = {f"{name}/{k}.png": png for name in ("cat", "dog") for k in range(3)}
        results.append(zip_of(members, method))
    return results


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive, always with the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def npz() -> list[bytes]:
    """Images with labels of several types and with names of classes, packed or not."""
    names = np.array(["cat", "dog", "owl"])
    return [
        npz_of(images=IMAGES, labels=LABELS),
        npz_of(True, images=IMAGES, labels=names[LABELS]),
        npz_of(x=IMAGES[:, None], y=LABELS.astype(np.float64), classes=names),
        npz_of(images=IMAGES, labels=LABELS, images_test=IMAGES, labels_test=LABELS.astype("S1")),
    ]


def npz_of(packed: bool = False, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


@functools.cache
def weights() -> list[bytes]:
    """Weights files, of an ordinary and of a few-step model, with hashes and, as of before, without."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        recipes = (tiny_recipe(), few_step_recipe())
        contents = [random_model_file(path, recipe).read_bytes() for recipe in recipes]
        return [*contents, *map(without_hashes, contents)]


def without_hashes(content: bytes, **changes: object) -> bytes:
    """A weights file as of before there were hashes in it; ``changes`` are strings of its header."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = {**header["__metadata__"], **changes}
    for key in (TENSORS_HASH, HEADER_HASH):
        metadata.pop(key, None)
    head = json.dumps({**header, "__metadata__": metadata}).encode()
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def version_01() -> str:
    """A recipe of version 0.1."""
    return (
        'name = "old"\nseed = 3\n[data]\nname = "mnist"\nbalance = "classes"\n[net]\nname = "lean"\n'
        '[diffusion]\nschedule = "linear"\ntimesteps = 100\nparametrization = "eps"\nloss = "l1"\n'
        'label_dropout = 0.1\n[training]\nsteps = 5\nclip = 1.0\n[sampling]\nsampler = "ddim"\n'
        "eta = 0.5\nsteps = 5\n"
    )


def recipes() -> list[bytes]:
    """Recipes in whole, differences from one, and one of version 0.1."""
    whole = [to_toml(recipe) for recipe in RECIPES.values()]
    changes = 'base = "ddpm"\n[training]\nsteps = 20\n[sampling]\ninterval = [0.1, 0.9]\n'
    return [text.encode() for text in (*whole, changes, version_01())]


def manifest(hashes: dict[str, str]) -> bytes:
    return json.dumps({"step": 10, "sha256": hashes}, indent=1).encode()


def metrics() -> list[bytes]:
    """A metrics file of a run, and one with lines of other kinds."""
    draw = random.Random(0)
    lines = [{"step": k, "loss": draw.random(), "images_per_second": 10.5} for k in range(1, 9)]
    other = [{"step": 3, "loss": None}, {"step": 4, "text": "ü"}, {"step": 5, "loss": 1}]
    return ["".join(json.dumps(line) + "\n" for line in part).encode() for part in (lines, other)]
