"""Steps whose loss or gradient is no number: said, skipped, and after too many of them the end."""

import sys

from tqdm import tqdm

MAX_BAD_STEPS = 10


class Diverged(RuntimeError):
    """The loss is not a number any more, step after step."""


def report_bad_step(step: int, bad: int) -> None:
    """Say that ``step`` was skipped, the last of ``bad`` in a row. Raises Diverged after too many."""
    tqdm.write(f"step {step}: loss or gradient is not finite; the step is skipped", sys.stderr)
    if bad >= MAX_BAD_STEPS:
        raise Diverged(
            f"{bad} steps in a row without a finite loss, up to step {step}: training has"
            " diverged. The last good checkpoint is kept; resume it with a lower"
            " training.learning_rate or with training.clip, and look for broken images"
        )
