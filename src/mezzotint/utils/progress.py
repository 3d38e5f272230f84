"""Progress bars."""

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
    """A progress bar that the caller updates.

    If standard error is not a terminal, it is drawn every 20 seconds only.

    Args:
        what: a description.
        total: the number of units.
        unit: the name of a unit.
        initial: how many units are done at first.
        delay: seconds before it is shown.
        leave: whether it remains after the end.
        disable: whether it is never shown.

    Returns:
        The bar, to be used in a ``with`` block.
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
    """Iterate with a progress bar, shown after a second and removed at the end.

    Args:
        items: what to iterate over.
        total: the number of items.
        what: a description.
        unit: the name of an item.

    Yields:
        The items.
    """
    with bar(what, total, unit=unit, delay=1, leave=False) as counter:
        for item in items:
            yield item
            counter.update()
