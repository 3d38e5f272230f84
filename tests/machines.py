"""What the tests of other people's terminals and machines have in common: commands in processes of their own,
small pictures, small classifiers, and a guard against networks that are evaluated too early."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint
from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.cli import main
from mezzotint.data import ImageData, ImageSpec
from mezzotint.evaluation.features import save_classifier
from mezzotint.recipe.schema import Recipe
from mezzotint.registry import CLASSIFIERS
from models import random_weights

SOURCE = Path(mezzotint.__file__).parents[1]

TINY = [
    *["--width", "8", "--blocks", "1", "--embedding", "16", "--heads", "2", "--groups", "4"],
    *["--batch", "8", "--sampling.steps", "2", "--warmup", "0", "--log-every", "1"],
]
"""The smallest network, as flags of `mezzotint train`."""

COMMAND = (sys.executable, "-m", "mezzotint")

GUARD = Path(__file__).parent / "guard"
"""What notes what a process reaches and writes."""

Ran = subprocess.CompletedProcess[str]


def environment(folder: Path, **changes: str | None) -> dict[str, str]:
    """This process's environment for a command in ``folder``, with a cache there; ``changes`` of None take a
    variable away."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "MEZZOTINT"))}
    kept.pop("PYTHONUNBUFFERED", None)
    own = {
        "PYTHONPATH": str(SOURCE),
        "OMP_NUM_THREADS": "1",
        "MEZZOTINT_WITHOUT": "bf16",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "COLUMNS": "200",
    }
    both: dict[str, str | None] = {**kept, **own, **changes}
    return {name: value for name, value in both.items() if value is not None}


def guard(noted: Path) -> dict[str, str]:
    """Changes of a command's environment, with which it notes in a file what it reaches and writes."""
    return {"PYTHONPATH": os.pathsep.join([str(GUARD), str(SOURCE)]), "GUARD": str(noted)}


def notes(noted: Path, kind: str, since: int = 0) -> list[str]:
    """What a guarded process has reached ("reach"), or written ("write"), after its first notes."""
    lines = map(json.loads, noted.read_text().splitlines()[since:])
    return [name for what, name in lines if what == kind]


@contextmanager
def started(
    words: Sequence[str], folder: Path, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A process that goes on while the block does, and not longer; what it says can be read."""
    settings: dict[str, Any] = {
        "cwd": folder,
        "env": environment(folder),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "errors": "backslashreplace",
    }
    with subprocess.Popen(words, **settings | options) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> Ran:
    """What became of a process, when it has ended."""
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", err or "")


def run(words: Sequence[str], folder: Path, **options: Any) -> Ran:
    """A process, to its end."""
    with started(words, folder, **options) as process:
        return ended(process)


def mezzo(
    *words: str, folder: Path, env: Mapping[str, str | None] | None = None, **options: Any
) -> Ran:
    """The command line on ``words``, in a process of its own."""
    return run([*COMMAND, *words], folder, env=environment(folder, **env or {}), **options)


def redirected(*words: str, folder: Path, to: str, **options: Any) -> Ran:
    """The command line on ``words``, with a shell's redirection such as ``2>&-``."""
    return run(["/bin/sh", "-c", f'exec "$@" {to}', "sh", *COMMAND, *words], folder, **options)


def without_bars(text: str) -> str:
    """What was said beside progress bars."""
    parts = re.split(r"[\r\n]", text)
    return "\n".join(part for part in parts if part.strip() and "%|" not in part)


def in_process(*words: str) -> str | int:
    """The command line in this process; how it ended: a status, or the words that it left with."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    return code if isinstance(code, str | int) else 0


def unprivileged(uid: int = 65534) -> list[str]:
    """What to put before a command so that it may write only where everybody may: nothing, where this user is
    no superuser. Reading stays allowed, or Python itself might not be found."""
    if os.geteuid() != 0:
        if uid != 65534:
            pytest.skip("only root can start a process of another user")
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("there is no setpriv (util-linux) to become another user with")
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    words = [setpriv, *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if subprocess.run([*words, sys.executable, "-c", ""], capture_output=True).returncode:
        pytest.skip("processes of another user cannot be started here")
    return words


def stranger(words: Sequence[str], folder: Path, **changes: str | None) -> Ran:
    """A command that another user starts in ``folder``, who may write only where everybody may. Its fonts are
    found already, which would take seconds."""
    before = unprivileged()
    for place in folder.parents:
        if place.is_relative_to(tempfile.gettempdir()) and place.stat().st_uid == os.getuid():
            place.chmod(place.stat().st_mode | 0o011)  # to be passed through, not read
    fonts = folder / "fonts"
    shutil.copytree(matplotlib.get_cachedir(), fonts, dirs_exist_ok=True)
    for path in [fonts, *fonts.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    own = {"MPLCONFIGDIR": str(fonts), **changes}
    return run([*before, *words], folder, env=environment(folder, **own))


def pictures(
    folder: Path, classes: Sequence[str] = ("ant", "bee"), count: int = 12, channels: int = 1
) -> Path:
    """A folder of 8x8 pictures of noise, ``count`` for each class."""
    draws = np.random.default_rng(0)
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for k in range(count):
            noise = draws.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{k:02}.png")
    return folder


def named_model(path: Path, classes: Sequence[str], recipe: Recipe | None = None) -> Path:
    """A weights file of a tiny network whose header has these names of classes."""
    recipe = recipe or tiny_recipe()
    spec = ImageSpec((8, 8), 1, tuple(classes))
    weights.write(path, random_weights(recipe, spec), recipe, spec)
    return path


def save_npz(path: Path, data: ImageData, **more: Any) -> Path:
    """Images with their labels, as an .npz."""
    np.savez(path, images=data.images.numpy(), labels=data.labels.numpy(), **more)
    return path


def small_measures(folder: Path, classes: Sequence[str] = tuple("0123456789")) -> list[str]:
    """Flags that make an evaluation quick: 8x8 images to measure against, and classifiers that were never
    trained. Everything else is an evaluation like any other."""
    data = tiny_data(400, classes=len(classes))
    data = ImageData(data.images, data.labels, tuple(classes))
    test = {"images_test": data.images[:200].numpy(), "labels_test": data.labels[:200].numpy()}
    made = save_npz(folder / "real.npz", data, classes=np.array(classes), **test)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for kind in ("plain", "residual"):
            network = CLASSIFIERS[kind](1, len(classes)).eval()
            save_classifier(folder / f"{kind}.safetensors", network, kind, data, "noise", "none")
    judges = [str(folder / f"{kind}.safetensors") for kind in ("plain", "residual")]
    return ["--data", f"npz:{made}", "--judge", judges[0], "--witness", judges[1]]


@contextmanager
def no_network() -> Iterator[None]:
    """Within the block, the first evaluation of any network is a failure."""

    def evaluated(module: torch.nn.Module, inputs: Any) -> None:
        pytest.fail("a network was evaluated first")

    handle = torch.nn.modules.module.register_module_forward_pre_hook(evaluated)
    try:
        yield
    finally:
        handle.remove()


def wait_for_entries(run_folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Until a run in another process has logged so many entries."""
    log = run_folder / "metrics.jsonl"
    until = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= count):
        if process.poll() is not None:
            pytest.fail(f"ended too early: {process.returncode}, {process.communicate()[1]}")
        assert time.monotonic() < until
        time.sleep(0.02)


def rubbish(folder: Path) -> list[Path]:
    """Half-written files and folders that a command has left behind."""
    return [p for p in folder.rglob("*") if p.name.startswith((".tmp-", ".old-"))]
