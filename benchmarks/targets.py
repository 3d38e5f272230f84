"""Where each target of speed and quality stands, by what the other benchmarks wrote down.

python benchmarks/targets.py

Reads docs/benchmarks.md, docs/results.md and the cards of the shipped models; measures nothing itself.
"""

import operator
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint.utils.assets import ASSETS

Target = tuple[str, Callable[[float, float], bool], float, float | None, str]
"""Its name; how what was found must compare with the limit; the limit; what was found; a unit."""

AT_MOST, AT_LEAST = operator.le, operator.ge
LIMITS = (300, 150)
"""Budgets of `make demo`'s training, in seconds."""
ORIGINAL = "original, fp32, beside original plain, fp32"
LEAN = "lean, bf16, beside earlier lean, fp32"
WIDE = "lean of width 64, bf16, beside earlier lean of width 64, fp32"
ORIGINAL_BF16 = "original, bf16, beside original, fp32"
GAINS = {
    "AMX": {ORIGINAL: (3, 3), LEAN: (1.8, 2), WIDE: (2.2, 2.7), ORIGINAL_BF16: (1.6, 2.5)},
    "AVX512_BF16": {
        ORIGINAL: (3, 3),
        LEAN: (1.3, 1.3),
        WIDE: (1.3, 1.3),
        ORIGINAL_BF16: (1.3, 1.3),
    },
}
"""How many times as fast a training step and a sampling step are to be, by what multiplies bf16."""


def number(cell: str) -> float:
    """A cell as a number."""
    return float(cell.replace(",", ""))


def card(name: str) -> dict[str, dict[str, str]]:
    """The measures of a shipped model, by their names."""
    rows = machine.read_table((ASSETS / "models" / f"{name}.md").read_text())
    return {row["measure"]: row for row in rows}


def against(measures: dict[str, dict[str, str]], name: str) -> float:
    """A measure of drawn digits as a share of the floor's, which is real digits'."""
    return number(measures[name]["mean"]) / number(measures[name]["floor"])


def time_to_quality() -> Iterator[Target]:
    """What `make demo` trains, in each of the budgets."""
    for limit in LIMITS:
        yield from _within(limit)


def _within(limit: int) -> Iterator[Target]:
    """The mean of the runs that took nearly all the time there is, but no more."""
    rows = machine.read_table(machine.read_section("time to quality"))
    own = [
        r for r in rows if r["system"] == "mezzotint digits" and r["threads"] == "2" and r["floors"]
    ]
    long = [row for row in own if 0.85 * limit < number(row["seconds"]) < 1.25 * limit]
    in_time = [row for row in long if number(row["seconds"]) <= limit]
    distance = fmean(number(row["floors"]) for row in in_time) if in_time else None
    accuracy = fmean(number(row["accuracy"]) for row in in_time) if in_time else None
    what = f"`make demo`'s training in {limit} s ({len(in_time)} of {len(long)} runs were in time)"
    yield f"{what}: digit-FID", AT_MOST, 2, distance, "floors"
    yield f"{what}: accuracy", AT_LEAST, 0.99, accuracy, ""


def quality() -> Iterator[Target]:
    """The shipped models, by their cards."""
    digits, fast = card("digits"), card("digits-fast")
    yield "`digits`: digit-FID", AT_MOST, 1.25, against(digits, "digit-FID"), "floors"
    accuracy = number(digits["conditional accuracy"]["mean"])
    yield "`digits`: accuracy", AT_LEAST, 0.993, accuracy, ""
    for name, limit in (("recall", 0.95), ("recall", 0.98), ("coverage", 0.95)):
        yield f"`digits`: {name}", AT_LEAST, limit, against(digits, name), "of real digits'"
    nearest = against(digits, "nearest training image, median")
    yield "`digits`: nearest training image", AT_LEAST, 1, nearest, "of test digits'"
    ratio = number(fast["digit-FID"]["mean"]) / number(digits["digit-FID"]["mean"])
    yield "`digits-fast`, 2 evaluations: digit-FID", AT_MOST, 1.5, ratio, "of `digits`'"
    in_floors = against(fast, "digit-FID")
    yield "`digits-fast`, 2 evaluations: digit-FID", AT_MOST, 1.3, in_floors, "floors"
    yield from clothes()


def clothes() -> Iterator[Target]:
    """The shipped models of clothes, by both classifiers."""
    for name in ("fashion", "fashion-fast"):
        measures = card(name)
        for measure in measures:
            if measure.startswith("Frechet"):
                yield f"`{name}`: {measure}", AT_MOST, 5, against(measures, measure), "floors"


