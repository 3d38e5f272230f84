"""What is shared of a recipe and an evaluation: everything but the paths of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..recipe.schema import Recipe
from ..recipe.toml import leaves, override
from ..registry import FORMATS
from ..utils.assets import shipped

UNNAMED = "local"
"""In the place of a path whose last name says who owns it, or nothing, such as a home folder."""

_ON_HUB = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?([:@]\w[\w./-]*)?", re.ASCII)


def public_recipe(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """A recipe without the paths of this machine.

    Args:
        recipe: the recipe of a model.

    Returns:
        The recipe with the last name of each path in the place of the path, and without ``data.folder``; and
        what differs, a line for each.
    """
    changes: dict[str, Any] = {}
    notes = []
    for key, value in leaves(recipe):
        if not isinstance(value, str):
            continue
        public = None if key == "data.folder" else public_text(value)
        if public == value:
            continue
        notes.append(
            f"{key} = {value!r} is left out" if public is None else _note(key, value, public)
        )
        section, _, name = key.rpartition(".")
        (changes.setdefault(section, {}) if section else changes)[name] = public
    return override(recipe, changes), notes


def public_document(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An evaluation without the paths of this machine.

    Args:
        document: of an evaluation.json.

    Returns:
        A copy with the last name of each path in the place of the path; and what differs, a line for each.
    """
    notes: list[str] = []

    def public(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: public(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [public(item, path) for item in value]
        if not isinstance(value, str) or (text := public_text(value)) == value:
            return value
        notes.append(_note(path, value, text))
        return text

    return {key: public(value, key) for key, value in document.items()}, notes


def _note(key: str, value: str, public: str) -> str:
    return f"{key} = {value!r} is shared as {public!r}"


def public_text(text: str) -> str:
    """A text of a recipe or an evaluation, with the last name of a path in the place of the path.

    Args:
        text: a path, ``FORMAT:PATH``, a name on the Hub, or any other text without a slash.

    Returns:
        A path becomes its last name, and the name of a home folder UNNAMED; everything else is as it was. A
        last name that is also a shipped model's is told apart from that.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in FORMATS:
        on_hub = (
            kind == "hf" and _ON_HUB.fullmatch(rest) and not _is_here(re.split("[:@]", rest)[0])
        )
        here = "./" if kind == "hf" else ""  # or it would be a name on the Hub
        return text if on_hub else f"{kind}:{here}{_last_name(rest)}"
    if not ("/" in text or "\\" in text or text.startswith("~") or text in (".", "..")):
        return text
    name = _last_name(text)
    return f"{UNNAMED}-{name}" if name in shipped("models") else name


def _is_here(path: str) -> bool:
    """Whether a folder has this name, which then is meant."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def _last_name(path: str) -> str:
    """The last name of a path of any system; UNNAMED if that is nobody's but the user's."""
    parts = re.split(r"[/\\]", path.rstrip("/\\"))
    above = [part.casefold() for part in parts[:-1]]
    is_home = len(above) > 1 and above[-1] in ("home", "users")
    if is_home or parts[-1] in ("", ".", "..") or parts[-1].startswith("~"):
        return UNNAMED
    try:
        is_home = Path(path).expanduser() == Path.home()
    except RuntimeError:  # no home
        is_home = False
    return UNNAMED if is_home else parts[-1]
