"""The original system's U-Net (after Ronneberger et al. 2015 and Ho et al. 2020, appendix B).

It has ``depth`` levels of widths w, 2w, 4w, ... Each level goes down by space-to-depth and a 1x1
convolution, and up by a transposed convolution; attention is on the even levels and in the middle.
Module names are the original's, so its weights load unchanged. For 32 px, one channel and four levels
of widths 64 to 512 it has 51,067,777 parameters.
"""

import torch
from jaxtyping import Real
from torch import Tensor, nn

from .blocks import (
    Attention,
    Embedding,
    Features,
    GroupNorm,
    Images,
    StandardizedConv2d,
    divide,
    require_multiple,
)
from .embeddings import Labels, OptionalLabels, Sinusoids


class Block(nn.Module):
    """Convolution, group norm, optional scale and shift, SiLU.

    Args:
        before: channels of the input.
        after: channels of the output.
        groups: groups of the group norm.
    """

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.proj = StandardizedConv2d(before, after, 3, padding=1)
        self.norm = GroupNorm(divide(after, groups), after)
        self.act = nn.SiLU()

    def forward(self, x: Features, modulation: tuple[Features, Features] | None = None) -> Features:
        """Apply the block.

        Args:
            x: features (batch, before, height, width).
            modulation: (scale, shift), each (batch, after, 1, 1), or None.

        Returns:
            features (batch, after, height, width).
        """
        x = self.norm(self.proj(x))
        if modulation is not None:
            scale, shift = modulation
            x = torch.addcmul(shift, x, scale + 1)
        return self.act(x)


class ResnetBlock(nn.Module):
    """Two blocks and a residual; the embedding scales and shifts the features of the first.

    Args:
        before: channels of the input.
        after: channels of the output.
        embedding: width of the time and label embedding.
        groups: groups of each group norm.
    """

    def __init__(self, before: int, after: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * after))
        self.block1 = Block(before, after, groups)
        self.block2 = Block(after, after, groups)
        self.res_conv = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Features, embedding: Embedding) -> Features:
        """Apply the block.

        Args:
            x: features (batch, before, height, width).
            embedding: of time and label, (batch, embedding).

        Returns:
            features (batch, after, height, width).
        """
        scale, shift = self.mlp(embedding)[:, :, None, None].chunk(2, dim=1)
        return self.block2(self.block1(x, (scale, shift))) + self.res_conv(x)


class DownBlock(nn.Module):
    """Two ResNet blocks, attention on even levels, then half the height and width.

    Args:
        before: channels of the input.
        after: channels of the output.
        embedding: width of the time and label embedding.
        groups: groups of each group norm.
        attend: whether there is attention.
    """

    def __init__(self, before: int, after: int, embedding: int, groups: int, attend: bool) -> None:
        super().__init__()
        self.block1 = ResnetBlock(before, after, embedding, groups)
        self.block2 = ResnetBlock(after, after, embedding, groups)
        self.attn = Attention(after) if attend else nn.Identity()
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * after, after, 1))

    def forward(self, x: Features, embedding: Embedding) -> tuple[Features, Features]:
        """Apply the block.

        Args:
            x: features (batch, before, height, width).
            embedding: of time and label, (batch, embedding).

        Returns:
            features (batch, after, height / 2, width / 2), and the skip (batch, after, height, width).
        """
        x = self.attn(self.block2(self.block1(x, embedding), embedding))
        return self.down(x), x


