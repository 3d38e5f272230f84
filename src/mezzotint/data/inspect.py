"""What may be wrong with a data set, found by reading everything once."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .decode import read_header, read_picture
from .images import ImageData
from .sources import Source
from .transforms import Frame

FEW = 100
"""Images of a class below which it is hard to learn."""


@dataclass
class Pictures:
    """What the files of a folder are: Pillow's ``modes``, ``sizes`` (height, width) and what is
    ``broken``, in words that name the file."""

    modes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def inspect_files(files: Iterable[Source]) -> Pictures:
    """Decode every file to the end."""
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
    """What is odd about the images themselves, in words."""
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
    """How many test images are exact copies of training images, which makes measures too good."""
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
    seen: set[bytes] = set()
    copies = mirrored = blank = 0
    for image in data.images:
        flipped = image.flip(2)
        own = _digest(image.numpy().tobytes())
        other = _digest(flipped.numpy().tobytes())
        if bool((image == image[:, :1, :1]).all()):
            blank += 1
        elif own in seen:
            copies += 1
        elif other in seen and own != other:
            mirrored += 1
        seen.add(own)
    return copies, mirrored, blank


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
