"""Text in Markdown: escaped, so that no name of a class, a file or a network becomes markup."""

import re
import unicodedata

from .console import printable

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$#]|(?<!\w)_|_(?!\w)")


def one_line(text: str) -> str:
    """Text in a line of its own: line breaks become spaces, other control characters are left out."""
    line = " ".join(printable(text).split())
    return "".join(c for c in line if unicodedata.category(c) != "Cc")


def inline(text: str) -> str:
    """Text that Markdown shows as it is, in a line; also in a cell of a table.

    An underscore within a word, which is no markup, is left alone.
    """
    return _SPECIAL.sub(r"\\\g<0>", one_line(text))


def fenced(text: str, language: str = "") -> str:
    """Text in a block of code, behind a fence that the text cannot close.

    Args:
        text: any lines.
        language: of the text, for colours.

    Returns:
        The block, with a line break at its end.
    """
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}\n"
