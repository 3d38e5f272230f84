"""A critic: how real does an image look, for one of its class? For refining few-step models.

No norms, as in the discriminators of StyleGAN2 (Karras et al. 2020) and R3GAN (Huang et al. 2024): a norm
would tie the images of a batch together. The label speaks by projection (Miyato and Koyama 2018).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Features, Images
from .embeddings import OptionalLabels

SLOPE = 0.2


class CriticBlock(nn.Module):
    """Two convolutions around a residual, which is most of the answer at first; then half the side."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1, bias=False)
        nn.init.kaiming_uniform_(self.conv2.weight, a=5)

    def forward(self, x: Features) -> Features:
        h = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, SLOPE)), SLOPE))
        return F.avg_pool2d(self.skip(x) + h, 2, ceil_mode=True)


class Critic(nn.Module):
    """Maps images in [-1, 1] to one number each: higher is more real.

    ``size``, ``channels`` and ``num_classes`` (0: no labels) of the data; ``width`` channels in the first
    layer, twice that in the others. Pixels are folded two by two, and sides halved until they are 2.
    """

    def __init__(
        self, *, size: tuple[int, int], channels: int = 1, num_classes: int = 10, width: int = 48
    ) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
        height, breadth = size[0] // 2, size[1] // 2
        blocks: list[CriticBlock] = []
        before = width
        while not blocks or max(height, breadth) > 2:
            blocks.append(CriticBlock(before, 2 * width))
            before, height, breadth = 2 * width, -(-height // 2), -(-breadth // 2)
        self.body = nn.Sequential(*blocks)
        self.gather = nn.Linear(2 * width * height * breadth, 2 * width)
        self.answer = nn.Linear(2 * width, 1)
        self.label = OptionalLabels(num_classes, 2 * width) if num_classes else None

    def forward(self, x: Images, labels: Tensor | None = None) -> Float[Tensor, " batch"]:
        """``labels`` (batch,): the class each image is to be of; ``num_classes`` for none."""
        h = self.body(self.stem(self.fold(x))).flatten(1)
        h = F.leaky_relu(self.gather(F.leaky_relu(h, SLOPE)), SLOPE)
        score: Tensor = self.answer(h)[:, 0]
        if self.label is not None and labels is not None:
            score = score + (h * self.label(labels)).mean(1) * h.shape[1] ** 0.5
        return score
