"""What a recipe must not say, and how it is told so."""

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import Data, Sampling


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


def check_sampling(sampling: "Sampling", timesteps: int | None) -> None:
    """Refuse sampling options that contradict each other or the schedule."""
    if timesteps is not None and sampling.steps > timesteps:
        raise RecipeError(
            f"sampling.steps = {sampling.steps} is more than the {timesteps} time steps there are;"
            f" use 1 to {timesteps}"
        )
    if sampling.eta is not None and sampling.sampler != "ddim":
        raise RecipeError(f"eta is an option of sampler 'ddim'; {sampling.sampler!r} has none")
    check_interval("interval", sampling.interval)


def check_data(data: "Data") -> None:
    """Refuse data that are not known, and options that say nothing of them."""
    check_data_name(data.name)
    if data.channels == 2:
        raise RecipeError("data.channels = 2: images are grey (1) or in colour (3)")
    if data.columns is not None and data.size is None:
        raise RecipeError(f"data.columns = {data.columns} needs data.size, the height")
    if data.folder is not None and ":" in data.name:
        raise RecipeError(
            f"data.folder is for named data sets; data.name = {data.name!r} has its path"
        )
