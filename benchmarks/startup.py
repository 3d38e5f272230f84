"""How long from pressing return: whole commands, the median of several starts.

python benchmarks/startup.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import machine

TIMES = 11
TORCH = "python -c 'import torch'"
COMMANDS = {
    TORCH: ["-c", "import torch"],
    **{
        f"mezzotint {words}": ["-m", "mezzotint", *words.split()]
        for words in ("--help", "train --help", "sample digits 7", "sample digits-fast 7")
    },
}

# As after an installation by pip: compiled, which this variable would forbid.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def seconds(words: list[str]) -> float:
    """Wall clock of one start, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *words], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True
        )
        return time.perf_counter() - start


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for words in COMMANDS.values():  # this compiles, and brings files into memory
        seconds(words)
    for _ in range(TIMES):
        for name, words in COMMANDS.items():
            found[name].append(seconds(words))
    # Of each round, because the machine's speed changes between them.
    beside = {
        name: statistics.median(t / torch for t, torch in zip(times, found[TORCH], strict=True))
        for name, times in found.items()
    }
    rows = [
        [
            f"`{name}`",
            f"{statistics.median(times):.2f}",
            f"{max(times):.2f}",
            f"{beside[name]:.2f}",
        ]
        for name, times in found.items()
    ]
    headings = ["command", "seconds, median", "slowest", "times as long as importing torch"]
    machine.write_section(
        "start-up",
        f"## Start-up\n\n{machine.table(headings, rows)}\n\n{TIMES} starts each, in turn,"
        f" after one that does not count. {machine.describe()}.",
    )


if __name__ == "__main__":
    main()
