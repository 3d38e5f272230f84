"""Damaged and hostile files: single bits flipped, files cut short, pickles that would run code.

Files of a run, of the cache and of the package are damaged in place and read as the product reads them.
Pickles are offered wherever a stranger's file is opened.
"""

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from hostile import PAYLOADS, WAYS, offer
from soak import report
from soak.damage import Subject, flips, head_size, outcome_of, subjects

OUTCOMES = ("detected", "passed over", "harmless")


def damaged(subject: Subject, count: int, draws: random.Random) -> Iterator[str]:
    """Damage a file in ``count`` ways by a bit, and in a fifth as many by its end; in between, it is whole.

    Yields:
        What was done, while it is so.
    """
    content = subject.path.read_bytes()
    try:
        for position, mask in flips(len(content), head_size(subject.path), count, draws):
            with subject.path.open("r+b") as file:
                file.seek(position)
                file.write(bytes([content[position] ^ mask]))
            yield f"bit {mask} of byte {position}"
            with subject.path.open("r+b") as file:
                file.seek(position)
                file.write(content[position : position + 1])
        for k in range(count // 5):
            length = len(content) - 1 - k if k < 16 else draws.randrange(len(content))
            subject.path.write_bytes(content[: max(length, 0)])
            yield f"cut to {length} bytes"
    finally:
        subject.path.write_bytes(content)


def attack_file(subject: Subject, count: int, draws: random.Random, tally: report.Tally) -> None:
    """Damage a file again and again, and count what came of it."""
    whole = subject.read()
    for what in damaged(subject, count, draws):
        kind = "cut" if what.startswith("cut") else "a bit"
        outcome, said = outcome_of(subject, whole)
        row = f"{subject.name}: {kind}"
        if outcome is None:
            tally.fail(row, f"{what}: {said}")
        else:
            tally.add(row, outcome)
    if subject.read() != whole:
        tally.fail(subject.name, "it is not read as before when it is whole again")


def attack_files(count: int, seed: int) -> report.Tally:
    """Damage every kind of file."""
    tally = report.Tally(OUTCOMES)
    with tempfile.TemporaryDirectory() as name, subjects(Path(name)) as all_subjects:
        for subject in tqdm(all_subjects, "files", file=sys.stderr):
            attack_file(subject, count, random.Random(f"{seed} {subject.name}"), tally)
    return tally


def attack_readers() -> report.Tally:
    """Offer every hostile pickle wherever a file of a stranger is read."""
    tally = report.Tally(("refused",))
    for way in tqdm(WAYS, "pickles", file=sys.stderr):
        for payload in PAYLOADS:
            with tempfile.TemporaryDirectory() as name:
                fault = offer(way, payload, Path(name))
            if fault:
                tally.fail(way, f"{payload}: {fault}")
            else:
                tally.add(way, "refused")
    return tally


def main() -> int:
    options = report.parser("integrity", __doc__, 1000, "flipped bits of each file").parse_args()

    def attack() -> tuple[str, list[str]]:
        files = attack_files(options.count, options.seed)
        pickles = attack_readers()
        text = (
            "## Damaged and hostile files\n\n"
            f"In each file, {options.count:,} single bits are flipped, half of them in its header, and it is"
            f" cut {options.count // 5:,} times. It is detected if an error of ours names the file; passed"
            " over, if the older checkpoint is taken and standard error says so; harmless, if the same bits"
            " are read as before. All else is broken: other bits read in silence, or an error of another"
            " library.\n\n"
            f"{files.table('file: damage')}\n\n"
            f"{len(PAYLOADS)} pickles that would make a file are offered in each place where a stranger's"
            " file is opened. Refused means an error of ours that names the file, and no such file made.\n\n"
            f"{pickles.table('read as')}"
        )
        return text, [*files.failures, *pickles.failures]

    return report.run("integrity", attack, options.write)


if __name__ == "__main__":
    sys.exit(main())
