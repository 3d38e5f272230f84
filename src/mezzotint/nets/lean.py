"""A lean U-Net for CPUs: most of the quality at a hundredth of the arithmetic.

Pixels are first folded into channels (28x28x1 becomes 14x14x4, Shi et al. 2016), so that no
convolution runs at full resolution. Two levels follow, of widths w and 2w. Attention is only on the
lower one (7x7 for a digit), where it is nearly free. Blocks are pre-activated and start as the
identity (He et al. 2016; Goyal et al. 2017); time and label scale and shift their features
(Perez et al. 2018; Dhariwal and Nichol 2021, section 3).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Real
from torch import Tensor, nn

from .blocks import Attention, Embedding, Features, Images, group_norm, require_multiple
from .embeddings import Labels, OptionalLabels, Sinusoids


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights of 0, so that the residual block around it starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class LeanBlock(nn.Module):
    """A residual block: norm, SiLU and convolution, twice; the embedding modulates the second norm.

    Args:
        before: channels of the input.
        after: channels of the output.
        embedding: width of the time and label embedding.
        groups: groups of each group norm; 0 for no norms.
    """

    def __init__(self, before: int, after: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(groups, before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.modulation = nn.Linear(embedding, 2 * after)
        self.norm2 = group_norm(groups, after)
        self.conv2 = _zero(nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Features, embedding: Embedding) -> Features:
        """Apply the block.

        Args:
            x: features (batch, before, height, width).
            embedding: of time and label, (batch, embedding).

        Returns:
            features (batch, after, height, width).
        """
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = F.silu(torch.addcmul(shift, self.norm2(h), scale + 1))
        return self.skip(x) + self.conv2(h)


class AttentionBlock(nn.Module):
    """Self-attention after a norm, with a residual.

    Args:
        channels: channels of the input and of the output.
        heads: number of heads.
        groups: groups of the group norm; 0 for none.
    """

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(
                f"{channels} channels cannot be shared by {heads} heads of equal width"
            )
        self.norm = group_norm(groups, channels)
        self.attention = Attention(channels, heads, channels // heads)
        _zero(self.attention.to_output)

    def forward(self, x: Features) -> Features:
        """Apply the block to features (batch, channels, height, width)."""
        return x + self.attention(self.norm(x))


class Lean(nn.Module):
    """The lean U-Net.

    Args:
        size: (height, width) of the images, in pixels.
        channels: channels of the images.
        num_classes: number of classes; 0 for no labels.
        width: channels of the upper level; the lower one has twice as many.
        blocks: blocks of each level on the way down, and as many on the way up.
        patch: side of the square of pixels that is folded into channels.
        embedding: width of the time and label embedding.
        heads: heads of each attention.
        groups: groups of each group norm; 0 for no norms.

    Raises:
        ValueError: if ``2 * patch`` does not divide the size, or ``groups`` or ``heads`` the widths.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        num_classes: int,
        width: int,
        blocks: int,
        patch: int,
        embedding: int,
        heads: int,
        groups: int,
    ) -> None:
        super().__init__()
        require_multiple(size, 2 * patch, f"patches of {patch} are folded and halved once")
        self.num_classes = num_classes
        self.time = nn.Sequential(
            Sinusoids(embedding),
            nn.Linear(embedding, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
        )
        if num_classes:
            self.label = OptionalLabels(num_classes, embedding)
        lower_width = 2 * width
        self.fold = nn.PixelUnshuffle(patch)
        self.stem = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.down = nn.ModuleList(LeanBlock(width, width, embedding, groups) for _ in range(blocks))
        self.shrink = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * width, lower_width, 1))
        self.middle = nn.ModuleList(
            layer
            for _ in range(blocks)
            for layer in (
                LeanBlock(lower_width, lower_width, embedding, groups),
                AttentionBlock(lower_width, heads, groups),
            )
        )
        self.grow = nn.Sequential(nn.Conv2d(lower_width, 4 * width, 1), nn.PixelShuffle(2))
        self.up = nn.ModuleList(
            LeanBlock(2 * width, width, embedding, groups) for _ in range(blocks)
        )
        self.head = nn.Sequential(
            group_norm(groups, width),
            nn.SiLU(),
            _zero(nn.Conv2d(width, channels * patch**2, 3, padding=1)),
            nn.PixelShuffle(patch),
        )

    def features(
        self,
        x: Images,
        steps: Real[Tensor, " batch"],
        labels: Labels | None = None,
    ) -> tuple[Features, Features]:
        """What the network finds in noisy images.

        Args:
            x: noisy images (batch, channels, height, width).
            steps: time of each image (batch,), in 0..1000.
            labels: class of each image (batch,), ``num_classes`` for none; or weights of the classes
                (batch, num_classes); None if no image has a label.

        Returns:
            features of the lower level, (batch, 2 * width, height / 2 / patch, width / 2 / patch), and those
            that the output is made from, (batch, width, height / patch, width / patch).
        """
        embedding = self.time(steps)
        if labels is not None and self.num_classes:
            embedding = embedding + self.label(labels)
        embedding = F.silu(embedding)
        x = self.stem(self.fold(x))
        skips = []
        for block in self.down:
            x = block(x, embedding)
            skips.append(x)
        x = self.shrink(x)
        for layer in self.middle:
            x = layer(x) if isinstance(layer, AttentionBlock) else layer(x, embedding)
        lower = x
        x = self.grow(x)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        return lower, x

    def forward(
        self,
        x: Images,
        steps: Real[Tensor, " batch"],
        labels: Labels | None = None,
    ) -> Images:
        """The network's output for noisy images.

        Args:
            x: noisy images (batch, channels, height, width).
            steps: time of each image (batch,), in 0..1000.
            labels: class of each image, as for :meth:`features`.

        Returns:
            the output, in the shape of ``x``.
        """
        _, features = self.features(x, steps, labels)
        return self.head(features)
