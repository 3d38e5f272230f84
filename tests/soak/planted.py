"""Whether the fast tests notice mistakes in the source, such as a sign, a step too many, or a root left out.

One at a time is planted in a copy: a file is changed, the fast tests of its subject run until the first
that fails, and the file is put back. A mistake counts as caught if a test failed; tests that could not be
collected, or took too long, do not count. Before that, the copy without a mistake passes all these tests.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from soak import report
from soak.faults import FAULTS, Fault

MOST_MISSED = 2
"""Mistakes of all that may stay unnoticed."""

LONGEST = 300
"""Seconds after which the tests of a mistake are given up."""


def planted(fault: Fault, tree: Path) -> str:
    """The file of a mistake as it would be with it."""
    source = (tree / "src" / "mezzotint" / fault.file).read_text(encoding="utf-8")
    times = source.count(fault.old)
    assert times == 1, f"{fault.name}: {fault.file} has {times} times\n{fault.old}"
    wrong = source.replace(fault.old, fault.new)
    ast.parse(wrong)  # a SyntaxError would be noticed by any test
    return wrong


def copy_of(tree: Path, folder: Path) -> Path:
    """A copy of what the tests need."""
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests"):
        shutil.copytree(tree / name, folder / name, ignore=unwanted)
    shutil.copy(tree / "pyproject.toml", folder)
    return folder


def run_tests(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run fast tests of a copy until the first that fails, in this process's environment otherwise."""
    words = ["-o", "addopts=", "-m", "not slow", "-x", "-q", "--tb=short", "-rfE"]
    words += ["-p", "no:cacheprovider", "-p", "no:xdist"]
    paths = f"{tree / 'src'}{os.pathsep}{tree / 'tests'}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words, *(f"tests/{test}" for test in tests)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )


def first_failure(output: str) -> str:
    """The test that failed, in the summary at the end of pytest's output."""
    words = ("FAILED tests/", "ERROR tests/")
    lines = [line for line in output.splitlines() if line.startswith(words)]
    assert lines, output[-2000:]
    return lines[0].split("tests/", 1)[1].split(" - ")[0]


def caught_by(fault: Fault, tree: Path) -> str | None:
    """Plant a mistake in a copy, and take it out again.

    Returns:
        The first test that failed; None if none did.
    """
    path = tree / "src" / "mezzotint" / fault.file
    right = path.read_text(encoding="utf-8")
    try:
        write(path, planted(fault, tree))
        run = run_tests(tree, fault.tests)
    except subprocess.TimeoutExpired:
        return None
    finally:
        write(path, right)
    return first_failure(run.stdout) if run.returncode == 1 else None


def write(path: Path, text: str) -> None:
    """Change a module. What was compiled of it goes: a file of the same size and second would pass for it."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def check_right(tree: Path, tests: Sequence[str]) -> None:
    """Tests that fail without a mistake tell nothing."""
    run = run_tests(tree, tests)
    assert run.returncode == 0, f"tests fail without a mistake:\n{run.stdout[-4000:]}{run.stderr}"


def attack(chosen: Sequence[Fault], jobs: int) -> tuple[str, list[str]]:
    """Plant mistakes, in as many copies as ``jobs``.

    Returns:
        The section of docs/reliability.md, and a line for each promise that was broken.
    """
    tests = sorted({test for fault in chosen for test in fault.tests})
    found: dict[str, str | None] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees = [copy_of(report.ROOT, Path(folder) / str(k)) for k in range(jobs)]
        shares = [tests[k::jobs] for k in range(jobs)]
        list(pool.map(check_right, trees[: len(tests)], shares))
        free: SimpleQueue[Path] = SimpleQueue()
        for tree in trees:
            free.put(tree)

        def try_one(fault: Fault) -> str | None:
            tree = free.get()
            try:
                return caught_by(fault, tree)
            finally:
                free.put(tree)

        results = pool.map(try_one, chosen)
        with tqdm(results, "planted", total=len(chosen), unit="mistake") as bar:
            for fault, test in zip(chosen, bar, strict=True):
                found[fault.name] = test
                if test is None:
                    bar.write(f"NOT CAUGHT: {fault.name} ({fault.file})", file=sys.stderr)
    return section(chosen, found), broken(found)


def broken(found: dict[str, str | None]) -> list[str]:
    """A line for each mistake that was missed, if these are more than may be."""
    missed = [name for name, test in found.items() if test is None]
    allowed = MOST_MISSED if len(found) == len(FAULTS) else 0
    return [f"not caught: {name}" for name in missed] if len(missed) > allowed else []


def section(chosen: Sequence[Fault], found: dict[str, str | None]) -> str:
    """What came of it, in Markdown."""
    caught = sum(test is not None for test in found.values())
    rows = [
        [fault.name, f"`{fault.file}`", f"`{test}`" if (test := found[fault.name]) else "nothing"]
        for fault in chosen
    ]
    table = report.machine.table(["mistake", "file", "caught by"], rows)
    table = table.replace("---:", "---")  # its columns are words
    return (
        "## Planted mistakes\n\n"
        "Each mistake is planted alone in a copy of the source, and the fast tests of its subject run until"
        f" one fails; without a mistake all of them pass. {caught} of {len(chosen)} were caught; the promise"
        f" is that of {len(FAULTS)} at most {MOST_MISSED} are not.\n\n"
        f"{table}"
    )


def options() -> argparse.Namespace:
    """The options of the command."""
    words = report.parser("planted", __doc__, len(FAULTS), "how many mistakes, chosen by the seed")
    words.add_argument("--jobs", type=int, default=2, help="copies tried side by side (default 2)")
    words.add_argument("--only", help="numbers of mistakes between commas, the first one being 1")
    return words.parse_args()


def main() -> int:
    """Plant the mistakes that are asked for."""
    given = options()
    if given.only is not None:
        chosen = [FAULTS[int(number) - 1] for number in given.only.split(",")]
    elif given.count < len(FAULTS):
        chosen = random.Random(given.seed).sample(FAULTS, given.count)
    else:
        chosen = FAULTS
    return report.run("planted mistakes", lambda: attack(chosen, given.jobs), given.write)


if __name__ == "__main__":
    sys.exit(main())
