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
    """What a network knows of its data: (height, width), channels and the names of the classes."""

    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.channels, *self.size


@dataclass(frozen=True)
class ImageData:
    """``images`` (n, channels, height, width) uint8; ``labels`` (n,) int64 in 0..classes-1;
    ``classes``: their names, empty where there are no labels (then ``labels`` is all 0); ``notes``: what was
    unusual about the files, in words.

    Raises ValueError where the three do not belong together.
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
        """(height, width)"""
        return self.images.shape[2], self.images.shape[3]

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def spec(self) -> ImageSpec:
        """What a network must know of these images."""
        return ImageSpec(self.size, self.channels, self.classes)

    def fingerprint(self) -> str:
        """A hash of classes, labels and images; of more than 200 MB of images, of a thousand of them."""
        digest = hashlib.sha256(repr((self.classes, tuple(self.images.shape))).encode())
        digest.update(self.labels.numpy().tobytes())
        stride = 1 if self.images.numel() <= 2e8 else max(1, len(self) // 1000)
        digest.update(self.images[::stride].contiguous().numpy().tobytes())
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True)) if self.classes else {}

    def warnings(self) -> list[str]:
        """What is odd, in words: about the files, empty classes, and rare ones (1 to 10 or worse)."""
        counts = self.counts()
        empty = [name for name, count in counts.items() if count == 0]
        rare = [
            f"{name} ({count})"
            for name, count in counts.items()
            if 0 < count <= max(counts.values()) / 10
        ]
        found = list(self.notes)
        if empty:
            found.append(f"no images at all of class {', '.join(empty)}: it cannot be learnt")
        if rare:
            found.append(f"few images of class {', '.join(rare)}: expect it to come out worse")
        return found

    def framed(self, frame: Frame) -> "ImageData":
        """The same data as ``frame`` asks for it."""
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
        """The same data at ``size`` (height, width); see :func:`pictures.fitted`."""
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
    """``labels`` as int64, if each is a whole number in 0..len(classes)-1.

    Raises ValueError naming the first that is not, and the range.
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
