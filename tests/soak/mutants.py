"""Reads mutants of all files that the package reads, and of command lines, and counts what comes of it."""

import contextlib
import functools
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from . import report
from .byte_changes import mutant
from .confined import Attempt, Limits, verdicts
from .hostile_formats import FORMATS

MEMORY = Path("/dev/shm")
"""A folder of files in memory, where the system has one: every mutant is written to a file."""

SHOWN = 200
"""Bytes of a mutant that is printed."""


def content_of(name: str, seed: int, index: int) -> bytes:
    """A mutant, which is always the same."""
    draw = random.Random(f"{seed} {name} {index}")
    if draw.random() < FORMATS[name].forged:
        return FORMATS[name].forge(draw)
    return mutant(draw, _seeds(name))


@functools.cache
def _seeds(name: str) -> Sequence[bytes]:
    return FORMATS[name].seeds()


def attempts(name: str, seed: int, place: Path) -> Attempt:
    """What reads the mutants of a format in a folder."""
    readings = FORMATS[name].readings(place)
    for reading in readings:  # what is imported and made once is not counted
        for content in _seeds(name):
            with contextlib.suppress(ValueError):
                reading(content)

    def attempt(index: int) -> str:
        content = content_of(name, seed, index)
        return "refused" if readings[index % len(readings)](content) is None else "read"

    return attempt


def attack(tally: report.Tally, name: str, count: int, seed: int, save: Path | None = None) -> None:
    """Read mutants of a format, and count what comes of each.

    Args:
        tally: what is counted.
        name: of the format.
        count: number of mutants.
        seed: of the mutants.
        save: a folder for those that broke the promise; they are not saved if not given.
    """
    _seeds(name)
    count = round(count * FORMATS[name].share)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        make = functools.partial(attempts, name, seed)
        progress = tqdm(
            verdicts(make, Path(place), count, FORMATS[name].limits),
            name,
            count,
            unit="mutant",
            mininterval=2,
        )
        for index, verdict in progress:
            if verdict.outcome != "broken":
                tally.add(name, verdict.outcome)
                continue
            content = content_of(name, seed, index)
            shown = repr(content) if len(content) <= SHOWN else f"{len(content)} bytes"
            tally.fail(name, f"mutant {index} of seed {seed}: {verdict.why}; {shown}")
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{name}-{seed}-{index}").write_bytes(content)


def main() -> int:
    parser = report.parser("mutants", __doc__, 10_000, "mutants of each format")
    parser.add_argument("--only", help=f"formats, between commas (all: {','.join(FORMATS)})")
    parser.add_argument("--save", type=Path, help="folder for mutants that broke the promise")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(FORMATS)
    tally = report.Tally(["read", "refused"])

    def attack_all() -> tuple[str, Sequence[str]]:
        for name in names:
            attack(tally, name, options.count, options.seed, options.save)
        return f"{PROTOCOL}\n\n{tally.table('format')}", tally.failures

    return report.run("mutants", attack_all, options.write)


PROTOCOL = f"""## Mutants

Each format's good files are changed at random (bits turned, parts cut out, repeated or taken from another
file, numbers at the ends of their ranges), or forged to lie (sizes that are not there, bombs, deep nesting,
names that lead out), and read as a user would have them read. Each is to be read, or refused in a line that
says what is wrong, in {Limits().seconds:.0f} seconds of a processor and {Limits().memory // 2**20} MB of
memory; nothing reaches a network, and nothing is left half-written.
Of command lines, `words`, there are a fifth as many, in {FORMATS["words"].limits.seconds:.0f} seconds each,
and what they compute is stopped once it has begun."""


if __name__ == "__main__":
    sys.exit(main())
