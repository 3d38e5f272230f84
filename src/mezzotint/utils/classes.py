"""Names of classes: their spelling, order and position, and file names for them.

All code that handles class names uses this module: data, weights, labels on the command line, classifiers,
and files that are named after classes.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .console import printable, visible

_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
"""Names that Windows reserves for devices."""

LONGEST = 80
"""Bytes of a class name in a file name; file systems allow 255 for all of it."""


def class_name(text: str) -> str:
    r"""The normal spelling of a class name: composed Unicode (NFC), without spaces at the ends.

    Bytes that are not UTF-8, and control characters, become escapes such as ``\xe9``, so that a name can
    be printed anywhere.
    """
    return unicodedata.normalize("NFC", visible(printable(text))).strip()


def sort_key(name: str) -> tuple[int, int, str]:
    """A key to sort classes by: whole numbers by value, then words."""
    return (0, int(name), name) if is_whole_number(name) else (1, 0, name)


def is_whole_number(name: str) -> bool:
    """Whether a name is a whole number in decimal digits, also below 0."""
    return re.fullmatch(r"-?[0-9]+", name) is not None


def in_order(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Class names in the spelling of :func:`class_name` and the order of :func:`sort_key`.

    Args:
        names: in any spelling, such as names of folders.
        where: the source of the names, for errors.

    Returns:
        The class names.

    Raises:
        ValueError: if two of them are spellings of the same name, or one is empty.
    """
    spellings = spellings_of(names, where)
    for name, texts in spellings.items():
        if len(texts) > 1:
            raise ValueError(
                f"{where}: {' and '.join(map(ascii, texts[:4]))} are spellings of one name, {name}: write"
                " it in one way"
            )
    return tuple(spellings)


def spellings_of(names: Iterable[str], where: str) -> dict[str, list[str]]:
    """The classes, in the order of :func:`sort_key`, with all spellings that there are of each.

    Args:
        names: as they are found, such as names of folders.
        where: they come from, for errors.

    Raises:
        ValueError: if a name is empty.
    """
    spellings: dict[str, list[str]] = {}
    for text in names:
        name = class_name(text)
        if not name:
            raise ValueError(f"{where}: {text!r} is no name of a class")
        spellings.setdefault(name, []).append(text)
    return dict(sorted(spellings.items(), key=lambda item: sort_key(item[0])))


def find_class(word: str, classes: Sequence[str]) -> int:
    """The position of a class.

    Args:
        word: the name of the class in any spelling, or its position if no class is a number.
        classes: the class names.

    Returns:
        A number in 0..len(classes) - 1.

    Raises:
        ValueError: naming the word and the classes, if there is no such class.
    """
    name = class_name(word)
    known = [class_name(other) for other in classes]
    if name in known:
        return known.index(name)
    numbers = any(is_whole_number(other) for other in classes)
    if not numbers and word.isdecimal() and int(word) < len(classes):
        return int(word)
    positions = "" if numbers else f", or their positions 0 to {len(classes) - 1}"
    close = get_close_matches(name.casefold(), [c.casefold() for c in classes], n=1)
    suggestion = next((c for c in classes if close and c.casefold() == close[0]), None)
    hint = f" Did you mean {suggestion!r}?" if suggestion else ""
    raise ValueError(
        f"{printable(word)!r} is no class here: the classes are {listed(classes)}{positions}.{hint}"
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names separated by commas; if there are many, most are left out.

    Args:
        names: the names.
        most: how many are written in full.

    Returns:
        The text.
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 2])}, ... {names[-1]} ({len(names)} in all)"


def check_same(expected: Sequence[str], actual: Sequence[str], where: str) -> None:
    """Refuse classes that are not the expected ones, in the same order.

    Args:
        expected: the class names that are required.
        actual: the class names that there are.
        where: the file or folder, for the error.

    Raises:
        ValueError: with both lists, if they differ.
    """
    if tuple(expected) != tuple(actual):
        raise ValueError(
            f"{where}: classes were {listed(expected) or 'none'}; are {listed(actual) or 'none'}"
        )


def file_names(names: Sequence[str]) -> list[str]:
    """A file name, without suffix, for each class, valid on every file system; no two are equal.

    Letters, digits and most signs stay; characters special to a file system or a shell become ``_``. A part
    of a hash follows if a name was changed, is reserved, or differs from another only by case.
    """
    plain = [_plain(name) for name in names]
    folded = [text.casefold() for text in plain]
    result = []
    for name, text in zip(names, plain, strict=True):
        stem = text.casefold().partition(".")[0].strip()
        alone = folded.count(text.casefold()) == 1 and stem not in _RESERVED
        if alone and text and text == name:
            result.append(text)
        else:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            text = f"_{text}" if stem in _RESERVED else text
            result.append(f"{text or 'class'}-{digest}")
    return result


def _plain(name: str) -> str:
    text = re.sub(r"[^\w .,+@()\[\]{}=~^-]", "_", class_name(name)).strip(" .")
    if text.startswith("-"):
        text = f"_{text[1:]}"
    return text.encode()[:LONGEST].decode(errors="ignore").strip(" .")
