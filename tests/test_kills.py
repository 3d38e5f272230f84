"""Trainings that are killed and resumed end with the same bits; more of them in `make soak`."""

import subprocess
import sys
from pathlib import Path

import pytest

from soak import disk

TESTS = Path(__file__).parent

pytestmark = pytest.mark.skipif(disk.compiler() is None, reason="needs Linux and gcc")


def soak(*words: str) -> str:
    """What an attack prints; it ends well, if all promises were kept."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def row(output: str, name: str) -> list[int]:
    """The numbers of a row of the table."""
    lines = [line for line in output.splitlines() if line.startswith(f"| {name} |")]
    return [int(cell) for cell in lines[-1].split("|")[2:-1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        pytest.param(2, ["--kinds", "denoising, adamw"], id="few"),
        pytest.param(20, [], id="all"),
    ],
)
def test_a_run_that_is_killed_and_resumed_is_equal_to_an_unbroken_one(
    count: int, kinds: list[str]
) -> None:
    output = soak("soak.kills", "--count", str(count), "--seed", "3", *kinds)
    equal, *endings, broken = row(output, "all")
    assert (equal, broken) == (count, 0)
    assert sum(endings[:3]) > 0  # they were killed indeed


@pytest.mark.slow
def test_one_of_two_processes_is_killed() -> None:
    output = soak("soak.rank_kills", "--count", "3")
    *endings, broken = row(output, "all")
    assert (sum(endings), broken) == (3, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "every"),
    [
        ("sample", 9),
        *((command, 40) for command in ("cache of pictures", "download", "film", "evaluate")),
        *((command, 60) for command in ("train", "resume", "export page")),
        ("export onnx", 5),  # which is each 25th
    ],
)
def test_any_operation_on_a_file_may_fail(command: str, every: int) -> None:
    output = soak("soak.disk_faults", "--count", str(every), "--only", command)
    unharmed, warned, refused, killed, broken = row(output, "all")
    assert broken == 0
    assert refused > 0 < killed
    assert unharmed + warned + refused + killed > 3


@pytest.mark.slow
def test_memory_files_and_disk_do_not_grow_with_the_steps() -> None:
    assert "memory grows by" in soak("soak.long_run", "--count", "6000")
