"""What every attack needs: a count of what came of it, and a section of docs/reliability.md to write to."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import machine  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"


class Broken(Exception):
    """A promise that was not kept."""


@dataclass
class Tally:
    """How often each outcome was seen, in a row for each kind of attack.

    Args:
        outcomes: names of the outcomes that are in order, which are columns of the table.
    """

    outcomes: Sequence[str]
    rows: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, row: str, outcome: str) -> None:
        """Count an outcome that is in order."""
        assert outcome in self.outcomes, outcome
        self.rows.setdefault(row, Counter())[outcome] += 1

    def fail(self, row: str, what: str) -> None:
        """Count a promise that was broken, and say how."""
        self.rows.setdefault(row, Counter())["broken"] += 1
        self.failures.append(f"{row}: {what}")
        print(f"BROKEN {row}: {what}", flush=True)

    @property
    def total(self) -> int:
        """All attacks that were counted."""
        return sum(counts.total() for counts in self.rows.values())

    def table(self, heading: str) -> str:
        """A Markdown table; ``heading`` is that of its first column."""
        columns = [*self.outcomes, "broken"]
        rows = [
            [name, *(f"{counts[column]:,}" for column in columns)]
            for name, counts in self.rows.items()
        ]
        everything = sum(self.rows.values(), Counter())
        rows.append(["all", *(f"{everything[column]:,}" for column in columns)])
        return machine.table([heading, *columns], rows)


def parser(module: str, text: str | None, count: int, counted: str) -> argparse.ArgumentParser:
    """The options that every attack has.

    Args:
        module: the name of the attack, for its command.
        text: docstring of its module, whose first paragraph the help shows.
        count: how many attacks there are if nothing is said.
        counted: what is counted.
    """
    result = argparse.ArgumentParser(
        prog=f"python -m soak.{module}", description=(text or "").split("\n\n")[0]
    )
    result.add_argument("--count", type=int, default=count, help=f"{counted} (default {count})")
    result.add_argument("--seed", type=int, default=0, help="of the attacks (default 0)")
    result.add_argument(
        "--write", action="store_true", help="write the figures to docs/reliability.md"
    )
    return result


def run(name: str, attack: Callable[[], tuple[str, Sequence[str]]], write: bool) -> int:
    """Run an attack, and print or write what came of it.

    Args:
        name: of its section of docs/reliability.md.
        attack: returns the section, in Markdown, and a line for each promise that was broken.
        write: whether the section is written.

    Returns:
        The exit status: 1 if a promise was broken.
    """
    start = time.perf_counter()
    text, failures = attack()
    minutes = (time.perf_counter() - start) / 60
    command = " ".join(["python -m", f"soak.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    broken = "".join(f"\n- {line}" for line in failures[:20])
    text = (
        f"{text.strip()}\n\n`{command.removesuffix(' --write')}`, {minutes:.1f} minutes on"
        f" {machine.describe()}.{broken}"
    )
    if write:
        with FileLock(Path(tempfile.gettempdir()) / "mezzotint-soak.lock"):
            machine.write_section(name, text, PAGE)
    else:
        print(text)
    return 1 if failures else 0
