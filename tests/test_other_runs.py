"""Clusters, clocks and libraries of other people around a run: the second list, D58 to D60 and D62."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import tiny_data, tiny_recipe
from machines import (
    COMMAND,
    TINY,
    ended,
    environment,
    mezzo,
    save_npz,
    started,
    wait_for_entries,
)
from mezzotint import RecipeError, build, load, train
from mezzotint.training.log import read_metrics


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


def model_bytes(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- D58: left-overs of a cluster in the environment ---------------------------------------------

LEFT_OVERS = {
    "local rank": {"LOCAL_RANK": "0"},
    "local rank 3": {"LOCAL_RANK": "3"},
    "rank 0 of 1": {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "no.host"},
    "rank 1 of 4": {"RANK": "1", "WORLD_SIZE": "4"},
    "no rank": {"WORLD_SIZE": "4", "MASTER_ADDR": "no.host", "MASTER_PORT": "1"},
    "slurm": {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "7"},
    "open mpi": {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"},
    "mpich": {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"},
    "accelerate": {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_USE_FSDP": "true"},
    "empty": {"RANK": "", "WORLD_SIZE": "", "LOCAL_RANK": ""},
    "no numbers, alone": {"RANK": "first", "LOCAL_RANK": "x"},
}


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("tiny_images", "no_cluster")
@pytest.mark.parametrize("kind", LEFT_OVERS)
def test_d58_what_a_cluster_left_behind_does_not_matter(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(training={"steps": 2})
    train(recipe, tmp_path / "plain")
    for name, value in LEFT_OVERS[kind].items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may be said
        train(recipe, tmp_path / "run")
    assert model_bytes(tmp_path / "run") == model_bytes(tmp_path / "plain")


@pytest.mark.usefixtures("tiny_images", "no_cluster")
@pytest.mark.parametrize("value", ["four", "-1", "2.5", "0"])
def test_d58_a_number_of_processes_that_is_none(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, or refused with the variable's name."""
    monkeypatch.setenv("WORLD_SIZE", value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = None
        try:
            train(tiny_recipe(training={"steps": 1}), tmp_path / "run")
        except ValueError as error:
            refused = str(error)
    assert refused is None or "WORLD_SIZE" in refused
    assert (tmp_path / "run").exists() == (refused is None)


@pytest.mark.slow
def test_d58_a_local_rank_on_the_command_line(tmp_path: Path) -> None:
    save_npz(tmp_path / "tiny.npz", tiny_data(40))
    words = [
        "train",
        "digits",
        "--data.name",
        "npz:tiny.npz",
        *TINY,
        "--steps",
        "2",
        "--out",
        "run",
    ]
    left = {"LOCAL_RANK": "0", "RANK": None, "WORLD_SIZE": None}
    ran = mezzo(*words, folder=tmp_path, env=left)
    assert ran.returncode == 0, ran.stderr
    assert len(read_metrics(tmp_path / "run/metrics.jsonl")) == 2


# --- D59: two runs, one folder -------------------------------------------------------------------

AT_ONCE = """
import atexit, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
time.strftime = lambda *words: "20260102-030405"
from mezzotint import build
from mezzotint.cli import main
open_data = build.load_data
here = Path("here-" + sys.argv[1])
atexit.register(here.touch)

def together(*words, **options):
    "The data are opened when both processes have come here, or have ended."
    here.touch()
    until = time.monotonic() + 30
    while not (Path("here-0").exists() and Path("here-1").exists()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return open_data(*words, **options)

build.load_data = together
main(sys.argv[2:])
"""


def both(folder: Path, *words: str) -> list["subprocess.CompletedProcess[str]"]:
    """Two trainings that begin in one second."""
    save_npz(folder / "tiny.npz", tiny_data(40))
    flags = ["train", "digits", "--data.name", "npz:tiny.npz", *TINY, "--steps", "3", *words]
    with (
        started([sys.executable, "-c", AT_ONCE, "0", *flags], folder) as first,
        started([sys.executable, "-c", AT_ONCE, "1", *flags], folder) as second,
    ):
        return [ended(first), ended(second)]


@pytest.mark.slow
def test_d59_two_runs_that_begin_in_one_second_have_two_folders(tmp_path: Path) -> None:
    ran = both(tmp_path)
    assert [r.returncode for r in ran] == [0, 0], [r.stderr for r in ran]
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert [e["step"] for e in read_metrics(folder / "metrics.jsonl")] == [1, 2, 3]
    assert model_bytes(folders[0]) == model_bytes(folders[1])


@pytest.mark.slow
def test_d59_of_two_runs_that_want_one_folder_one_gets_it(tmp_path: Path) -> None:
    """The other is told so, or which it did not get."""
    ran = sorted(both(tmp_path, "--out", "run"), key=lambda r: r.returncode)
    assert [r.returncode for r in ran] == [0, 1], [r.stderr for r in ran]
    assert "run" in ran[1].stderr.rpartition("mezzotint: ")[2]
    assert "Traceback" not in ran[1].stderr
    steps = [e["step"] for e in read_metrics(tmp_path / "run/metrics.jsonl")]
    assert steps == [1, 2, 3]


@pytest.mark.usefixtures("tiny_images")
def test_d59_one_run_after_another_in_one_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda *words: "20260102-030405")
    made = [train(tiny_recipe(training={"steps": 1})) for _ in range(3)]
    assert len({folder.resolve() for folder in made}) == 3
    assert all((folder / "model.safetensors").is_file() for folder in made)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_images")
