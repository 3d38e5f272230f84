"""JSON that somebody else wrote, or that a disk has damaged."""

import json
import zlib
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


def checksum(value: Any) -> int:
    """The CRC-32 of a value as JSON, to notice damage of a file that holds it."""
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())
