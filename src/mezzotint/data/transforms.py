"""How pictures and images are brought to the size and the channels asked for."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageOps

Fit = Literal["crop", "pad", "resize"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How pictures become arrays: ``crop``: the side of a square in the middle that is all to be taken,
    if one is; ``size`` (height, width) and ``channels`` (1 or 3), as the pictures have them where None;
    ``fit``; ``background``: the grey level, 0 to 255, behind transparent pixels and around padded
    pictures."""

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    channels: int | None = None
    background: int = 0
    crop: int | None = None

    def cut(self, size: tuple[int, int]) -> tuple[int, int]:
        """What ``crop`` leaves of a picture of that size."""
        return size if self.crop is None else (min(size[0], self.crop), min(size[1], self.crop))

    def apply(self, picture: Image.Image) -> Image.Image:
        """The picture, in mode L or RGB, cut out and brought to size."""
        height, width = self.cut((picture.height, picture.width))
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        if (height, width) != (picture.height, picture.width):
            picture = picture.crop((left, top, left + width, top + height))
        return (
            picture if self.size is None else fitted(picture, self.size, self.fit, self.background)
        )


def fitted(picture: Image.Image, size: tuple[int, int], fit: Fit, background: int) -> Image.Image:
    """``picture`` at ``size`` (height, width), resampled bilinearly with antialiasing.

    crop: the short side is brought to size, and what sticks out is cut off evenly; pad: shrunk until it
    fits, never enlarged, and centred on the background; resize: stretched.
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
                shrunk = [max(1, round(side * ratio)) for side in picture.size]
                picture = picture.resize((shrunk[0], shrunk[1]), Image.Resampling.BILINEAR)
            canvas = Image.new(picture.mode, (width, height), _level(picture.mode, background))
            canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
            return canvas


def _level(mode: str, level: int) -> int | tuple[int, int, int]:
    return (level, level, level) if mode == "RGB" else level
