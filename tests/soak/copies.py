"""Copies of the source in which mistakes are made, one at a time, and tried by tests."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from tqdm import tqdm

from soak import report

NOTICED = (1, 2)
"""Exit statuses of pytest: a test failed, or could not be collected."""


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


class Copy:
    """A copy of what the tests need, and a process that runs them; a context, which ends the process.

    Args:
        folder: where the copy is made; it must not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        unwanted = shutil.ignore_patterns("__pycache__")
        for name in ("src", "tests"):
            shutil.copytree(report.ROOT / name, folder / name, ignore=unwanted)
        shutil.copy(report.ROOT / "pyproject.toml", folder)
        paths = f"{folder / 'src'}{os.pathsep}{folder / 'tests'}"
        # What the tests load is compiled once and kept, even where Python is told not to.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("forks.py"))],
            cwd=folder,
            env={**environment, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def module(self, file: str) -> Path:
        """A file in src/mezzotint."""
        return self.folder / "src" / "mezzotint" / file

    def run_tests(self, tests: Sequence[str]) -> tuple[int, str]:
        """Run fast tests until the first that fails.

        Returns:
            The exit status of pytest, and its output.
        """
        words = ["-o", "addopts=", "-m", "not slow", "-x", "-q", "--tb=short", "-rfE"]
        words += ["-p", "no:cacheprovider", "-p", "no:xdist"]
        words += [
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
        ]  # of what the process has loaded
        words += [f"tests/{test}" for test in tests]
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(words) + "\n")
        self._server.stdin.flush()
        status, output = json.loads(self._server.stdout.readline())
        return status, output


def first_failure(output: str) -> str:
    """The test that failed, in the summary at the end of pytest's output."""
    words = ("FAILED tests/", "ERROR tests/")
    lines = [line for line in output.splitlines() if line.startswith(words)]
    assert lines, output[-2000:]
    return lines[0].split("tests/", 1)[1].split(" - ")[0]


def caught_by(mistake: Mistake, copy: Copy) -> str | None:
    """Make a mistake in a copy, try it, and take it out again.

    Returns:
        The first test that failed, or file that could not be imported; None if all passed or took too long.
    """
    path = copy.module(mistake.file)
    right = path.read_text(encoding="utf-8")
    try:
        _write(path, mistake.source)
        status, output = copy.run_tests(mistake.tests)
    finally:
        _write(path, right)
    return first_failure(output) if status in NOTICED else None


def _write(path: Path, text: str) -> None:
    """Change a module. What was compiled of it goes: a file of the same size and second would pass for it."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def _check_right(copy: Copy, tests: Sequence[str]) -> None:
    """Tests that fail without a mistake tell nothing."""
    status, output = copy.run_tests(tests)
    assert status == 0, f"tests fail without a mistake:\n{output[-4000:]}"


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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copies = [stack.enter_context(Copy(folder / str(k))) for k in range(jobs)]
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        shares = [tests[k::jobs] for k in range(jobs)]
        list(pool.map(_check_right, copies[: len(tests)], shares))
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)

        def try_one(mistake: Mistake) -> str | None:
            copy = free.get()
            try:
                return caught_by(mistake, copy)
            finally:
                free.put(copy)

        yield from tqdm(pool.map(try_one, mistakes), title, total=len(mistakes), unit="mistake")
