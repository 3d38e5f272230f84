"""Command lines with words that are none, numbers beyond all measure, and files that hold something else."""

import contextlib
import functools
import io
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mezzotint.cli import main
from models import random_model_file

from . import good_files as good

LINES = [
    "sample tiny.safetensors 7 --count 2 --seed 3 --out a.png --batch 2 --scale 2",
    "sample tiny.safetensors --guidance 2 --steps 3 --sampler heun --out a.npz --grid karras:rho=5",
    "sample tiny.safetensors 1 --sampler ddim:eta=0.5 --interval 0.1 0.9 --no-clip --grid 1,0.5,0",
    "gif tiny.safetensors 3 --out gifs --layout grid --show both --fps 10 --frames 5 --hold 1 --scale 2",
    "inpaint tiny.safetensors picture.png top 7 --count 2 --method repaint:jump=1,repeats=2 --out b.png",
    "inpaint tiny.safetensors picture.png mask.png --method pigdm --out b.gif --scale 2 --seed 4",
    "edit tiny.safetensors picture.png 1 2 --strength 0.5 --out c.webp --scale 2 --steps 3",
    "morph tiny.safetensors 3 8 --frames 5 --seed 1 --end-seed 2 --out d.gif --scale 2",
    "info tiny.safetensors",
    "info digits --recipe",
    "doctor npz:images.npz --size 8 --channels 1 --fit pad --crop 4 --background 7 --columns 8",
    "train digits --data npz:images.npz --dry-run --steps 2 --batch 2 --width 8 --blocks 1 --size 8",
    "train my.toml --dry-run --data npz:images.npz --learning-rate 0.1 --optimizer adamw --schedule cosine",
    "refine tiny.safetensors --dry-run --steps 2 --data npz:images.npz --out runs/a",
    "distill tiny.safetensors --dry-run --steps 2 --batch 2 --guidance 2",
    "evaluate tiny.safetensors --count 1 --seeds 1 --data npz:images.npz --sweep guidance=1,2 --out report",
    "evaluate images.npz --data npz:images.npz --judge tiny.safetensors",
    "export page tiny.safetensors --out page --runtime nowhere",
    "import tiny.safetensors out.safetensors",
    "train-classifier judge.safetensors --kind residual --data npz:images.npz --epochs 1 --size 8 --seed 2",
    "forward ddpm 0.5 1 --label 3 --schedule cosine --seed 2 --scale 2 --out f.png --number 1",
]
"""Command lines that are in order. None reaches a network; what they compute is stopped (see BEGUN)."""

WORDS = [
    *(
        "",
        "-",
        "--",
        "-1",
        "0",
        "1",
        "7",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e-400",
        "0x10",
        "1_0",
        "٣",
    ),
    *(
        "9" * 30,
        "9" * 5000,
        "2147483648",
        "9223372036854775808",
        "-9223372036854775809",
        "100000",
        "true",
    ),
    *(
        "é",
        "\udcff",
        "a\nb",
        "\x1b[2J",
        "a" * 5000,
        "1,2,3",
        "a=b",
        "a:b=c",
        ":",
        "=",
        ",",
        "%s",
        "{0}",
        "~",
    ),
    *(
        ".",
        "..",
        "/",
        "/dev/null",
        "a/b/c.png",
        "picture.png",
        "tiny.safetensors",
        "images.npz",
        "my.toml",
    ),
    *(
        "broken.png",
        "digits",
        "ddpm",
        "test:0",
        "test:-1",
        "test:" + "9" * 5000,
        "npz:images.npz",
        "idx:my.toml",
    ),
    *(
        "folder:.",
        "--help",
        "--debug",
        "--version",
        "--steps",
        "--seed",
        "--out",
        "--count",
        "--scale",
        "--size",
    ),
    *(
        "cpu",
        "cuda",
        "cuda:99",
        "meta",
        "karras:rho=1e400",
        "ddim:eta=nan",
        "log-snr",
        "trailing:shift=0",
    ),
    *(
        "repaint:jump=0",
        "repaint:repeats=" + "9" * 30,
        "pigdm:x=1",
        "guidance=nan",
        "sampler:eta=0,1",
        "heun",
    ),
]
"""Words that stand in the place of others."""

