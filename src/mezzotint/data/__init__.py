"""Data sets, by name: each a function (split, folder) -> ImageData; and kinds of files of your own."""

from collections.abc import Callable
from pathlib import Path

from .cifar import CIFAR10, CIFAR100
from .folders import Broken
from .idx_sets import EMNIST, FASHION_MNIST, KMNIST, MNIST
from .images import ImageData, Split, check_labels
from .own import KINDS, open_own
from .pictures import Fit, Frame

DATASETS: dict[str, Callable[[Split, Path | None], ImageData]] = {
    "mnist": MNIST,
    "fashion-mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    **{f"emnist-{name}": data for name, data in EMNIST.items()},
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
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
    if colon:
        return open_own(kind, where, split, frame, broken)
    return DATASETS[name](split, folder).framed(frame)


__all__ = [
    "DATASETS", "KINDS", "Fit", "Frame", "ImageData", "Split", "check_labels", "open_data",
]  # fmt: skip
