"""Critics for adversarial training: how real does an image look, for its class?

One learns from pixels. It has no norms, like the discriminators of StyleGAN2 (Karras et al. 2020) and R3GAN
(Huang et al. 2024): a norm would make the scores of a batch depend on each other. The other one judges by
the features of a trained denoiser, which stay as they are (Sauer et al. 2024), so that it knows from its
first steps what it looks at. In both, the label enters by projection (Miyato and Koyama 2018).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Features, Images
from .embeddings import OptionalLabels

FindFeatures = Callable[[Images, Tensor | None], Sequence[Features]]

SLOPE = 0.2

LARGEST = 8
"""Height and width of features, at most, that a score is made from place by place."""


class CriticBlock(nn.Module):
    """A residual block of two convolutions that halves height and width.

    The second convolution starts small, so that the skip path is most of the output at first.

    Args:
        before: channels of the input.
        after: channels of the output.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1, bias=False)
        nn.init.kaiming_uniform_(self.conv2.weight, a=5)

    def forward(self, x: Features) -> Features:
        """Map (batch, before, height, width) to (batch, after, height / 2, width / 2), rounded up."""
        h = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, SLOPE)), SLOPE))
        return F.avg_pool2d(self.skip(x) + h, 2, ceil_mode=True)


class Scorer(nn.Module):
    """The end of a critic: features to a score, for a class."""

    gather: nn.Linear
    answer: nn.Linear
    label: OptionalLabels | None

    def make_score(self, inputs: int, width: int, num_classes: int) -> None:
        """Add the layers, after those of the features.

        Args:
            inputs: features of an image.
            width: channels of the critic's first layer; the score is made from twice as many numbers.
            num_classes: number of classes; 0 for no labels.
        """
        self.gather = nn.Linear(inputs, 2 * width)
        self.answer = nn.Linear(2 * width, 1)
        self.label = OptionalLabels(num_classes, 2 * width) if num_classes else None

    def score(
        self, features: Float[Tensor, "batch features"], labels: Tensor | None
    ) -> Float[Tensor, " batch"]:
        """The score of each image.

        Args:
            features: of each image (batch, features), before their nonlinearity.
            labels: class of each image (batch,), ``num_classes`` for none; None if no image has one.

        Returns:
            scores (batch,), unbounded; higher is more real.
        """
        h = F.leaky_relu(self.gather(F.leaky_relu(features, SLOPE)), SLOPE)
        score: Tensor = self.answer(h)[:, 0]
        if self.label is not None and labels is not None:
            score = score + (h * self.label(labels)).mean(1) * h.shape[1] ** 0.5
        return score


class Critic(Scorer):
    """Maps images in [-1, 1] to one score each: higher is more real.

    Pixels are folded two by two into channels, then height and width are halved until they are at most 2.

    Args:
        size: (height, width) of the images, in pixels.
        channels: channels of the images.
        num_classes: number of classes; 0 for no labels.
        width: channels of the first layer; the others have twice as many.
    """

    def __init__(
        self, *, size: tuple[int, int], channels: int = 1, num_classes: int = 10, width: int = 48
    ) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
        rows = size[0] // 2
        columns = size[1] // 2
        blocks: list[CriticBlock] = []
        inputs = width
        while not blocks or max(rows, columns) > 2:
            blocks.append(CriticBlock(inputs, 2 * width))
            inputs = 2 * width
            rows = -(-rows // 2)
            columns = -(-columns // 2)
        self.body = nn.Sequential(*blocks)
        self.make_score(2 * width * rows * columns, width, num_classes)

    def forward(self, x: Images, labels: Tensor | None = None) -> Float[Tensor, " batch"]:
        """The score of each image.

        Args:
            x: images (batch, channels, height, width) in [-1, 1].
            labels: class of each image (batch,), ``num_classes`` for none; None if no image has one.

        Returns:
            scores (batch,), unbounded; higher is more real.
        """
        return self.score(self.body(self.stem(self.fold(x))).flatten(1), labels)


class FeatureCritic(Scorer):
    """Maps images to one score each, by features that a trained network finds in them.

    The features of each level are folded until all have the size of the coarsest, and mapped to ``width``
    channels; above 8x8, means are taken.

    Args:
        find: maps images (batch, channels, height, width) and labels (batch,) to the features of several
            levels. What it computes with is no part of the critic, and is not trained.
        shapes: (channels, height, width) of each level.
        num_classes: number of classes; 0 for no labels.
        width: channels that are made of each level.

    Raises:
        ValueError: if the coarsest height or width does not divide the others.
    """

    def __init__(
        self,
        find: FindFeatures,
        *,
        shapes: Sequence[tuple[int, int, int]],
        num_classes: int = 10,
        width: int = 48,
    ) -> None:
        super().__init__()
        self.find = find
        rows = min(height for _, height, _ in shapes)
        columns = min(breadth for _, _, breadth in shapes)
        levels: list[nn.Module] = []
        for channels, height, breadth in shapes:
            fold = height // rows
            if (fold * rows, fold * columns) != (height, breadth):
                raise ValueError(
                    f"features of {height}x{breadth} cannot be folded into squares to be {rows}x{columns}"
                )
            levels.append(
                nn.Sequential(nn.PixelUnshuffle(fold), nn.Conv2d(channels * fold**2, width, 1))
            )
        self.levels = nn.ModuleList(levels)
        self.pool = nn.AdaptiveAvgPool2d((min(rows, LARGEST), min(columns, LARGEST)))
        inputs = len(levels) * width * min(rows, LARGEST) * min(columns, LARGEST)
        self.make_score(inputs, width, num_classes)

    def forward(self, x: Images, labels: Tensor | None = None) -> Float[Tensor, " batch"]:
        """The score of each image.

        Args:
            x: images (batch, channels, height, width), as ``find`` takes them.
            labels: class of each image (batch,), ``num_classes`` for none; None if no image has one.

        Returns:
            scores (batch,), unbounded; higher is more real.
        """
        levels = zip(self.levels, self.find(x, labels), strict=True)
        parts = [level(features) for level, features in levels]
        return self.score(self.pool(torch.cat(parts, dim=1)).flatten(1), labels)
