"""What the verbs that draw have in common."""

from collections.abc import Sequence
from typing import Any

from ..recipe.fields import RecipeError
from ..utils.classes import find_class


def parse_labels(words: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """Class names as positions; all classes if none are named; None if there are none.

    Raises RecipeError naming the word and the classes.
    """
    if not classes:
        if words:
            raise RecipeError("this model was trained without classes: name none")
        return None
    try:
        return [find_class(word, classes) for word in words] or list(range(len(classes)))
    except ValueError as error:
        raise RecipeError(str(error)) from None


def set_values(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}
