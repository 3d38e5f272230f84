"""The one pair of conversions: uint8 outside, floats in [-1, 1] inside."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_float(images: UInt8[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """0..255 to -1..1."""
    return images.float() / 127.5 - 1


def to_uint8(images: Float[Tensor, "*batch"]) -> UInt8[Tensor, "*batch"]:
    """-1..1 to 0..255, clamped, rounded to the nearest.

    Raises ValueError on NaN, which no grey value stands for.
    """
    if images.isnan().any():
        raise ValueError("the images contain NaN: the model has diverged; train again more gently")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
