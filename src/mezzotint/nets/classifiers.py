"""Two classifiers of small images, for evaluation.

Both map images in [-1, 1] to (features, logits). Their architectures differ on purpose: the second
checks what is measured with the first.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Features

Answer = tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]


def _conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Plain(nn.Module):
    """A plain stack of convolutions, batch norm, ReLU and max pooling; 128 features.

    Args:
        channels: channels of the images.
        num_classes: number of classes.
        width: how many times as many channels, and features.
    """

    def __init__(self, channels: int = 1, num_classes: int = 10, width: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv_norm(channels, 32 * width, kernel=5, stride=2),
            _conv_norm(32 * width, 48 * width),
            nn.MaxPool2d(2),
            _conv_norm(48 * width, 96 * width),
            _conv_norm(96 * width, 96 * width),
            nn.MaxPool2d(2),
            _conv_norm(96 * width, 128 * width),
        )
        self.head = nn.Linear(128 * width, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Answer:
        """The features and logits of images in [-1, 1]."""
        features = self.body(images).mean((2, 3))
        return features, self.head(F.dropout(features, 0.2, self.training))


class _Residual(nn.Module):
    """A residual block: group norm, SiLU and convolution, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, 3, padding=1)
            layers += [nn.GroupNorm(8, channels), nn.SiLU(), convolution]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Features) -> Features:
        return x + self.body(x)


class Residual(nn.Module):
    """A residual network on folded pixels, with group norm and SiLU; 96 features.

    Nothing is pooled before the mean over all pixels at the end.

    Args:
        channels: channels of the images.
        num_classes: number of classes.
        width: how many times as many channels, and features.
    """

    def __init__(self, channels: int = 1, num_classes: int = 10, width: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, 40 * width, 3, padding=1),
            _Residual(40 * width),
            nn.Conv2d(40 * width, 96 * width, 2, stride=2),
            _Residual(96 * width),
            nn.GroupNorm(8, 96 * width),
            nn.SiLU(),
        )
        self.head = nn.Linear(96 * width, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Answer:
        """The features and logits of images in [-1, 1]."""
        features = self.body(images).mean((2, 3))
        return features, self.head(F.dropout(features, 0.2, self.training))
