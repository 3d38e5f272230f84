"""JSON that somebody else wrote."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """What a JSON text stands for.

    Args:
        text: the text; bytes are UTF-8.

    Returns:
        The value.

    Raises:
        ValueError: if it is no JSON, or nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
