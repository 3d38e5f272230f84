"""Data sets, by name: each a function (split, folder) -> ImageData."""

from collections.abc import Callable
from pathlib import Path

from .images import Fit, ImageData, check_labels
from .mnist import Split, mnist

DATASETS: dict[str, Callable[[Split, Path | None], ImageData]] = {"mnist": mnist}

__all__ = ["DATASETS", "Fit", "ImageData", "Split", "check_labels", "mnist"]
