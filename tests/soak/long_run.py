"""Train many tiny steps, and watch memory, open files, the disk and the metrics from another process.

Memory and open files must not grow with the steps, the disk is bounded by the checkpoints that are kept, and
each reading of metrics.jsonl gives whole entries, in order.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.toml import to_toml
from mezzotint.training.log import read_metrics
from mezzotint.utils.files import sizes

from . import report, tiny_runs

SLOPE = 100.0
"""Bytes a step by which memory may grow, over the second half of a run."""

WARM_UP = 2e6
"""Bytes that do not count: of a short run, all may be that allocators fill up."""

WARM = 0.25
"""Share of the run that is left out: allocators and caches fill up."""


@dataclass(frozen=True)
class Reading:
    """What another process sees at a moment.

    Args:
        step: of the newest entry of the metrics.
        memory: resident bytes.
        handles: open files.
        disk: bytes of the run's folder, without its metrics.
        metrics: bytes of the metrics.
    """

    step: int
    memory: int
    handles: int
    disk: int
    metrics: int


def recipe_file(folder: Path, steps: int) -> Path:
    """A recipe whose steps take some milliseconds, most of them outside the network."""
    tiny = tiny_runs.recipe_of("denoising, adamw", folder)
    changes = {
        "net": {"width": 4, "blocks": 1, "heads": 1, "embedding": 8, "groups": 2},
        "training": {
            "steps": steps,
            "batch": 1,
            "log_every": 50,
            "save_every": 1000,
            "sample_every": 0,
            "keep": 2,
        },
    }
    path = folder / "long.toml"
    path.write_text(to_toml(as_recipe(tiny, changes)), encoding="utf-8")
    return path


def read(process: int, run: Path) -> Reading | None:
    """A reading; None while there is nothing to read yet, or no more.

    Raises:
        AssertionError: if the metrics are not whole and in order.
    """
    path = run / "metrics.jsonl"
    try:
        entries = read_metrics(path)
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        handles = len(os.listdir(f"/proc/{process}/fd"))
    except (OSError, IndexError):
        return None
    steps = [entry["step"] for entry in entries]
    assert steps == list(range(50, 50 * len(steps) + 1, 50)), "metrics out of order"
    if not steps or not pages:  # not yet, or no more
        return None
    files = sizes(run)
    metrics = files.pop(path, 0)
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return Reading(steps[-1], memory, handles, sum(files.values()), metrics)


def watch(folder: Path, steps: int, pause: float) -> tuple[list[Reading], int]:
    """Train in another process, and read until it ends.

    Returns:
        The readings, and the exit status.
    """
    recipe = recipe_file(folder, steps)
    words = ["-m", "mezzotint", "train", str(recipe), "--out", "run"]
    readings = []
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        with tqdm(total=steps, desc="steps", unit="step") as bar:
            while process.poll() is None:
                time.sleep(pause)
                reading = read(process.pid, folder / "run")
                if reading and reading.step < steps:  # after the last step, pictures are drawn
                    readings.append(reading)
                    bar.update(reading.step - bar.n)
    return readings, process.returncode


def slope(readings: list[Reading], name: str) -> float:
    """The growth of a number with each step, by least squares, after the warm-up."""
    steps = readings[-1].step
    late = [reading for reading in readings if reading.step >= WARM * steps]
    x = np.array([reading.step for reading in late], np.float64)
    y = np.array([getattr(reading, name) for reading in late], np.float64)
    return float(np.polyfit(x, y, 1)[0]) if len(late) > 2 else 0.0


def judge(readings: list[Reading], status: int) -> list[str]:
    """A line for each promise that was broken."""
    failures = []
    if status:
        failures.append(f"the training ended with {status}")
    if len(readings) < 8:
        return [*failures, f"only {len(readings)} readings"]
    growth = slope(readings, "memory")
    if growth > SLOPE and growth * readings[-1].step > WARM_UP:
        failures.append(f"memory grows by {growth:.0f} bytes a step")
    late = [reading for reading in readings if reading.step >= WARM * readings[-1].step]
    if max(r.handles for r in late) > max(r.handles for r in readings[: len(readings) // 2]) + 2:
        failures.append("open files become more")
    checkpoint = max(r.disk for r in readings[: len(readings) // 2])
    if max(r.disk for r in late) > 2 * checkpoint:
        failures.append("the folder grows beyond the checkpoints that are kept")
    return failures


def attack(count: int) -> tuple[str, list[str]]:
    """Train ``count`` steps, and describe the readings."""
    with tempfile.TemporaryDirectory() as name:
        readings, status = watch(Path(name), count, pause=max(0.2, count / 200_000))
    failures = judge(readings, status)
    shown = [readings[round(k * (len(readings) - 1) / 8)] for k in range(9)] if readings else []
    rows = [
        [
            f"{reading.step:,}",
            f"{reading.memory / 1e6:.1f}",
            f"{reading.handles}",
            f"{reading.disk / 1e3:,.0f}",
            f"{reading.metrics / 1e3:,.0f}",
        ]
        for reading in shown
    ]
    headings = ["step", "memory, MB", "open files", "folder, kB", "metrics, kB"]
    text = (
        f"## Long runs\n\nA training of {count:,} steps with an entry of metrics every 50 steps and a"
        f" checkpoint every 1,000, of which two are kept, watched by another process {len(readings):,} times."
        " Each reading of the metrics gave whole entries in order.\n\n"
        f"{report.machine.table(headings, rows)}\n\n"
        f"After the first quarter, memory grows by {slope(readings, 'memory'):.1f} bytes a step (by least"
        f" squares; at most {SLOPE:.0f} are allowed); open files by {slope(readings, 'handles') * 1e6:.1f} a"
        " million steps."
    )
    return text, failures


def main() -> int:
    parser = report.parser("long_run", __doc__, 200_000, "steps")
    options = parser.parse_args()
    return report.run("long runs", lambda: attack(options.count), options.write)


if __name__ == "__main__":
    sys.exit(main())