def one_evaluation() -> dict[str, dict[str, str]]:
    """The measures of `digits-fast` at one evaluation, of as many images as its card's, by their names."""
    page = (machine.PAGE.parent / "results.md").read_text()
    section = page.partition("### `digits-fast`, one evaluation\n")[2].partition("\n#")[0]
    return {row["measure"]: row for row in machine.read_table(section)}


def few_steps() -> Iterator[Target]:
    """`digits-fast`: its speed by the table of sampling, whose images are too few to judge it by."""
    rows = machine.read_table(machine.read_section("sampling"))
    fast = {row["evaluations"]: row for row in rows if row["model"] == "digits-fast"}
    for evaluations, together, alone in (("1", 0.4, 2.0), ("2", 3, 15)):
        row = fast.get(evaluations, {})
        what = f"`digits-fast`, {evaluations} evaluation{'s' if evaluations != '1' else ''}"
        for column, limit in (
            ("ms per image, 64 at a time", together),
            ("ms, a single image", alone),
        ):
            found = number(row[column]) if row else None
            yield f"{what}: {column}", AT_MOST, limit, found, "ms"
    measures = one_evaluation()
    distance = against(measures, "digit-FID")
    yield "`digits-fast`, 1 evaluation: digit-FID", AT_MOST, 1.5, distance, "floors"
    accuracy = number(measures["conditional accuracy"]["mean"])
    yield "`digits-fast`, 1 evaluation: accuracy", AT_LEAST, 0.993, accuracy, ""


def steps() -> Iterator[Target]:
    """Training and sampling steps, on CPUs that multiply bf16 with AMX or with AVX512_BF16."""
    for unit, limits in GAINS.items():
        gains = machine.read_table(machine.read_section(f"throughput with {unit}"))
        by_networks = {row["networks"]: row for row in gains if "networks" in row}
        for networks, (training, drawing) in limits.items():
            for what, limit in (("training step", training), ("sampling step", drawing)):
                row = by_networks.get(networks)
                found = number(row[what]) if row else None
                yield f"{unit}, {what}: {networks}", AT_LEAST, limit, found, "times as fast"


def start_up() -> Iterator[Target]:
    """What a command waits for."""
    starts = machine.read_table(machine.read_section("start-up"))
    median = {row["command"]: number(row["seconds, median"]) for row in starts}
    for command, limit in (("mezzotint sample digits 7", 3.0), ("mezzotint --help", 0.4)):
        yield f"`{command}`", AT_MOST, limit, median.get(f"`{command}`"), "s"
    command = "`mezzotint sample digits-fast 7`"
    column = "times as long as importing torch"
    beside = {row["command"]: number(row[column]) for row in starts if column in row}
    yield command, AT_MOST, 1.15, beside.get(command), column


def on_a_gpu() -> Iterator[Target]:
    """What `make gpu-check` found, if it ever ran on one."""
    rows = machine.read_table(machine.read_section("gpu"))
    found = {row["part"]: row["found"] for row in rows}
    for name, part, pattern, compare, limit, unit in (
        (
            "ten digits of the original, 1,000 steps",
            "ddpm sampling",
            r"1,000 ancestral steps ([\d.]+) s",
            AT_MOST,
            3,
            "s",
        ),
        (
            "the same, 50 DDIM steps",
            "ddpm sampling",
            r"50 DDIM steps ([\d.]+) s",
            AT_MOST,
            0.2,
            "s",
        ),
        (
            "the original's training in bf16",
            "ddpm bf16",
            r"([\d.]+)% of the measured peak",
            AT_LEAST,
            30,
            "% of the peak",
        ),
        ("the whole of `digits`", "digits", r"steps in ([\d.]+) s", AT_MOST, 60, "s"),
    ):
        match = re.search(pattern, found.get(part, ""))
        yield f"on a GPU: {name}", compare, limit, number(match[1]) if match else None, unit


def in_words(target: Target) -> list[str]:
    """A row of the table."""
    name, compare, limit, found, unit = target
    bound = "at most" if compare is AT_MOST else "at least"
    stands = "not measured" if found is None else f"{found:.3g} {unit}".strip()
    reached = "no" if found is None or not compare(found, limit) else "yes"
    return [name, f"{bound} {limit:g} {unit}".strip(), stands, reached]


def main() -> None:
    parts = (time_to_quality, quality, few_steps, steps, start_up, on_a_gpu)
    rows = [in_words(target) for part in parts for target in part()]
    reached = sum(row[-1] == "yes" for row in rows)
    machine.write_section(
        "targets",
        f"## Targets\n\n{machine.table(['target', 'limit', 'stands at', 'reached'], rows)}\n\n"
        f"{reached} of {len(rows)}. From the tables below and the cards of the shipped models"
        " (`src/mezzotint/assets/models`). What was tried for the others is in [the log](log.md).",
    )


if __name__ == "__main__":
    main()
