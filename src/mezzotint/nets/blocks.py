"""Building blocks of the networks."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Images = Float[Tensor, "batch channels height width"]
Features = Float[Tensor, "batch _channels _height _width"]
Embedding = Float[Tensor, "batch embedding"]
Heads = Float[Tensor, "batch heads pixels head_width"]
Network = TypeVar("Network", bound=nn.Module)


class StandardizedConv2d(nn.Conv2d):
    """A convolution with standardized kernels (Qiao et al. 2019, "Weight Standardization", eq. 5).

    Each use brings the kernel of every output channel to zero mean and unit variance. In sampling,
    standardizing 51 million weights costs as much as convolving a few images with them:
    :func:`fold_standardization` does it once, for a network that is no longer trained.
    """

    def forward(self, x: Features) -> Features:
        """Convolve ``x`` with the standardized kernels."""
        return self._conv_forward(x, self._kernels(), self.bias)

    def _kernels(self) -> Tensor:
        """The standardized kernels."""
        # Layer norm is the same formula, with one pass forward and one backward. Channels go last
        # because that is the memory format of the weights (see utils.device.place).
        weight = self.weight.permute(0, 2, 3, 1)
        return F.layer_norm(weight, weight.shape[1:], eps=1e-5).permute(0, 3, 1, 2)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """An ordinary convolution with the standardized kernels; its outputs are equal bit by bit."""
        convolution = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            self.groups,
            bias=False,
            padding_mode=self.padding_mode,
            device="meta",
        )
        convolution.weight = nn.Parameter(self._kernels(), requires_grad=False)
        convolution.bias = self.bias
        return convolution.train(self.training)


def fold_standardization(network: Network) -> Network:
    """Replace each standardized convolution by an ordinary one, in place.

    The result is for sampling only: its weights are no longer those of training, so do not save them.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, StandardizedConv2d):
                setattr(parent, name, child.folded())
    return network


class Attention(nn.Module):
    """Self-attention over all pixels, without norm or residual (Vaswani et al. 2017, eq. 1).

    Args:
        channels: channels of the input and of the output.
        heads: number of heads.
        head_width: channels of each head.
    """

    def __init__(self, channels: int, heads: int = 4, head_width: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.input_to_qkv = nn.Conv2d(channels, 3 * heads * head_width, 1, bias=False)
        self.to_output = nn.Conv2d(heads * head_width, channels, 1)

    def extra_repr(self) -> str:
        """What no layer inside says."""
        return f"heads={self.heads}"

    def forward(self, x: Features) -> Features:
        """Let the pixels of ``x`` (batch, channels, height, width) attend to each other."""
        batch, _, height, width = x.shape
        # Channels go last, which is the memory format, so that nothing is copied:
        # (batch, pixels, 3, heads, head_width) -> three of (batch, heads, pixels, head_width)
        qkv = self.input_to_qkv(x).permute(0, 2, 3, 1)
        q, k, v = qkv.reshape(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = attend(q, k, v).transpose(1, 2)
        return self.to_output(y.reshape(batch, height, width, -1).permute(0, 3, 1, 2))


def slow_in_half_precision(x: Tensor) -> bool:
    """Whether torch has slow kernels for norms and attention in this type on this device.

    On CPUs, fused attention in bf16 takes ten times as long backward as in fp32, and group norm four times
    (docs/log.md), so that a network gains by bf16 only if these two stay in fp32.
    """
    return x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)


def attend(q: Heads, k: Heads, v: Heads) -> Heads:
    """Scaled dot-product attention, in fp32 where half precision is slow.

    Args:
        q: queries (batch, heads, pixels, head_width).
        k: keys, of the same shape.
        v: values, of the same shape.

    Returns:
        weighted values (batch, heads, pixels, head_width), in the type of ``v``.
    """
    if not slow_in_half_precision(v):
        return F.scaled_dot_product_attention(q, k, v)
    with torch.autocast(v.device.type, enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(v.dtype)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu and He 2018), in forms that are fast where half precision is slow."""

    def forward(self, x: Features) -> Features:
        """Normalize features (batch, channels, height, width); the result has their type."""
        if not slow_in_half_precision(x):
            return super().forward(x)
        if self.num_groups > 1 or self.affine:
            return super().forward(x.float()).to(x.dtype)
        # With a single group it is layer norm, whose kernel for bf16 is fast.
        channels_last = x.permute(0, 2, 3, 1)
        normalized = F.layer_norm(channels_last, channels_last.shape[1:], eps=self.eps)
        return normalized.permute(0, 3, 1, 2)


def divide(channels: int, groups: int) -> int:
    """Check that channels can be normalized in groups of equal size.

    Args:
        channels: number of channels.
        groups: number of groups.

    Returns:
        ``groups``.

    Raises:
        ValueError: if ``groups`` does not divide ``channels``.
    """
    if channels % groups:
        raise ValueError(f"{channels} channels cannot be normalized in {groups} equal groups")
    return groups


def group_norm(groups: int, channels: int) -> nn.Module:
    """A group norm, or none.

    Args:
        groups: number of groups; 0 for no norm. A single group has no weights of its own: to scale and shift
            its result would take longer than the norm, and what follows it can do the same.
        channels: number of channels.

    Raises:
        ValueError: if ``groups`` does not divide ``channels``.
    """
    if groups == 0:
        return nn.Identity()
    return GroupNorm(divide(channels, groups), channels, affine=groups > 1)


def require_multiple(size: tuple[int, int], multiple: int, why: str) -> None:
    """Refuse an image size that the network's levels cannot halve evenly.

    Args:
        size: (height, width) of the images, in pixels.
        multiple: number that must divide both sides.
        why: reason, for the message.

    Raises:
        ValueError: if a side is no multiple of ``multiple``.
    """
    if any(side < multiple or side % multiple for side in size):
        raise ValueError(
            f"images of {size[0]}x{size[1]} do not fit this network: {why}, so both sides must be"
            f" multiples of {multiple}; resize or pad the images, or change the network"
        )
