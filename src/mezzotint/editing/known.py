"""Images that an edit begins from, and the pixels of them that it keeps."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ..diffusion.level import Images
from ..utils import pixels

Uint8Images = UInt8[Tensor, "n channels height width"]


def as_images(image: Tensor, shape: tuple[int, int, int], name: str = "image") -> Uint8Images:
    """Check the images that are to be edited.

    Args:
        image: uint8 image (channels, height, width), or one for each result (n, channels, height, width).
        shape: (channels, height, width) that the model has.
        name: of the argument, for errors.

    Returns:
        images (n, channels, height, width), n = 1 for a single image.

    Raises:
        ValueError: naming the shape and the dtype that are right.
    """
    right = f"{name} must be a uint8 tensor of shape {shape}, or several of them"
    if not isinstance(image, Tensor):
        raise ValueError(f"{right}, not {type(image).__name__}")
    if image.dtype != torch.uint8:
        raise ValueError(f"{right}, with values from 0 to 255, not {image.dtype}")
    images = image[None] if image.ndim == 3 else image
    if images.ndim != 4 or tuple(images.shape[1:]) != shape or len(images) == 0:
        raise ValueError(f"{right}, not {tuple(image.shape)}")
    return images


def as_mask(mask: Tensor, shape: tuple[int, int, int]) -> Bool[Tensor, "n 1 height width"]:
    """Check a mask: what is not 0 is repainted.

    Args:
        mask: bool or uint8, (height, width), (1, height, width), or one for each result (n, 1, height,
            width). In a uint8 mask, 128 and more is white, and repainted.
        shape: (channels, height, width) of the images.

    Returns:
        True where pixels are repainted (n, 1, height, width).

    Raises:
        ValueError: for another size or dtype, and if no pixel is to be repainted.
    """
    _, height, width = shape
    right = f"mask must be a bool or uint8 tensor of shape {(height, width)}"
    if not isinstance(mask, Tensor):
        raise ValueError(f"{right}, not {type(mask).__name__}")
    if mask.dtype not in (torch.bool, torch.uint8):
        raise ValueError(f"{right}, not {mask.dtype}")
    masks = mask
    while masks.ndim < 4:
        masks = masks[None]
    if masks.ndim != 4 or tuple(masks.shape[1:]) != (1, height, width) or len(masks) == 0:
        raise ValueError(f"{right}, the size of the image, not {tuple(mask.shape)}")
    white = masks if masks.dtype == torch.bool else masks >= 128
    if not white.flatten(1).any(1).all():
        raise ValueError("the mask is black everywhere: nothing is to be repainted; paint white")
    return white


@dataclass(frozen=True)
class Known:
    """Images of which some pixels are known.

    Args:
        images: (n, channels, height, width) in [-1, 1]; n is 1 if all results share an image.
        unknown: True where pixels are repainted, (n or 1, 1, height, width).
    """

    images: Float[Tensor, "n channels height width"]
    unknown: Bool[Tensor, "m 1 height width"]

    @classmethod
    def of(cls, images: Uint8Images, unknown: Tensor, rows: slice) -> "Known":
        """Those of some of the results."""
        few = images if len(images) == 1 else images[rows]
        masks = unknown if len(unknown) == 1 else unknown[rows]
        return cls(pixels.to_float(few), masks)

    def paste(self, x: Images, images: Images | None = None) -> Images:
        """Images whose known pixels are those of ``images``, or exactly the known ones.

        Args:
            x: (batch, channels, height, width).
            images: where known pixels come from, of the same shape; the known images if None.

        Returns:
            images of the same shape.
        """
        known = (self.images if images is None else images).to(x)
        return torch.where(self.unknown.to(x.device), x, known)
