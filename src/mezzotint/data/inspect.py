"""Checks of a data set, which read all of it once."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .decode import read_header, read_picture
from .images import ImageData
from .sources import Source
from .transforms import Frame

FEW = 100
"""A class with fewer images than this is hard to learn."""


@dataclass
class Pictures:
    """Properties of the pictures of a folder.

    Args:
        modes: how many pictures have each mode of Pillow.
        sizes: how many have each (height, width).
        broken: for each broken file, a message that names it.
    """

    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def inspect_files(files: Iterable[Source]) -> Pictures:
    """Decode every file completely, and count modes and sizes."""
    pictures = Pictures()
    for file in files:
        try:
            mode, size = read_header(file)
            read_picture(file, 3, Frame())
        except (ValueError, OSError) as error:
            pictures.broken.append(str(error))
        else:
            pictures.modes[mode] += 1
            pictures.sizes[size] += 1
    return pictures


def concerns(data: ImageData) -> list[str]:
    """What is unusual about the images, as messages."""
    problems = replace(data, notes=()).warnings()
    few = [f"{name} ({count})" for name, count in data.counts().items() if 0 < count < FEW]
    if few:
        problems.append(f"fewer than {FEW} images of class {', '.join(few)}")
    if shared := _in_two_classes(data):
        problems.append(f"{shared:,} images are also in another class, as exact copies")
    copies, mirrored, blank = _repeats(data)
    if copies:
        problems.append(f"{copies:,} images are exact copies of others")
    if mirrored:
        problems.append(
            f"{mirrored:,} images are mirror images of others: if they were made by flipping, letters"
            " and digits will come out mirrored; leave the flipped ones out"
        )
    if blank:
        problems.append(f"{blank:,} images are of one colour throughout")
    return problems


def copies_across(train: ImageData, test: ImageData) -> int:
    """Count the test images that are exact copies of training images, which makes measures too good.

    Args:
        train: the training images.
        test: the test images.

    Returns:
        Their number; 0 if the shapes of the images differ.
    """
    if train.images.shape[1:] != test.images.shape[1:]:
        return 0
    contents = {_digest(image.tobytes()) for image in train.images.numpy()}
    return sum(_digest(image.tobytes()) in contents for image in test.images.numpy())


def _in_two_classes(data: ImageData) -> int:
    """How many images have an exact copy, earlier in order, in another class."""
    labels: dict[bytes, int] = {}
    count = 0
    for image, label in zip(data.images.numpy(), data.labels.tolist(), strict=True):
        count += labels.setdefault(_digest(image.tobytes()), label) != label
    return count


def _repeats(data: ImageData) -> tuple[int, int, int]:
    """How many images are copies of earlier ones, mirror images of earlier ones, and blank."""
    digests: set[bytes] = set()
    copies = mirrored = blank = 0
    for image in data.images:
        flipped = image.flip(2)
        digest = _digest(image.numpy().tobytes())
        other = _digest(flipped.numpy().tobytes())
        if bool((image == image[:, :1, :1]).all()):
            blank += 1
        elif digest in digests:
            copies += 1
        elif other in digests and digest != other:
            mirrored += 1
        digests.add(digest)
    return copies, mirrored, blank


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
