"""What every section of a recipe is made of, and the error of a recipe that cannot be."""

from collections.abc import Iterable
from dataclasses import field
from typing import Any


class RecipeError(ValueError):
    """A recipe that cannot be: names the key, the value and what would do."""


def option(
    default: Any,
    explanation: str,
    *,
    least: float | None = None,
    most: float | None = None,
    flag: str | None = None,
    choices: Iterable[str] | None = None,
    with_options: bool = False,
) -> Any:
    """A field with what people need to know about it.

    Args:
        default: its value where nothing is said.
        explanation: for ``--help``.
        least, most: its range.
        flag: another name on the command line.
        choices: the names it can have: a registry.
        with_options: whether options of its own may follow the name, ``name:option=value``.
    """
    metadata = {
        "help": explanation,
        "least": least,
        "most": most,
        "flag": flag,
        "choices": choices,
        "with_options": with_options,
    }
    return field(default=default, metadata=metadata)
