"""Copies of the source in which mistakes are made, one at a time, and tried by tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from soak import report

LONGEST = 300
"""Seconds after which the tests of a mistake are given up."""


@dataclass(frozen=True)
class Mistake:
    """A file of the source as it would be with a mistake.

    Args:
        file: in src/mezzotint.
        source: what stands in it.
        tests: files in tests, or tests of them, that should notice.
    """

    file: str
    source: str
    tests: tuple[str, ...]


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


def caught_by(mistake: Mistake, tree: Path) -> str | None:
    """Make a mistake in a copy, try it, and take it out again.

    Returns:
        The first test that failed; None if none did, if they could not be collected, or took too long.
    """
    path = tree / "src" / "mezzotint" / mistake.file
    right = path.read_text(encoding="utf-8")
    try:
        _write(path, mistake.source)
        run = run_tests(tree, mistake.tests)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _write(path, right)
    return first_failure(run.stdout) if run.returncode == 1 else None


def _write(path: Path, text: str) -> None:
    """Change a module. What was compiled of it goes: a file of the same size and second would pass for it."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def _check_right(tree: Path, tests: Sequence[str]) -> None:
    """Tests that fail without a mistake tell nothing."""
    run = run_tests(tree, tests)
    assert run.returncode == 0, f"tests fail without a mistake:\n{run.stdout[-4000:]}{run.stderr}"


def try_all(mistakes: Sequence[Mistake], jobs: int, title: str) -> Iterator[str | None]:
    """Try mistakes one by one, in as many copies side by side as ``jobs``.

    Args:
        mistakes: what to try.
        jobs: number of copies.
        title: of the bar of progress.

    Yields:
        For each mistake, what :func:`caught_by` says.
    """
    tests = sorted({test for mistake in mistakes for test in mistake.tests})
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees = [copy_of(report.ROOT, Path(folder) / str(k)) for k in range(jobs)]
        shares = [tests[k::jobs] for k in range(jobs)]
        list(pool.map(_check_right, trees[: len(tests)], shares))
        free: SimpleQueue[Path] = SimpleQueue()
        for tree in trees:
            free.put(tree)

        def try_one(mistake: Mistake) -> str | None:
            tree = free.get()
            try:
                return caught_by(mistake, tree)
            finally:
                free.put(tree)

        yield from tqdm(pool.map(try_one, mistakes), title, total=len(mistakes), unit="mistake")
