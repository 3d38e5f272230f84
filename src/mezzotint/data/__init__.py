"""Data sets by name, each a function (split, folder) -> ImageData, and readers for your own files."""

from pathlib import Path

from ..registry import DATASETS, FORMATS
from .decode import Broken
from .images import ImageData, ImageSpec, Split, check_labels
from .transforms import Fit, Frame


def open_data(
    name: str,
    split: Split = "train",
    *,
    folder: Path | None = None,
    frame: Frame | None = None,
    broken: Broken = "refuse",
) -> ImageData:
    """A data set by its name, or your own files as ``kind:path``.

    Args:
        name: such as "mnist", "folder:pictures/" or "hf:ylecun/mnist".
        split: "train" or "test".
        folder: a folder that already has the files of a named data set.
        frame: how images are cut and resized, and their channels; unchanged if not given.
        broken: whether broken pictures are an error ("refuse") or left out ("skip").

    Returns:
        The images of the split, with labels and class names.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the name is unknown, or a file is broken.
    """
    frame = frame or Frame()
    kind, colon, where = name.partition(":")
    if colon and kind in FORMATS and where:
        if folder is not None:
            raise ValueError(f"folder is for named data sets; {name!r} has its path")
        return FORMATS[kind](where, split, frame, broken)
    if name in DATASETS:
        return DATASETS[name](split, folder).framed(frame)
    kinds = (f"{kind}:{'NAME' if kind == 'hf' else 'PATH'}" for kind in FORMATS)
    known = ", ".join([*DATASETS, *kinds])
    raise ValueError(f"there is no data set {name!r}: it is one of {known}")


__all__ = [
    "Fit",
    "Frame",
    "ImageData",
    "ImageSpec",
    "Split",
    "check_labels",
    "open_data",
]
