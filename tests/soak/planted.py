"""Whether the fast tests notice mistakes in the source, such as a sign, a step too many, or a root left out.

One at a time is planted in a copy: a file is changed, the fast tests of its subject run until the first
that fails, and the file is put back. A mistake counts as caught if a test failed; tests that could not be
collected, or took too long, do not count. Before that, the copy without a mistake passes all these tests.
"""

import argparse
import ast
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from soak import report
from soak.copies import Mistake, try_all
from soak.faults import FAULTS, Fault

MOST_MISSED = 2
"""Mistakes of all that may stay unnoticed."""


def planted(fault: Fault, tree: Path) -> Mistake:
    """The file of a fault as it would be with it."""
    source = (tree / "src" / "mezzotint" / fault.file).read_text(encoding="utf-8")
    times = source.count(fault.old)
    assert times == 1, f"{fault.name}: {fault.file} has {times} times\n{fault.old}"
    wrong = source.replace(fault.old, fault.new)
    ast.parse(wrong)  # a SyntaxError would be noticed by any test
    return Mistake(fault.file, wrong, fault.tests)


def attack(chosen: Sequence[Fault], jobs: int) -> tuple[str, list[str]]:
    """Plant faults, in as many copies as ``jobs``.

    Returns:
        The section of docs/reliability.md, and a line for each promise that was broken.
    """
    mistakes = [planted(fault, report.ROOT) for fault in chosen]
    found = []
    for fault, test in zip(chosen, try_all(mistakes, jobs, "planted"), strict=True):
        found.append(test)
        if test is None:
            tqdm.write(f"not caught: {fault.name} ({fault.file})", file=sys.stderr)
    return section(chosen, found), broken(chosen, found)


def broken(chosen: Sequence[Fault], found: Sequence[str | None]) -> list[str]:
    """A line for each fault that was missed, if these are more than may be."""
    missed = [fault.name for fault, test in zip(chosen, found, strict=True) if test is None]
    allowed = MOST_MISSED if len(chosen) == len(FAULTS) else 0
    return [f"not caught: {name}" for name in missed] if len(missed) > allowed else []


def section(chosen: Sequence[Fault], found: Sequence[str | None]) -> str:
    """What came of it, in Markdown."""
    caught = sum(test is not None for test in found)
    rows = [
        [fault.name, f"`{fault.file}`", f"`{test}`" if test else "nothing"]
        for fault, test in zip(chosen, found, strict=True)
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
