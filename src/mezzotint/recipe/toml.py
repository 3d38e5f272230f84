"""Conversion of recipes to and from dictionaries and TOML, with clear errors."""

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..registry import split_options
from ..utils.console import printable
from ..utils.files import read_text
from ..utils.numbers import plain
from .fields import RecipeError
from .schema import Recipe
from .versions import FORMAT, MOVED, check_format, upgrade

Section = TypeVar("Section")


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """A hint for a misspelt word.

    Args:
        word: the word.
        known: the valid words.

    Returns:
        `` Did you mean '...'?``, with a leading space, or "" if no valid word is similar.
    """
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), list(names), n=1)
    return f" Did you mean {names[close[0]]!r}?" if close else ""


def override(section: Section, changes: Mapping[str, Any], path: str = "") -> Section:
    """A section with changes, each of which is checked.

    Args:
        section: a dataclass.
        changes: new values by key; nested for subsections.
        path: what precedes the keys in errors, such as "training.".

    Returns:
        A new section.

    Raises:
        RecipeError: naming the key, the value, and the nearest match or the range.
    """
    hints = typing.get_type_hints(type(section))
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in changes.items():
        where = f"{path}{key}"
        if key not in fields:
            hint = f" It is {MOVED[where]} now." if where in MOVED else nearest(key, fields)
            raise RecipeError(f"unknown key {where!r}.{hint}")
        current = getattr(section, key)
        if dataclasses.is_dataclass(current):
            values[key] = _subsection(fields[key].metadata.get("kinds"), current, value, where)
        else:
            values[key] = _value(hints[key], value, where)
            _check_choice(
                _name(values[key], fields[key]), fields[key].metadata.get("choices"), where
            )
            _check_range(values[key], fields[key].metadata, where)
    return dataclasses.replace(section, **values)  # type: ignore[type-var]


def _subsection(kinds: Mapping[str, Any] | None, current: Any, changes: Any, where: str) -> Any:
    """A nested section; if there are several kinds, ``name`` selects one."""
    if not isinstance(changes, Mapping):
        raise RecipeError(f"{where} is a section of keys, not the value {changes!r}")
    if kinds is not None and (name := changes.get("name", current.name)) != current.name:
        _check_choice(name, kinds, f"{where}.name")
        current = kinds[name]()
    return override(current, changes, f"{where}.")


def _name(value: Any, field: "dataclasses.Field[Any]") -> Any:
    """The name in a value that may have options; None if the value is a list of times."""
    if not field.metadata.get("with_options"):
        return value
    try:
        name, _ = split_options(value)
    except ValueError as error:
        raise RecipeError(f"{field.name} = {error}") from None
    return None if field.metadata.get("or_list") and "," in name else name


def _check_choice(value: Any, choices: typing.Iterable[str] | None, where: str) -> None:
    """Refuse a name that is not one of the ``choices``, if there are any."""
    if choices is not None and value is not None and value not in list(choices):
        names = ", ".join(choices)
        raise RecipeError(
            f"{where} = {value!r}: it is one of {names}.{nearest(str(value), choices)}"
        )


def _value(hint: Any, value: Any, where: str) -> Any:
    """The value as the type ``hint``, or a RecipeError."""
    value = plain(value)
    kind = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if kind is Literal:
        if value not in arguments:
            options = ", ".join(map(str, arguments))
            raise RecipeError(
                f"{where} = {value!r}: it is one of {options}.{nearest(str(value), arguments)}"
            )
        return value
    if kind is types.UnionType:
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else _value(inner, value, where)
    if kind is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(arguments):
            raise RecipeError(f"{where} = {value!r}: it takes {len(arguments)} numbers")
        return tuple(_value(a, v, where) for a, v in zip(arguments, value, strict=True))
    if isinstance(value, str) and printable(value) != value:
        raise RecipeError(
            f"{where} = '{printable(value)}' is not UTF-8 text, as recipes are: rename it"
        )
    if isinstance(value, int) and abs(value) > 10**300:
        raise RecipeError(f"{where} = {value}: it is too large")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise RecipeError(f"{where} = {value!r}: it takes {words[hint]}")
    return value


def _check_range(value: Any, metadata: Mapping[str, Any], where: str) -> None:
    least = metadata.get("least")
    most = metadata.get("most")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool | str | None):
            continue
        if not math.isfinite(number):
            raise RecipeError(f"{where} = {number}: it must be finite")
        if (least is not None and number < least) or (most is not None and number > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise RecipeError(f"{where} = {number}: it must be {bounds}")


def to_dict(section: Any) -> dict[str, Any]:
    """A section as nested dictionaries; tuples become lists, and None is left out."""
    values = {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}
    return {
        key: to_dict(v) if dataclasses.is_dataclass(v) else list(v) if isinstance(v, tuple) else v
        for key, v in values.items()
        if v is not None
    }


def leaves(section: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a recipe or a section.

    Args:
        section: a dataclass.
        path: what precedes the keys, such as "training.".

    Yields:
        Pairs (dotted key, value).
    """
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The fields in which two recipes differ.

    Args:
        old: the first recipe.
        new: the second recipe.

    Returns:
        For each, ``key: old -> new``.
    """
    before = dict(leaves(old))
    after = dict(leaves(new))
    return [
        f"{key}: {before.get(key, '(absent)')!r} -> {after.get(key, '(absent)')!r}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def to_toml(recipe: Recipe) -> str:
    """The whole recipe as TOML, with the key ``format``."""
    import tomlkit  # not needed for --help, which has to be quick

    return tomlkit.dumps({"format": FORMAT, **to_dict(recipe)})


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The content of TOML text.

    Args:
        text: the text.
        name: of the file, for errors.

    Returns:
        Nested dictionaries.

    Raises:
        RecipeError: if the text is not valid TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and depths beyond all measure
        raise RecipeError(f"{name} is not valid TOML: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        OSError: if it cannot be read.
        RecipeError: if it is not valid TOML.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return parse_toml(text, str(path))


def from_toml(text: str, name: str = "the recipe") -> Recipe:
    """A whole recipe from TOML that :func:`to_toml` or version 0.1 wrote.

    Args:
        text: the TOML; keys that it leaves out have the defaults of the dataclasses.
        name: of the file, for errors.

    Returns:
        The recipe.

    Raises:
        RecipeError: if the text is not valid TOML, or not a valid recipe.
    """
    return from_dict(parse_toml(text, name), name)


def from_dict(values: Mapping[str, Any], name: str = "the recipe") -> Recipe:
    """A whole recipe from nested dictionaries, as :func:`from_toml` reads it from their TOML.

    Args:
        values: nested keys and values.
        name: of their file, for errors.

    Returns:
        The recipe.

    Raises:
        RecipeError: if it is not a valid recipe.
    """
    if not isinstance(values, Mapping):
        raise RecipeError(f"{name} is a section of keys, not the value {values!r}")
    check_format(values.get("format", 1), name)
    return override(Recipe(), upgrade(values))
