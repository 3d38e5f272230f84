"""Numbers from anywhere: Python's, NumPy's, torch's."""

import math
import operator
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as Python has it, if it is a single number of another library; else itself."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def whole_number(value: Any, name: str, least: int, most: int | None = None) -> int:
    """A whole number of any library.

    Args:
        value: the number.
        name: of what it counts, for errors.
        least: smallest value that will do.
        most: largest value that will do; None if there is none.

    Returns:
        It as an int.

    Raises:
        ValueError: if it is no whole number, or out of range.
    """
    plain_value = plain(value)
    bounds = f"at least {least}" if most is None else f"from {least} to {most}"
    fault = f"{name} = {value!r}: it must be a whole number {bounds}"
    if isinstance(plain_value, bool):
        raise ValueError(fault)
    try:
        number = operator.index(plain_value)
    except TypeError:
        raise ValueError(fault) from None
    if number < least or (most is not None and number > most):
        raise ValueError(fault)
    return number


def json_ready(value: Any) -> Any:
    """``value`` with null in the place of numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """A duration in words, in seconds, minutes, hours or days."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
