"""What the verbs that draw have in common."""

from collections.abc import Sequence
from typing import Any

from ..recipe.fields import RecipeError
from ..recipe.toml import nearest


def parse_labels(words: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """Class names or numbers as numbers; all classes if none are named; None if there are none.

    Raises RecipeError naming the word and the range.
    """
    if not classes:
        if words:
            raise RecipeError("this model was trained without classes: name none")
        return None
    return [_label(word, classes) for word in words] or list(range(len(classes)))


def _label(word: str, classes: Sequence[str]) -> int:
    if word in classes:
        return classes.index(word)
    if word.isdecimal() and int(word) < len(classes):
        return int(word)
    raise RecipeError(
        f"{word!r} is no class of this model: take {classes[0]} to {classes[-1]}, or their numbers"
        f" 0 to {len(classes) - 1}.{nearest(word, classes)}"
    )


def set_values(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}
