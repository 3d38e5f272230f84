"""Data sets, by name: each a function (split, folder) -> ImageData; and kinds of files of your own."""

from collections.abc import Callable
from pathlib import Path

from .arrays import idx_files, npz
from .cifar import CIFAR10, CIFAR100
from .decode import Broken
from .folders import celeba, folder_of_pictures
from .hub import from_hub
from .idx_sets import EMNIST, FASHION_MNIST, KMNIST, MNIST
from .images import ImageData, ImageSpec, Split, check_labels
from .transforms import Fit, Frame

DATASETS: dict[str, Callable[[Split, Path | None], ImageData]] = {
    "mnist": MNIST,
    "fashion-mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    **{f"emnist-{name}": data for name, data in EMNIST.items()},
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}


Kind = Callable[[str, Split, Frame, Broken], ImageData]


def _at_a_path(opened: Callable[[Path, Split, Frame, Broken], ImageData]) -> Kind:
    """A kind that stands for what is at a path."""
    return lambda where, *how: opened(Path(where).expanduser(), *how)


KINDS: dict[str, Kind] = {
    "folder": _at_a_path(folder_of_pictures),
    "npz": _at_a_path(npz),
    "idx": _at_a_path(idx_files),
    "celeba": _at_a_path(celeba),
    "hf": from_hub,
}


def open_data(
    name: str,
    split: Split = "train",
    *,
    folder: Path | None = None,
    frame: Frame | None = None,
    broken: Broken = "refuse",
) -> ImageData:
    """A data set by its name, or files of your own as ``kind:path``, in a ``frame``.

    ``folder``: where the files of a named data set are already. Raises FileNotFoundError or ValueError,
    naming the file, where it is not there or ``broken`` (pictures can be skipped instead).
    """
    frame = frame or Frame()
    kind, colon, where = name.partition(":")
    if colon and kind in KINDS and where:
        return KINDS[kind](where, split, frame, broken)
    if name in DATASETS:
        return DATASETS[name](split, folder).framed(frame)
    kinds = (f"{kind}:{'NAME' if kind == 'hf' else 'PATH'}" for kind in KINDS)
    known = ", ".join([*DATASETS, *kinds])
    raise ValueError(f"there is no data set {name!r}: it is one of {known}")


__all__ = [
    "DATASETS",
    "KINDS",
    "Fit",
    "Frame",
    "ImageData",
    "ImageSpec",
    "Split",
    "check_labels",
    "open_data",
]
