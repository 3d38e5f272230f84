"""A data set in memory: uint8 images, labels and the names of the classes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from ..utils.numbers import plain, whole_number
from .transforms import Fit, Frame, fitted

Split = Literal["train", "test"]


@dataclass(frozen=True)
class ImageSpec:
    """What a network must know about its data.

    Args:
        size: (height, width).
        channels: 1 or 3.
        classes: their names; empty if there are no labels.
    """

    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, *self.size


@dataclass(frozen=True)
class ImageData:
    """Images with labels.

    Args:
        images: uint8 (n, channels, height, width).
        labels: int64 (n,), in 0..len(classes) - 1; all 0 if there are no classes.
        classes: their names; empty if there are no labels.
        notes: what was unusual about the files, in words.

    Raises:
        ValueError: if there are no images, or images, labels and classes do not match.
    """

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise ValueError("the data set is empty: there is not one image to learn from")
        if self.images.dtype != torch.uint8:
            raise ValueError(f"images are uint8, 0 to 255, not {self.images.dtype}")
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images do not match {len(self.labels)} labels")
        if self.classes:
            check_labels(self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.shape[1]

    @property
    def spec(self) -> ImageSpec:
        """What a network must know about these images."""
        return ImageSpec(self.size, self.channels, self.classes)

    def fingerprint(self) -> str:
        """A hash of classes, labels and images; if these exceed 200 MB, of about a thousand of them."""
        digest = hashlib.sha256(repr((self.classes, tuple(self.images.shape))).encode())
        digest.update(self.labels.numpy().tobytes())
        stride = 1 if self.images.numel() <= 2e8 else max(1, len(self) // 1000)
        digest.update(self.images[::stride].contiguous().numpy().tobytes())
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """The number of images of each class."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True)) if self.classes else {}

    def warnings(self) -> list[str]:
        """Notes about the files, and classes that are empty or have a tenth of the largest or less."""
        counts = self.counts()
        empty = [name for name, count in counts.items() if count == 0]
        rare = [
            f"{name} ({count})"
            for name, count in counts.items()
            if 0 < count <= max(counts.values()) / 10
        ]
        messages = list(self.notes)
        if empty:
            messages.append(f"no images at all of class {', '.join(empty)}: it cannot be learnt")
        if rare:
            messages.append(f"few images of class {', '.join(rare)}: expect it to come out worse")
        return messages

    def framed(self, frame: Frame) -> "ImageData":
        """The same data, cut, resized and with the channels of ``frame``."""
        data = self if frame.channels is None else self.in_channels(frame.channels)
        height, width = frame.cut(self.size)
        rows, columns = self.size
        if (height, width) != self.size:
            top = (rows - height) // 2
            left = (columns - width) // 2
            cut = data.images[:, :, top : top + height, left : left + width]
            data = replace(data, images=cut.contiguous())
        return data if frame.size is None else data.fitted(frame.size, frame.fit, frame.background)

    def fitted(self, size: tuple[int, int], fit: Fit = "crop", background: int = 0) -> "ImageData":
        """The same data at another size; see :func:`mezzotint.data.transforms.fitted`.

        Args:
            size: (height, width).
            fit: "crop", "pad" or "resize".
            background: grey level around padded images, 0 to 255.

        Returns:
            New data, or the same object if it has that size.
        """
        if size == self.size:
            return self
        planes = [
            np.asarray(fitted(Image.fromarray(plane), size, fit, background))
            for plane in self.images.flatten(0, 1).numpy()
        ]
        images = torch.from_numpy(np.stack(planes)).unflatten(0, self.images.shape[:2])
        return replace(self, images=images)

    def in_channels(self, channels: int) -> "ImageData":
        """The same data in grey (1 channel, ITU-R 601-2 luma) or colour (3)."""
        if channels == self.channels:
            return self
        if channels == 3:
            return replace(self, images=self.images.expand(-1, 3, -1, -1).contiguous())
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        parts = [
            ((part * weights).sum(1, keepdim=True)).round().to(torch.uint8)
            for part in self.images.split(10_000)
        ]
        return replace(self, images=torch.cat(parts))


def check_labels(labels: Tensor | Sequence[int], classes: Sequence[str]) -> Int64[Tensor, " n"]:
    """Labels as int64.

    Args:
        labels: whole numbers (n,).
        classes: names of the classes.

    Returns:
        The labels (n,), each in 0..len(classes) - 1.

    Raises:
        ValueError: naming the first label that is not a whole number in that range.
    """
    if isinstance(labels, Tensor) and not labels.is_floating_point() and labels.dtype != torch.bool:
        wrong = ((labels < 0) | (labels >= len(classes))).nonzero()
        if len(wrong) == 0:
            return labels.long()
        values = [labels[wrong[0, 0]].item()]
    else:
        values = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    numbers = []
    for value in values:
        try:
            numbers.append(whole_number(value, "label", 0, len(classes) - 1))
        except ValueError:
            raise ValueError(
                f"label {plain(value)!r} is not a class of this data:"
                f" labels are the whole numbers 0 to {len(classes) - 1}"
            ) from None
    return torch.tensor(numbers, dtype=torch.int64)
