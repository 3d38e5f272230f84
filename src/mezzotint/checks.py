"""What a recipe must not say, and how it is told so: the parts that know nothing of its sections."""

from difflib import get_close_matches


class RecipeError(ValueError):
    """A recipe that cannot be: names the key, the value and what would do."""


DATA_NAMES = (
    "mnist", "fashion-mnist", "kmnist", "emnist-byclass", "emnist-bymerge", "emnist-balanced",
    "emnist-letters", "emnist-digits", "emnist-mnist", "cifar10", "cifar100",
)  # fmt: skip
DATA_KINDS = ("folder", "npz", "idx", "celeba", "hf")


def check_data_name(name: str) -> None:
    """Refuse a data set that is neither known nor a kind of files of one's own."""
    kind, colon, path = name.partition(":")
    if name in DATA_NAMES or (colon and kind in DATA_KINDS and path):
        return
    known = [*DATA_NAMES, *(f"{kind}:{'NAME' if kind == 'hf' else 'PATH'}" for kind in DATA_KINDS)]
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise RecipeError(f"data.name = {name!r}: it is one of {', '.join(known)}.{hint}")


def check_interval(name: str, interval: tuple[float, float]) -> None:
    """Refuse an interval of times that holds none."""
    if not interval[0] < interval[1]:
        raise RecipeError(f"{name} = {list(interval)} is empty: write low, high")
