"""Arrays in an .npz, as other tools write them; nothing in it is unpickled, which could run code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..utils.console import in_a_line, printable
from .sources import BROKEN_ZIP

UNREADABLE = (*BROKEN_ZIP, OSError, ValueError, TypeError, SyntaxError, TokenError)
"""What NumPy raises for files that are not whole .npz files, or claim to be larger than the memory."""

ALIASES = {
    "images": ("image", "x", "data", "arr_0"),
    "labels": ("label", "y", "target", "targets", "arr_1"),
    "images_test": ("test_images", "x_test"),
    "labels_test": ("test_labels", "y_test"),
}
"""Names that other tools give to arrays, in any case; arr_0 and arr_1 are those of numpy.savez itself."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of an open .npz file.

    Args:
        content: arrays by name.
        path: of the file, for errors.
    """

    content: Mapping[str, np.ndarray]
    path: Path

    @staticmethod
    @contextmanager
    def opened(path: Path) -> "Iterator[Arrays]":
        """Open a file within the block.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: naming the file, if it is no .npz that can be read.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                if not isinstance(content, Mapping):
                    raise ValueError("it is a single array, an .npy")
                yield Arrays(content, path)
        except (FileNotFoundError, PermissionError, _WrongArrayError):
            raise
        except UNREADABLE as error:
            words = "it holds Python objects" if "pickle" in str(error) else in_a_line(error)
            raise ValueError(f"{printable(str(path))} is no readable .npz file: {words}") from error

    def name_of(self, name: str) -> str | None:
        """The name under which the file has an array, which may be one of its aliases; None if it has not."""
        if name in self.content:
            return name
        folded = {key.casefold(): key for key in self.content}
        aliases = (name, *ALIASES.get(name, ()))
        return next((folded[alias] for alias in aliases if alias in folded), None)

    def __contains__(self, name: str) -> bool:
        return self.name_of(name) is not None

    def __getitem__(self, name: str) -> np.ndarray:
        """An array.

        Raises:
            ValueError: naming the arrays there are, if there is none of that name, or it holds objects.
        """
        actual = self.name_of(name)
        if actual is None:
            raise self._fault(f"has no array {name!r}")
        try:
            array = self.content[actual]
            if not isinstance(array, np.ndarray):  # a file of another kind in the archive
                raise self._fault(f"{actual!r} is no array")
            return array
        except _WrongArrayError:
            raise
        except ValueError as error:
            if "pickle" not in str(error):
                raise
            raise self._fault(
                f"{actual!r} holds Python objects, which are not loaded, since that could run code in them"
            ) from error

    def images(self, name: str) -> UInt8[Tensor, "n channels height width"]:
        """An array of images, uint8: n x h x w, n x h x w x c or n x c x h x w.

        Raises:
            ValueError: naming file, array and fault.
        """
        images = self[name]
        actual = self.name_of(name)
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise self._fault(
                f"{actual!r} must be uint8 with 3 or 4 dimensions, not {images.dtype} with {images.ndim}"
            )
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
            images = images.transpose(0, 3, 1, 2)
        if images.shape[1] not in (1, 3):
            raise self._fault(
                f"{actual!r}: images are grey or RGB, n x h x w or n x h x w x 3, not"
                f" {list(self[name].shape)}"
            )
        return torch.from_numpy(np.ascontiguousarray(images))

    def labels(self, name: str) -> list[int] | list[str] | None:
        """One label for each image, whole numbers or names of classes; None if there are none.

        Raises:
            ValueError: naming file, array and fault.
        """
        actual = self.name_of(name)
        if actual is None:
            return None
        labels = self[name]
        if labels.size == max(labels.shape, default=0):
            labels = labels.reshape(-1)
        if labels.ndim != 1:
            raise self._fault(
                f"{actual!r} must be one label for each image, (n,), not {list(labels.shape)}"
            )
        if labels.dtype.kind == "S":
            labels = np.char.decode(labels, "utf-8", "surrogateescape")
        if labels.dtype.kind == "f":
            with np.errstate(all="ignore"):  # what is no whole number is refused below
                wide = labels.astype(np.float64)
                whole = (wide == np.rint(wide.clip(-(2**53), 2**53))).all()
            labels = wide.astype(np.int64) if whole else labels
        if labels.dtype.kind == "b":
            labels = labels.astype(np.int64)
        if labels.dtype.kind not in "iuU":
            raise self._fault(f"{actual!r} must be whole numbers or names, not {labels.dtype}")
        values: list[int] | list[str] = labels.tolist()
        return values

    def notes(self, *names: str) -> tuple[str, ...]:
        """What is worth saying of the arrays: those taken under another name, and those not taken."""
        names_in_file = {name: self.name_of(name) for name in names}
        lines = [
            f"{name} are the array {actual!r}"
            for name, actual in names_in_file.items()
            if actual not in (None, name)
        ]
        if unused := [key for key in self.content if key not in names_in_file.values()]:
            lines.append(f"arrays that are not used: {', '.join(unused)}")
        return tuple(lines)

    def _fault(self, words: str) -> "_WrongArrayError":
        shapes = []
        for key in self.content:
            try:
                array = self.content[key]
                is_array = isinstance(array, np.ndarray)
                shapes.append(f"{key} {list(array.shape)}" if is_array else f"{key} (no array)")
            except ValueError:
                shapes.append(f"{key} (objects)")
        return _WrongArrayError(
            f"{printable(str(self.path))}: {words}; its arrays are {', '.join(shapes) or 'none'}"
        )


class _WrongArrayError(ValueError):
    """An array that is not what it should be, in our own words."""
