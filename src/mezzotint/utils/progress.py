"""The progress bar of everything that takes longer than a moment."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from .console import SafeStream, watched

Item = TypeVar("Item")


def bar(
    what: str,
    total: int,
    *,
    unit: str = "step",
    initial: int = 0,
    delay: float = 0,
    leave: bool = True,
    disable: bool = False,
) -> "tqdm[Any]":
    """A bar to be updated by hand.

    Where nobody watches, as in a log file, it is drawn every 20 seconds only.

    Args:
        what: in words.
        total: how many units there are.
        unit: what is counted.
        initial: how many are done already.
        delay: seconds before it is shown.
        leave: whether it stays when all is done.
        disable: whether it is never shown.
    """
    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        initial=initial,
        delay=delay,
        leave=leave,
        disable=disable,
        mininterval=0.2 if watched() else 20,
        file=SafeStream(sys.stderr),
        dynamic_ncols=True,
    )


def progress(items: Iterable[Item], total: int, what: str, unit: str = "step") -> Iterator[Item]:
    """``items``, with a bar once they have taken a second; it goes when they are done."""
    with bar(what, total, unit=unit, delay=1, leave=False) as shown:
        for item in items:
            yield item
            shown.update()