def test_d59_a_run_that_is_being_trained_belongs_to_its_process(tmp_path: Path) -> None:
    """Nobody else goes on with it, or begins another there; when its process is killed, it is free."""
    save_npz(tmp_path / "tiny.npz", tiny_data(40))
    flags = [*TINY, "--steps", "1000000", "--save-every", "2", "--sample-every", "0"]
    words = [*COMMAND, "train", "digits", "--data.name", "npz:tiny.npz", *flags, "--out", "run"]
    folder = tmp_path / "run"
    with started(words, tmp_path) as process:
        wait_for_entries(folder, 5, process)
        with pytest.raises((RecipeError, OSError), match="run"):
            train(tiny_recipe(training={"steps": 1}), resume=folder, changes="allow")
        with pytest.raises((RecipeError, OSError), match="run"):
            train(tiny_recipe(training={"steps": 1}), folder)
        assert not (folder / "model.safetensors").exists()
        seen = len(read_metrics(folder / "metrics.jsonl"))
        wait_for_entries(folder, seen + 2, process)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    train(tiny_recipe(training={"steps": 1}), resume=folder, changes="allow")
    assert load(folder).sample([0]).shape == (1, 1, 8, 8)


@pytest.mark.usefixtures("tiny_images")
def test_d59_a_run_that_failed_or_is_done_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(training={"steps": 4, "save_every": 2})
    folder = train(recipe, tmp_path / "run")
    assert train(resume=folder) == folder
    (folder / "model.safetensors").unlink()
    shutil.rmtree(folder / "checkpoints/step-00000004")

    def fails(self: Any, entry: Any) -> None:
        raise OSError(errno.EIO, "failed")

    with monkeypatch.context() as patch:
        patch.setattr("mezzotint.training.log.MetricsLog.write", fails)
        with pytest.raises(OSError, match="failed"):
            train(resume=folder)
    assert train(resume=folder) == folder
    assert (folder / "model.safetensors").is_file()


# --- D60: the others time out while the first works ----------------------------------------------

IMPATIENT = """
import functools, os, sys, time
from datetime import timedelta
import torch
import torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group = functools.partial(dist.init_process_group, timeout=timedelta(seconds=4))
from mezzotint import build, weights
from mezzotint.cli import main
from mezzotint.training.trainer import Trainer
from mezzotint.evaluation import measure

def slowly(call):
    @functools.wraps(call)
    def slow(*words, **options):
        if os.environ["RANK"] == "0":
            time.sleep(9)
        return call(*words, **options)
    return slow

match sys.argv[1]:
    case "decoding":
        build.load_data = slowly(build.load_data)
    case "saving":
        weights.write = slowly(weights.write)
main(sys.argv[2:])
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["decoding", "saving", "nothing"])
def test_d60_the_others_wait_while_the_first_works(what: str, tmp_path: Path) -> None:
    """Longer than collectives may take."""
    save_npz(tmp_path / "tiny.npz", tiny_data(40))
    words = [
        "train",
        "digits",
        "--data.name",
        "npz:tiny.npz",
        *TINY,
        "--steps",
        "2",
        "--out",
        "run",
    ]
    port = str(free_port())
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{"RANK": str(k), "LOCAL_RANK": str(k)} for k in (0, 1)]
    command = [sys.executable, "-c", IMPATIENT, what, *words]
    first, second = (environment(tmp_path, **place, **rank) for rank in ranks)
    with (
        started(command, tmp_path, env=first) as main,
        started(command, tmp_path, env=second) as other,
    ):
        ran = [ended(main), ended(other)]
    assert [r.returncode for r in ran] == [0, 0], [r.stderr for r in ran]
    assert [e["step"] for e in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2]
    assert (tmp_path / "run/model.safetensors").is_file()


# --- D62: somebody else's Accelerator ------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[Any]:
    """The library accelerate, whose state is the whole process's; as it was before, when the test ends."""
    from accelerate import state

    before = dict(os.environ)
    reset = [state.AcceleratorState._reset_state, state.GradientState._reset_state]
    for clean in reset:
        clean()
    yield state
    state.AcceleratorState._reset_state(reset_partial_state=True)
    state.GradientState._reset_state()
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("kind", ["bf16", "partial", "accumulating"])
def test_d62_somebody_elses_accelerator_does_not_matter(
    kind: str, stranger: Any, tmp_path: Path
) -> None:
    from accelerate import Accelerator

    recipe = tiny_recipe(training={"steps": 3, "accumulate": 2})
    train(recipe, tmp_path / "plain")
    match kind:
        case "bf16":
            other: Any = Accelerator(cpu=True, mixed_precision="bf16")
        case "partial":
            other = stranger.PartialState(cpu=True)
        case "accumulating":
            other = Accelerator(cpu=True, gradient_accumulation_steps=4)
    train(recipe, tmp_path / "run")
    assert model_bytes(tmp_path / "run") == model_bytes(tmp_path / "plain")
    if kind == "bf16":
        assert other.mixed_precision == "bf16"
    assert stranger.PartialState().num_processes == 1


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_images")
def test_d62_trainings_of_other_settings_follow_each_other(stranger: Any, tmp_path: Path) -> None:
    """Each as if it were the only one of its process."""
    from accelerate import Accelerator

    settings: list[dict[str, Any]] = [
        {"accumulate": 4, "precision": "fp32"},
        {"optimizer": "adamw", "learning_rate": 1e-3, "precision": "auto"},
        {"deterministic": True, "clip_gradient": 0.1},
    ]
    for round_ in range(2):
        for k, training in enumerate(settings):
            recipe = tiny_recipe(training={"steps": 2} | training)
            train(recipe, tmp_path / f"{round_}-{k}")
    for k in range(len(settings)):
        assert model_bytes(tmp_path / f"0-{k}") == model_bytes(tmp_path / f"1-{k}")
    assert Accelerator(cpu=True, mixed_precision="bf16").mixed_precision == "bf16"