class UpBlock(nn.Module):
    """Twice the height and width, the skip, two ResNet blocks, attention on even levels.

    Args:
        before: channels of the input.
        after: channels of the skip and of the output.
        embedding: width of the time and label embedding.
        groups: groups of each group norm.
        attend: whether there is attention.
    """

    def __init__(self, before: int, after: int, embedding: int, groups: int, attend: bool) -> None:
        super().__init__()
        self.upconv = nn.ConvTranspose2d(before, before, 4, stride=2, padding=1)
        self.block1 = ResnetBlock(before + after, after, embedding, groups)
        self.block2 = ResnetBlock(after, after, embedding, groups)
        self.attn = Attention(after) if attend else nn.Identity()

    def forward(self, x: Features, skip: Features, embedding: Embedding) -> Features:
        """Apply the block.

        Args:
            x: features (batch, before, height / 2, width / 2).
            skip: features of the level on the way down, (batch, after, height, width).
            embedding: of time and label, (batch, embedding).

        Returns:
            features (batch, after, height, width).
        """
        x = torch.cat([self.upconv(x), skip], dim=1)
        return self.attn(self.block2(self.block1(x, embedding), embedding))


class UNet(nn.Module):
    """The original network.

    Args:
        size: (height, width) of the images, in pixels.
        channels: channels of the images.
        num_classes: number of classes; 0 for no labels.
        width: channels of the first level, doubled at each further one.
        depth: number of levels.
        embedding: width of the time and label embedding.
        groups: groups of each group norm.

    Raises:
        ValueError: if ``2**depth`` does not divide the size, or ``groups`` the widths.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        num_classes: int,
        width: int,
        depth: int,
        embedding: int,
        groups: int,
    ) -> None:
        super().__init__()
        require_multiple(size, 2**depth, f"its {depth} levels each halve them")
        self.num_classes = num_classes
        self.time_mlp = nn.Sequential(
            Sinusoids(embedding),
            nn.Linear(embedding, 4 * embedding),
            nn.GELU(),
            nn.Linear(4 * embedding, embedding),
        )
        if num_classes:
            self.label_emb = OptionalLabels(num_classes, embedding)
        widths = [width * 2**level for level in range(depth)]
        self.downsample = nn.ModuleList(
            DownBlock(inputs, outputs, embedding, groups, attend=level % 2 == 0)
            for level, (inputs, outputs) in enumerate(
                zip([channels, *widths], widths, strict=False)
            )
        )
        self.bottleneck = nn.ModuleList(
            [
                ResnetBlock(widths[-1], widths[-1], embedding, groups),
                ResnetBlock(widths[-1], widths[-1], embedding, groups),
                Attention(widths[-1]),
            ]
        )
        self.upsample = nn.ModuleList(
            UpBlock(inputs, widths[level], embedding, groups, attend=level % 2 == 0)
            for level, inputs in zip(
                reversed(range(depth)), [widths[-1], *reversed(widths)], strict=False
            )
        )
        self.final_block = nn.ModuleList(
            [
                ResnetBlock(width, width, embedding, groups),
                ResnetBlock(width, width, embedding, groups),
                nn.Conv2d(width, channels, 1),
            ]
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
            steps: time of each image (batch,), in 1..T.
            labels: class of each image (batch,), ``num_classes`` for none; or weights of the classes
                (batch, num_classes); None if no image has a label.

        Returns:
            features of the lowest level, (batch, 2**(depth - 1) * width, height / 2**depth,
            width / 2**depth), and those that the output is made from, of ``width`` channels.
        """
        embedding = self.time_mlp(steps)
        if labels is not None and self.num_classes:
            embedding = embedding + self.label_emb(labels)
        skips = []
        for down in self.downsample:
            x, skip = down(x, embedding)
            skips.append(skip)
        first, second, attention = self.bottleneck
        lowest = attention(second(first(x, embedding), embedding))
        x = lowest
        for up in self.upsample:
            x = up(x, skips.pop(), embedding)
        first, second, _ = self.final_block
        return lowest, second(first(x, embedding), embedding)

    def forward(
        self,
        x: Images,
        steps: Real[Tensor, " batch"],
        labels: Labels | None = None,
    ) -> Images:
        """The network's output for noisy images.

        Args:
            x: noisy images (batch, channels, height, width).
            steps: time of each image (batch,), in 1..T.
            labels: class of each image, as for :meth:`features`.

        Returns:
            the output, in the shape of ``x``.
        """
        _, features = self.features(x, steps, labels)
        return self.final_block[2](features)
