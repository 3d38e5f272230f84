"""Which small changes of the mathematics no test notices: mutation testing, by the mutants of cosmic-ray.

A mutant is a module with one operator or number changed. Each is tried alone in a copy, by the fast tests of
its subject, until one fails; one that none notices survives. Survivors break no promise: each is either the
same function in other words, or shows what to test. Needs ``pip install cosmic-ray``.
"""

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from tqdm import tqdm

from soak import report
from soak.copies import Mistake, try_all

METRICS = ("test_metrics.py",)
SAMPLERS = ("test_samplers.py",)
SUBJECTS = {
    "diffusion/denoiser.py": ("test_guidance.py",),
    "diffusion/level.py": ("test_parametrizations.py", "test_process.py", "test_schedules.py"),
    "diffusion/likelihood.py": ("test_likelihood.py",),
    "diffusion/parametrizations.py": ("test_parametrizations.py",),
    "diffusion/process.py": ("test_process.py",),
    "diffusion/schedules.py": ("test_schedules.py",),
    "samplers/ddim.py": SAMPLERS,
    "samplers/ddpm.py": SAMPLERS,
    "samplers/dpm.py": SAMPLERS,
    "samplers/grids.py": SAMPLERS,
    "samplers/heun.py": SAMPLERS,
    "samplers/noise.py": SAMPLERS,
    "evaluation/classification.py": METRICS,
    "evaluation/denoising_classifier.py": ("test_likelihood.py",),
    "evaluation/distances.py": METRICS,
    "evaluation/frechet.py": METRICS,
    "evaluation/kid.py": METRICS,
    "evaluation/memorization.py": METRICS,
    "evaluation/precision_recall.py": METRICS,
}
"""Modules with the tests of their subjects."""

OPERATORS = re.compile(
    r"core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|Pow_Mul|FloorDiv_Mul|Mod_Add)"
    r"|ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is)"
    r"|ReplaceUnaryOperator_Delete_.*|ReplaceUnaryOperator_USub_UAdd|Replace(True|False|And|Or)With.*"
    r"|AddNot|NumberReplacer|ZeroIterationForLoop)"
)
"""Changes that a person could make; operators that no tensor has would be noticed by any test."""


def mutants(file: str) -> Iterator[Mistake]:
    """All mutants of a module."""
    source = (report.ROOT / "src" / "mezzotint" / file).read_text(encoding="utf-8")
    for name in filter(OPERATORS.fullmatch, operator_names()):
        operator = get_operator(name)()
        number = 0
        while (mutant := mutate_code(source, operator, number)) is not None:
            yield Mistake(file, mutant, SUBJECTS[file])
            number += 1


def change(mistake: Mistake) -> list[str]:
    """The first line that a mutant changes: its place, and both versions."""
    right = (report.ROOT / "src" / "mezzotint" / mistake.file).read_text(encoding="utf-8")
    pairs = zip(right.splitlines(), mistake.source.splitlines(), strict=True)
    number, before, after = next((k, a, b) for k, (a, b) in enumerate(pairs, 1) if a != b)
    lines = [line.strip().replace("|", "\\|") for line in (before, after)]
    return [f"`{mistake.file}:{number}`", *(f"`{line}`" for line in lines)]


def survivors_of(mistakes: Sequence[Mistake], jobs: int) -> list[list[str]]:
    """Try mutants, and list those that no test notices, as rows of a table."""
    survivors = []
    for mutant, test in zip(mistakes, try_all(mistakes, jobs, "mutants"), strict=True):
        if test is None:
            survivors.append(change(mutant))
            tqdm.write(f"survived: {' '.join(survivors[-1])}", file=sys.stderr)
    return sorted(survivors)


def table(survivors: list[list[str]]) -> str:
    """The survivors as a table, whose columns are all words."""
    return report.machine.table(["place", "right", "survivor"], survivors).replace("---:", "---")


def attack(files: Sequence[str], count: int, seed: int, jobs: int) -> tuple[str, list[str]]:
    """Try some of all mutants.

    Returns:
        What came of it, in Markdown; and nothing, as no promise is made.
    """
    everyone = [mutant for file in files for mutant in mutants(file)]
    chosen = random.Random(seed).sample(everyone, min(count, len(everyone)))
    survivors = survivors_of(chosen, jobs)
    return (
        f"{len(chosen)} of the {len(everyone):,} mutants of {len(files)} modules were tried, chosen at"
        f" random; {len(survivors)} survived.\n\n{table(survivors)}"
    ), []


def _without_line(row: str) -> str:
    """A row of the table, whatever the line of its place, which moves with the lines before it."""
    return re.sub(r":\d+`", "`", row, count=1)


def attack_again(files: Sequence[str], jobs: int) -> tuple[str, list[str]]:
    """Try the mutants again that docs/reliability.md lists as survivors.

    Returns:
        What is known of the first attempt and of this one, in Markdown; and nothing.
    """
    section = report.machine.read_section("mutation", report.PAGE)
    first = section.strip().partition("\n")[0]
    everyone = [mutant for file in files for mutant in mutants(file)]
    rows = {_without_line(line) for line in section.splitlines()}
    listed = [m for m in everyone if _without_line(f"| {' | '.join(change(m))} |") in rows]
    survivors = survivors_of(listed, jobs)
    return (
        f"{first} Of {len(listed)} that had survived, {len(survivors)} survive the tests that were"
        f" written for them.\n\n{table(survivors)}"
    ), []


def options() -> argparse.Namespace:
    """The options of the command."""
    words = report.parser("mutation", __doc__, 200, "how many mutants")
    words.add_argument(
        "--again",
        action="store_true",
        help="only those that docs/reliability.md lists as survivors",
    )
    words.add_argument("--jobs", type=int, default=2, help="copies tried side by side (default 2)")
    words.add_argument("--files", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), metavar="F")
    return words.parse_args()


def main() -> int:
    """Try as many mutants as are asked for."""
    words = options()

    def chosen() -> tuple[str, list[str]]:
        if words.again:
            return attack_again(words.files, words.jobs)
        return attack(words.files, words.count, words.seed, words.jobs)

    return report.run("mutation", chosen, words.write)


if __name__ == "__main__":
    sys.exit(main())
