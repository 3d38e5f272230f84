"""Size and channels of pictures and images."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageOps

Fit = Literal["crop", "pad", "resize"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How pictures become arrays.

    Args:
        size: (height, width); unchanged if None.
        fit: how pictures are brought to ``size``: "crop", "pad" or "resize" (see :func:`fitted`).
        channels: 1 for grey, 3 for colour; unchanged if None.
        background: grey level behind transparent pixels and around padded pictures, 0 to 255.
        crop: pixels on a side of the square in the middle that is cut out first; None for no cut.
    """

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    channels: int | None = None
    background: int = 0
    crop: int | None = None

    def cut(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that ``crop`` leaves of a picture of ``size``."""
        return size if self.crop is None else (min(size[0], self.crop), min(size[1], self.crop))

    def apply(self, picture: Image.Image) -> Image.Image:
        """Cut and resize a picture of mode L or RGB."""
        height, width = self.cut((picture.height, picture.width))
        left = (picture.width - width) // 2
        top = (picture.height - height) // 2
        if (height, width) != (picture.height, picture.width):
            picture = picture.crop((left, top, left + width, top + height))
        return (
            picture if self.size is None else fitted(picture, self.size, self.fit, self.background)
        )


def fitted(picture: Image.Image, size: tuple[int, int], fit: Fit, background: int) -> Image.Image:
    """A picture at another size, resampled bilinearly with antialiasing.

    Args:
        picture: of mode L or RGB.
        size: (height, width).
        fit: "crop" scales the picture until it covers the size, and cuts off the excess evenly; "pad" shrinks
            it until it fits, never enlarges it, and centres it on the background; "resize" stretches it.
        background: grey level around padded pictures, 0 to 255.

    Returns:
        The picture, in the same mode.
    """
    height, width = size
    if picture.size == (width, height):
        return picture
    match fit:
        case "crop":
            return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
        case "resize":
            return picture.resize((width, height), Image.Resampling.BILINEAR)
        case "pad":
            ratio = min(width / picture.width, height / picture.height)
            if ratio < 1:
                sides = [max(1, round(side * ratio)) for side in picture.size]
                picture = picture.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
            canvas = Image.new(picture.mode, (width, height), _level(picture.mode, background))
            canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
            return canvas


def _level(mode: str, level: int) -> int | tuple[int, int, int]:
    return (level, level, level) if mode == "RGB" else level
