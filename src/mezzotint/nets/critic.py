"""A critic for adversarial training: how real does an image look, for its class?

It has no norms, like the discriminators of StyleGAN2 (Karras et al. 2020) and R3GAN (Huang et al. 2024):
a norm would make the scores of a batch depend on each other. The label enters by projection
(Miyato and Koyama 2018).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Features, Images
from .embeddings import OptionalLabels

SLOPE = 0.2


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


class Critic(nn.Module):
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
        self.gather = nn.Linear(2 * width * rows * columns, 2 * width)
        self.answer = nn.Linear(2 * width, 1)
        self.label = OptionalLabels(num_classes, 2 * width) if num_classes else None

    def forward(self, x: Images, labels: Tensor | None = None) -> Float[Tensor, " batch"]:
        """The score of each image.

        Args:
            x: images (batch, channels, height, width) in [-1, 1].
            labels: class of each image (batch,), ``num_classes`` for none; None if no image has one.

        Returns:
            scores (batch,), unbounded; higher is more real.
        """
        h = self.body(self.stem(self.fold(x))).flatten(1)
        h = F.leaky_relu(self.gather(F.leaky_relu(h, SLOPE)), SLOPE)
        score: Tensor = self.answer(h)[:, 0]
        if self.label is not None and labels is not None:
            score = score + (h * self.label(labels)).mean(1) * h.shape[1] ** 0.5
        return score