BEGUN = 300
"""Layers of networks after which a command is stopped: it was read, and computes what it was told."""


class BegunError(BaseException):
    """The command was read and has begun to compute."""


def changed(draw: random.Random) -> list[str]:
    """A command line that is in order, after one to three changes."""
    words = draw.choice(LINES).split()
    for _ in range(draw.choice((1, 1, 1, 2))):
        place = draw.randrange(len(words) + 1)
        kind = draw.randrange(8)
        if kind <= 3 and place < len(words):
            words[place] = draw.choice(WORDS)
        elif kind == 4:
            words[place:place] = [draw.choice(WORDS)]
        elif kind == 5:
            del words[place : place + draw.choice((1, 1, 2))]
        elif kind == 6 and place < len(words):
            words[place] = _spoilt(draw, words[place])
        else:
            words += draw.choice(LINES).split()[draw.randrange(4) :]
    return words


def _spoilt(draw: random.Random, word: str) -> str:
    """A word with other letters, but with no more digits: computing much is no fault."""
    place = draw.randrange(len(word) + 1)
    letter = draw.choice(("", "", "-", "=", ".", ":", ",", "e", "\0", " ", "é", "\n", word[:1]))
    return word[:place] + ("x" if letter.isdigit() else letter) + word[place + draw.randrange(2) :]


def forge(draw: random.Random) -> bytes:
    """The words of a command line, after each a zero byte as the system has them."""
    words = (word.replace("\0", "") for word in changed(draw))
    return b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)


def seeds() -> list[bytes]:
    """Command lines that are in order."""
    return [b"".join(word.encode() + b"\0" for word in line.split()) for line in LINES]


def readings(place: Path) -> Sequence[Callable[[bytes], object]]:
    """As typed in a folder with a model, pictures, arrays and a recipe."""
    kept = place / "kept"
    work = place / "work"
    _fill(kept)
    os.environ["MEZZOTINT_CACHE"] = str(place / "cache")
    os.environ["COLUMNS"] = "200"
    budget = [0]

    def count(module: nn.Module, inputs: Any) -> None:
        budget[0] -= isinstance(module, nn.Conv2d | nn.Linear)
        if budget[0] < 0:
            raise BegunError

    nn.modules.module.register_module_forward_pre_hook(count)

    def read(content: bytes) -> object:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(kept, work)
        os.chdir(work)
        budget[0] = BEGUN
        words = [word.decode("utf-8", "surrogateescape") for word in content.split(b"\0")[:-1]]
        outcome = _run(words)
        left = [path for path in work.rglob("*") if not (kept / path.relative_to(work)).exists()]
        assert not [path for path in left if ".tmp-" in path.name], f"half-written: {left}"
        assert outcome is not None or not left, f"a command that is refused has written {left}"
        return outcome

    return [read]


def _run(words: list[str]) -> object:
    """What comes of a command: None if it is refused, with a line that says why."""
    printed = io.StringIO()
    status: object = 0
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main(words)
    except BegunError:
        return "begun"
    except SystemExit as ended:
        status = ended.code
    if not status:
        return "done"
    said = status if isinstance(status, str) else printed.getvalue()
    assert said.removeprefix("mezzotint: ").strip(), f"status {status} without a word"
    assert "Traceback" not in said, said[-300:]
    assert isinstance(status, int) or len(said.splitlines()) == 1, f"lines: {said[:300]!r}"
    return None


@functools.cache
def _contents() -> dict[str, bytes]:
    png = good.encoder("PNG", "RGB")(good.picture())
    return {
        "picture.png": png,
        "mask.png": png,
        "broken.png": png[: len(png) // 2],
        "images.npz": good.npz()[0],
        "my.toml": b'base = "digits"\n[training]\nsteps = 2\n',
    }


def _fill(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    random_model_file(folder / "tiny.safetensors")
    for name, content in _contents().items():
        (folder / name).write_bytes(content)
