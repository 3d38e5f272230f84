"""Flags made from the recipe's dataclasses, so that every field is one, with its own explanation."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..registry import NETS
from . import PARAMETERS

# Where two sections have a field of the same name, the short flag goes to the first of these.
SECTIONS = ("", "training", "data", "net", "objective", "diffusion", "sampling")


def recipe_flags(recipe: Any) -> list[inspect.Parameter]:
    """A keyword parameter ``section__field`` for each field of a recipe.

    Its flags are ``--section.field`` and, if no other field has it, ``--field``. Defaults are those of the
    recipe.
    """
    used_names = {"recipe", "out", "resume", "changes", "name"}
    flags = []
    for section_name in SECTIONS:
        section = getattr(recipe, section_name) if section_name else recipe
        group = Group(f"Recipe: {section_name}") if section_name else PARAMETERS
        for field, hint in _fields(section):
            if dataclasses.is_dataclass(getattr(section, field.name)):
                continue
            names = [f"--{section_name}.{field.name}"] if section_name else []
            if field.name not in used_names:
                names.append(f"--{field.name.replace('_', '-')}")
                used_names.add(field.name)
            elif not section_name:
                continue
            if field.metadata.get("flag"):
                names.append(field.metadata["flag"])
            if field.name == "name" and section_name in ("net", "objective"):
                if section_name == "objective":  # chosen by the verb, or in a .toml file
                    continue
                names = ["--net.name", "--net"]
                hint = str
            value = getattr(section, field.name)
            name = f"{section_name or 'recipe'}__{field.name}"
            flags.append(_flag(name, names, field, hint, value, group))
    return flags


def section_flags(section: Any) -> list[inspect.Parameter]:
    """A keyword parameter ``--field`` per field of a section, without defaults."""
    return [
        _flag(field.name, [f"--{field.name.replace('_', '-')}"], field, hint, None, PARAMETERS)
        for field, hint in _fields(section)
    ]


def _fields(section: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(type(section))
    for field in dataclasses.fields(section):
        yield field, hints[field.name]


def _flag(
    name: str,
    names: list[str],
    field: dataclasses.Field[Any],
    hint: Any,
    value: Any,
    group: Group,
) -> inspect.Parameter:
    explanation = field.metadata.get("help", "")
    choices = field.metadata.get("choices")
    if choices and field.metadata.get("with_options"):
        explanation = f"{explanation} (one of {', '.join(choices)})"
    elif choices:
        hint = Literal[tuple(choices)]
    if name == "net__name":
        explanation = f"which network: {', '.join(NETS)}"
    negative = [names[0].replace(field.name, f"no-{field.name}")] if hint is bool else []
    parameter = Parameter(
        name=names,
        help=f"{explanation}.",
        negative=negative,
        negative_iterable=[],
        group=group,
        show_default=value is not None,
    )
    annotation: Any = hint if value is not None else hint | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=value,
        annotation=Annotated[annotation, parameter],
    )


def with_flags(command: Any, flags: list[inspect.Parameter]) -> Any:
    """``command``, whose ``**flags`` are spelt out, so that only these are taken."""

    @functools.wraps(command)
    def flagged(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    signature = inspect.signature(command)
    fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    flagged.__signature__ = signature.replace(parameters=[*fixed, *flags])  # type: ignore[attr-defined]
    return flagged


def nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    """``{"training__steps": 5}`` as ``{"training": {"steps": 5}}``."""
    changes: dict[str, Any] = {}
    for name, value in flags.items():
        section, field = name.split("__", 1)
        (changes if section == "recipe" else changes.setdefault(section, {}))[field] = value
    return changes
