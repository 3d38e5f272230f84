"""The fast tests with several versions of Python and torch, each in an environment of its own.

    python .ci/matrix.py                                          # every Python here, oldest and newest torch
    python .ci/matrix.py --python python3.12 --torch 2.14.1
    python .ci/matrix.py --tests tests/test_samplers.py           # some of the tests

A version that is not to be had is named and passed over. Needs nothing but Python.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
TORCHES = ("2.7.1", "2.13.0", "2.14.1")
"""The oldest that pyproject.toml allows, the pinned one, and the newest."""
WITH_TORCH = ("setuptools==", "torch==", "torchmetrics==", "torchvision==")
"""Pins that are for the pinned torch alone."""


def run(command: list[str], log: Path) -> bool:
    """Run a command, its output into a log. Tells whether it went well."""
    with log.open("a", encoding="utf-8") as file:
        return (
            subprocess.run(command, stdout=file, stderr=file, cwd=ROOT, check=False).returncode == 0
        )


def check(python: str, torch: str, tests: list[str]) -> str:
    """What came of the tests with one Python and one torch, in words."""
    folder = ROOT / ".matrix" / f"{python}-torch-{torch}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    constraints = folder / "constraints.txt"
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in pinned if not line.startswith(WITH_TORCH)]
    constraints.write_text("\n".join([*kept, f"torch=={torch}"]) + "\n", encoding="utf-8")
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--constraint", str(constraints)]
    steps = {
        "no environment": [python, "-m", "venv", str(folder)],
        "no such torch": [*pip, f"torch=={torch}"],
        "cannot be installed": [*pip, "--editable", ".[dev]"],
    }
    for fault, command in steps.items():
        if not run(command, log):
            return f"{fault} (.matrix/{folder.name}/log.txt)"
    start = time.perf_counter()
    passed = run([str(folder / "bin" / "pytest"), "-n", "2", *tests], log)
    summary = log.read_text(encoding="utf-8").strip().splitlines()[-1]
    words = "passed" if passed else f"FAILED: {summary} (.matrix/{folder.name}/log.txt)"
    return f"{words}, {time.perf_counter() - start:.0f} s"


def main() -> None:
    """Run the matrix and print a line for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", action="append", help="command of a Python; may be repeated")
    parser.add_argument("--torch", action="append", help="version of torch; may be repeated")
    parser.add_argument(
        "--tests", nargs="*", default=[], help="files of tests; all fast ones if none"
    )
    arguments = parser.parse_args()
    failed = False
    for python in arguments.python or PYTHONS:
        if shutil.which(python) is None:
            print(f"{python}: not here", flush=True)
            continue
        for torch in arguments.torch or TORCHES:
            words = check(python, torch, arguments.tests)
            failed |= words.startswith("FAILED")
            print(f"{python}, torch {torch}: {words}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
