"""Random changes to the images that a classifier is trained on, which leave their class as it is."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Share = Float[Tensor, " batch"]


def jitter(
    images: Float[Tensor, "batch channels height width"], source: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Apply a random affine map to each image.

    Rotation is up to 12 degrees, scale and shear up to 12%, translation up to 1/14 of the side (2 of 28
    pixels).

    Args:
        images: In [-1, 1].
        source: CPU random generator.

    Returns:
        Images of the same shape and range. Pixels from outside the image are black (-1).
    """
    count = len(images)
    u = torch.rand(6, count, generator=source) * 2 - 1
    angle = u[0] * math.radians(12)
    shear = u[1] * 0.12
    scale_x = 1 + 0.12 * u[2]
    scale_y = 1 + 0.12 * u[3]
    cos = angle.cos()
    sin = angle.sin()
    row_x = [scale_x * cos, scale_y * (shear - sin), u[4] / 7]
    row_y = [scale_x * sin, scale_y * cos, u[5] / 7]
    return _mapped(images, torch.stack(row_x + row_y, dim=1))


def mirror(
    images: Float[Tensor, "batch channels height width"], source: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Mirror half of the images, and move each by whole pixels, up to 1/14 of the side (2 of 28 pixels).

    Args:
        images: In [-1, 1].
        source: CPU random generator.

    Returns:
        Images of the same shape and range. Pixels from outside the image are black (-1).
    """
    count = len(images)
    height, width = images.shape[2:]
    sign = torch.randint(0, 2, (count,), generator=source) * 2.0 - 1
    right = _whole(width, count, source)
    down = _whole(height, count, source)
    zero = torch.zeros(count)
    one = torch.ones(count)
    return _mapped(images, torch.stack([sign, zero, right, zero, one, down], dim=1))


def _whole(side: int, count: int, source: torch.Generator) -> Float[Tensor, " batch"]:
    """Random translations of up to 1/14 of a side, in whole pixels; the side is 2 long."""
    most = side // 14
    return torch.randint(-most, most + 1, (count,), generator=source) * 2.0 / side


def _mapped(
    images: Float[Tensor, "batch channels height width"], maps: Float[Tensor, "batch 6"]
) -> Float[Tensor, "batch channels height width"]:
    """Images under affine maps, each given by the two rows of its matrix."""
    theta = maps.view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # grid_sample pads with 0, so the images are shifted by 1 to make black 0, and shifted back.
    return F.grid_sample(images + 1, grid.to(images), align_corners=False) - 1


def erase(
    images: Float[Tensor, "batch channels height width"], source: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Mirror and move the images as :func:`mirror` does, and hide a rectangle in half of them behind noise.

    (Zhong et al. 2020.) Rectangles have 2 to 25% of the area and sides in the ratio of 0.3 to 1/0.3.

    Args:
        images: In [-1, 1].
        source: CPU random generator.

    Returns:
        Images of the same shape and range.
    """
    images = mirror(images, source)
    count = len(images)
    height, width = images.shape[2:]
    u = torch.rand(5, count, generator=source)
    area = (0.02 + 0.23 * u[0]) * height * width
    ratio = torch.exp((2 * u[1] - 1) * math.log(1 / 0.3))
    rows = _span((area * ratio).sqrt(), height, u[2])
    columns = _span((area / ratio).sqrt(), width, u[3])
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    noise = torch.rand(images.shape, generator=source) * 2 - 1
    return torch.where(hidden & (u[4] < 0.5)[:, None, None, None], noise, images)


def _span(length: Share, side: int, place: Share) -> Bool[Tensor, "batch side"]:
    """Which of ``side`` pixels are in a span of some length, whose place is random in [0, 1)."""
    length = length.clamp(1, side - 1)
    start = place[:, None] * (side - length[:, None])
    position = torch.arange(side)
    return (position >= start.floor()) & (position < (start + length[:, None]).floor())


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "jitter": jitter,
    "mirror": mirror,
    "erase": erase,
}
"""Each by its name in a classifier's recipe."""
