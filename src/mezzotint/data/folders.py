"""Your own pictures in a folder or an archive (:mod:`layout` has the rules for folders), and CelebA."""

from dataclasses import replace
from pathlib import Path

import torch

from ..utils.console import printable
from .cache import cached
from .decode import GREY, Broken, read_header, read_picture
from .images import ImageData, Split
from .layout import Layout, read_layout
from .left_out import UNREADABLE, LeftOut
from .listing import HELD_OUT, Listing, folders_in, loose_pictures
from .sources import Source, unpacked
from .transforms import Frame


def resolve_size_and_channels(
    listing: Listing, frame: Frame, where: str
) -> tuple[tuple[int, int], int]:
    """Size and channels of the arrays: those of the frame, or those that all pictures have.

    Args:
        listing: the pictures to train on.
        frame: with a size and channels, or without.
        where: the folder or data set, for errors.

    Returns:
        (height, width), and 1 or 3.

    Raises:
        ValueError: if the sizes differ and the frame has none.
    """
    if frame.size is not None and frame.channels is not None:
        return frame.size, frame.channels
    headers = [_header_or_none(picture) for picture in listing.pictures]
    readable = [header for header in headers if header is not None]
    if not readable:
        raise ValueError(
            f"{where}: not one of {len(headers)} pictures can be read, {listing.pictures[0]} first"
        )
    sizes = {frame.cut(size) for _, size in readable}
    if frame.size is None and len(sizes) > 1:
        some = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:4])
        raise ValueError(
            f"the pictures of {where} are of {len(sizes)} sizes ({some}, ...):"
            " say which to bring them to, such as --data.size 32"
        )
    grey = all(mode in GREY for mode, _ in readable)
    return frame.size or sizes.pop(), frame.channels or (1 if grey else 3)


def _header_or_none(picture: Source) -> tuple[str, tuple[int, int]] | None:
    try:
        return read_header(picture)
    except ValueError:
        return None


def decode_listing(
    listing: Listing, train: Listing, frame: Frame, broken: Broken, where: str
) -> ImageData:
    """The pictures of a listing, decoded once into a cache that is mapped into memory.

    Args:
        listing: the pictures.
        train: those to train on, from which size and channels are taken.
        frame: how they are cut and resized.
        broken: whether broken pictures are an error ("refuse") or left out ("skip").
        where: the folder or data set, for errors.

    Returns:
        The images, with labels and class names.

    Raises:
        OSError: if a picture cannot be read.
        ValueError: if there are no pictures, or one is broken and ``broken`` is "refuse".
    """
    if not listing.pictures:
        raise ValueError(
            f"{where}: no picture is left for testing, which takes one of about {HELD_OUT}"
        )
    size, channels = resolve_size_and_channels(train, frame, where)
    exact = replace(frame, size=size, channels=channels)
    images, rows = cached(listing.pictures, exact, channels, broken)
    notes = list(listing.notes)
    if missing := sorted(set(range(len(listing.pictures))) - set(rows)):
        first = listing.pictures[missing[0]]
        name = printable(str(first))
        notes.append(
            f"{len(missing):,} broken pictures are left out, {name} first{_reason(first, name)}"
        )
    labels = torch.tensor(listing.labels, dtype=torch.int64)[rows]
    return ImageData(images, labels, listing.classes, tuple(notes))


def _reason(picture: Source, name: str) -> str:
    """Why a picture is broken, in brackets."""
    try:
        read_picture(picture, 3, Frame())
    except ValueError as error:
        return f" ({str(error).removeprefix(f'{name} is a broken picture: ')})"
    except OSError:
        return ""
    return ""


def from_folder(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The pictures of a folder, or of a .zip that holds one.

    Args:
        where: path of the folder or the .zip.
        split: "train" or "test".
        frame: how pictures are cut and resized, and their channels.
        broken: whether broken pictures are an error ("refuse") or left out ("skip").

    Returns:
        The images of the split. Names of folders are names of classes.

    Raises:
        OSError: if something cannot be read.
        ValueError: if the layout of the folder is not clear, or a picture is broken.
    """
    path = Path(where).expanduser()
    layout = layout_of(path)
    if broken == "refuse" and UNREADABLE in layout.left_out.counts:
        first = layout.left_out.first[UNREADABLE]
        raise PermissionError(
            f"{printable(str(first))} may not be read: change its rights, or skip"
        )
    return decode_listing(layout.part(split), layout.train, frame, broken, printable(str(path)))


def layout_of(path: Path) -> Layout:
    """The splits and classes of a folder, or of an archive that holds one.

    Raises:
        OSError: if something cannot be read.
        ValueError: if it is neither, or has no pictures.
    """
    return read_layout(picture_folder(path))


def picture_folder(path: Path) -> Path:
    """The folder of pictures at ``path``, or in the archive there, which is unpacked once.

    An archive may hold the pictures directly, or in one folder at the top.
    """
    if not path.is_file():
        return path
    folder = unpacked(path)
    below = folders_in(folder, LeftOut())
    return below[0] if len(below) == 1 and not loose_pictures(folder, LeftOut()) else folder


CELEBA_CROP = 140
CELEBA_TRAIN = range(1, 162_771)
CELEBA_TEST = range(182_638, 202_600)


def from_celeba(where: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The aligned faces of CelebA (Liu et al. 2015), without classes.

    The square of 140 pixels in the middle is taken, as in the code of Song et al. (2021, "Score-Based
    Generative Modeling through SDEs"). The splits are the official ones; the validation split is not used.

    Args:
        where: path of the folder or the archive ``img_align_celeba``.
        split: "train" or "test".
        frame: how pictures are cut and resized, and their channels (3 if not given).
        broken: whether broken pictures are an error ("refuse") or left out ("skip").

    Returns:
        The images of the split.

    Raises:
        FileNotFoundError: naming the first face that is missing.
        OSError: if a picture cannot be read.
        ValueError: if a picture is broken, or the size is not given and differs.
    """
    path = Path(where).expanduser()
    folder = picture_folder(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is neither a folder nor a .zip {path}")
    numbers = CELEBA_TRAIN if split == "train" else CELEBA_TEST
    faces = [folder / f"{number:06}.jpg" for number in numbers]
    if missing := next((face for face in faces if not face.is_file()), None):
        raise FileNotFoundError(f"{path} is not the whole of CelebA: {missing.name} is missing")
    listing = Listing(faces, [0] * len(faces), ())
    crop_frame = replace(frame, crop=frame.crop or CELEBA_CROP, channels=frame.channels or 3)
    return decode_listing(listing, listing, crop_frame, broken, str(path))
