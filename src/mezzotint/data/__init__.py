"""Data sets, by name: each a function (split, folder) -> ImageData; and kinds of files of your own."""

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
    """A data set by its name, or files of your own as ``kind:path``, in a ``frame``.

    ``folder``: where the files of a named data set are already. Raises FileNotFoundError or ValueError,
    naming the file, where it is not there or ``broken`` (pictures can be skipped instead).
    """
    frame = frame or Frame()
    kind, colon, where = name.partition(":")
    if colon and kind in FORMATS and where:
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
