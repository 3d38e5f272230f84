"""Fields of the sections of a recipe, and the error for invalid recipes."""

from collections.abc import Iterable
from dataclasses import field
from typing import Any


class RecipeError(ValueError):
    """An invalid recipe. The message names the key, the value and what is valid."""


def option(
    default: Any,
    explanation: str,
    *,
    least: float | None = None,
    most: float | None = None,
    flag: str | None = None,
    choices: Iterable[str] | None = None,
    with_options: bool = False,
    or_list: bool = False,
) -> Any:
    """A dataclass field with help, range and choices.

    Args:
        default: its default value.
        explanation: for ``--help``.
        least: the smallest valid number; None for no limit.
        most: the largest valid number; None for no limit.
        flag: another name on the command line.
        choices: the valid names, such as a registry.
        with_options: whether options may follow the name, ``name:option=value``.
        or_list: whether a list between commas may stand in the place of a name.

    Returns:
        The field.
    """
    metadata = {
        "help": explanation,
        "least": least,
        "most": most,
        "flag": flag,
        "choices": choices,
        "with_options": with_options,
        "or_list": or_list,
    }
    return field(default=default, metadata=metadata)
