"""A folder of 2,000 pictures as nasty as people's are goes the whole way, in three shells, as root and as
another user, and comes out the same."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from machines import unprivileged
from nasty import make_nasty

TINY = """
[data]
name = "folder:pics"
size = 8
channels = 1
broken = "skip"
[net]
width = 8
blocks = 1
embedding = 16
heads = 2
groups = 4
[training]
steps = 4
batch = 32
warmup = 1
save_every = 2
sample_every = 2
log_every = 1
[sampling]
steps = 2
"""

SHELLS: dict[str, tuple[dict[str, str], bool]] = {
    "UTF-8": ({"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}, False),
    "ASCII": (
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        False,
    ),
    "no standard error": ({"PYTHONUTF8": "1"}, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures, and two classifiers to measure with."""
    folder = tmp_path_factory.mktemp("nasty")
    make_nasty(folder / "pics")
    (folder / "tiny.toml").write_text(TINY)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o055)
    return folder


def go(folder: Path, home: Path, shell: str, prefix: Sequence[str], *words: str) -> str:
    """Run a verb; its standard output."""
    changes, deaf = SHELLS[shell]
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "LC_", "LANG"))
    }
    environment |= {
        "XDG_CACHE_HOME": str(home / "cache"),
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    command = [*prefix, sys.executable, "-m", "mezzotint", *words]
    if deaf:
        command = ["bash", "-c", 'exec "$@" 2>&-', "bash", *command]
    ran = subprocess.run(
        command, cwd=home, env=environment | changes, capture_output=True, check=False
    )
    assert ran.returncode == 0, ascii((words, ran.stdout[-2000:], ran.stderr[-2000:]))
    assert b"Traceback" not in ran.stdout + ran.stderr
    if shell == "ASCII":
        (ran.stdout + ran.stderr.replace("█▏▎▍▌▋▊▉".encode(), b"")).decode("ascii", "replace")
    return ran.stdout.decode("utf-8", "replace")


def results(home: Path) -> dict[str, Any]:
    """What has to be the same wherever it was made."""
    with np.load(home / "samples.npz") as arrays:
        samples = hashlib.sha256(arrays["images"].tobytes()).hexdigest()
    evaluation = json.loads((home / "evaluated" / "evaluation.json").read_text(encoding="utf-8"))
    gifs = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (home / "gifs").iterdir()}
    model = (home / "run" / "model.safetensors").read_bytes()
    return {
        "model": hashlib.sha256(model).hexdigest(),
        "samples": samples,
        "gifs": gifs,
        "evaluation": evaluation["results"],
    }


REFERENCE: dict[str, Any] = {}


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", "another"])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_nasty_folder_goes_the_whole_way(shell: str, user: str, folder: Path) -> None:
    prefix: Sequence[str] = ()
    if user == "another":
        if os.getuid() != 0 or shutil.which("setpriv") is None:
            pytest.skip("only root can become another user")
        prefix = unprivileged(65534)
    home = folder / f"home-{len(list(folder.glob('home-*')))}"
    home.mkdir()
    (home / "pics").symlink_to(folder / "pics")
    shutil.copy(folder / "tiny.toml", home)
    if user == "another":
        os.chown(home, 65534, 65534)

    def mezzotint(*words: str) -> str:
        return go(folder, home, shell, prefix, *words)

    said = mezzotint("doctor", "folder:pics", "--size", "8", "--channels", "1")
    assert "left out" in said
    assert "broken:" in said
    mezzotint("train", "tiny.toml", "--steps", "2", "--out", "run")
    mezzotint("train", "--resume", "run", "--steps", "4", "--changes", "allow")
    mezzotint("sample", "run", "--count", "10", "--out", "samples.npz")
    mezzotint("gif", "run", "1", "10", "Cats", "cats", "--out", "gifs")
    for kind in ("plain", "residual"):
        words = ["--kind", kind, "--data", "folder:pics", "--size", "8", "--channels", "1"]
        words += ["--broken", "skip", "--epochs", "1"]
        mezzotint("train-classifier", f"{kind}.safetensors", *words)
    judges = ["--judge", "plain.safetensors", "--witness", "residual.safetensors"]
    mezzotint("evaluate", "run", "--count", "230", *judges, "--out", "evaluated")
    REFERENCE.setdefault("results", results(home))
    assert results(home) == REFERENCE["results"]
    assert not list(home.rglob(".tmp-*"))
