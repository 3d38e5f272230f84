"""Kinds of images of your own: what stands before the colon of ``kind:path``."""

from collections.abc import Callable
from pathlib import Path

from .arrays import idx_files, npz
from .folders import Broken, celeba, folder_of_pictures
from .hub import from_hub
from .images import ImageData, Split
from .pictures import Frame

KINDS: dict[str, Callable[[Path, Split, Frame, Broken], ImageData]] = {
    "folder": folder_of_pictures,
    "npz": npz,
    "idx": idx_files,
    "celeba": celeba,
}


def open_own(kind: str, where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """Images of your own, of one of the ``KINDS`` at the path ``where``, or of ``hf``, whose data sets
    have names."""
    if kind == "hf":
        return from_hub(where, split, frame, broken)
    return KINDS[kind](Path(where).expanduser(), split, frame, broken)
