"""Images and masks that a verb reads."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe.fields import RecipeError
from ..utils.console import printable, warn

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import ImageSpec
    from ..model import Model

PARTS = ("top", "bottom", "left", "right", "center")
"""Masks that need no file."""


def read_image(text: str, model: "Model") -> "Tensor":
    """The image that a word of the command line names, in the size and channels of a model.

    Args:
        text: a picture file, or test:K for an image of the model's own test set.
        model: the model.

    Returns:
        uint8 (channels, height, width).

    Raises:
        ValueError: if there is no such picture or image.
    """
    import torch

    from ..data import Frame
    from ..data.decode import read_header, read_picture

    kind, colon, number = text.partition(":")
    if kind == "test" and colon:
        return _test_image(number, model)
    path = Path(text).expanduser()
    spec = model.spec
    _, size = read_header(path)
    if size != spec.size:
        warn(f"{printable(text)}: {_sides(size)} pixels are brought to {_sides(spec.size)}")
    frame = Frame(size=spec.size, background=model.recipe.data.background)
    return torch.from_numpy(read_picture(path, spec.channels, frame).copy())


def _test_image(number: str, model: "Model") -> "Tensor":
    from .. import build

    data = build.load_data(model.recipe.data, "test")
    if data.spec.shape != model.spec.shape:
        raise RecipeError(f"test:{number}: the test images do not have the shape of the model's")
    if not (number.isascii() and number.isdigit() and int(number) < len(data)):
        raise RecipeError(f"test:{number}: test images are numbered 0 to {len(data) - 1}")
    return data.images[int(number)]


def read_mask(text: str, image: str, spec: "ImageSpec") -> "Tensor":
    """The mask that a word of the command line names.

    Args:
        text: a picture file, white where to repaint, of the size of the image or of the model; or one of
            PARTS.
        image: the word that names the image.
        spec: shape of the model's images.

    Returns:
        bool (height, width), True where to repaint.

    Raises:
        ValueError: if there is no such mask, or it has another size.
    """
    import torch

    from ..data import Frame
    from ..data.decode import read_header, read_picture

    if text in PARTS:
        return _part(text, spec.size)
    path = Path(text).expanduser()
    if not path.exists():
        raise RecipeError(
            f"mask = {printable(text)}: there is no such file, and it is none of {', '.join(PARTS)}"
        )
    _, size = read_header(path)
    sizes = {spec.size}
    if Path(image).expanduser().is_file():
        sizes.add(read_header(Path(image).expanduser())[1])
    if size not in sizes:
        raise RecipeError(
            f"mask = {printable(text)} has {_sides(size)} pixels: it must have"
            f" {' or '.join(map(_sides, sorted(sizes)))}, as the image"
        )
    return torch.from_numpy(read_picture(path, 1, Frame(size=spec.size))[0] >= 128)


def _part(name: str, size: tuple[int, int]) -> "Tensor":
    """The half, or the square in the middle, that a word names."""
    import torch

    height, width = size
    mask = torch.zeros(size, dtype=torch.bool)
    rows = {"top": slice(height // 2), "bottom": slice(height // 2, None)}
    columns = {"left": slice(width // 2), "right": slice(width // 2, None)}
    if name == "center":
        rows[name] = slice(height // 4, height - height // 4)
        columns[name] = slice(width // 4, width - width // 4)
    mask[rows.get(name, slice(None)), columns.get(name, slice(None))] = True
    return mask


def _sides(size: tuple[int, int]) -> str:
    """(height, width) as people write it."""
    return f"{size[1]}x{size[0]}"
