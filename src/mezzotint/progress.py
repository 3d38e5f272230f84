"""The progress bar of everything that takes longer than a moment."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, what: str, unit: str = "step") -> Iterator[Item]:
    """``items``, with a bar once they have taken a second; it goes when they are done.

    Where nobody watches, as in a log file, it is drawn every 20 seconds only.
    """
    yield from tqdm(
        items, total=total, desc=what, unit=unit, delay=1, leave=False, dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 20,
    )  # fmt: skip
