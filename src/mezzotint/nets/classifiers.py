"""Two classifiers of small images, built differently on purpose: what is measured with one is checked
with the other. Both map images in [-1, 1] to (features, logits)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Features

Answer = tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]


def _conv_norm(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class Plain(nn.Module):
    """A plain stack: convolutions, batch norm, ReLU, max pooling; 128 features."""

    def __init__(self, channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv_norm(channels, 32, kernel=5, stride=2),
            _conv_norm(32, 48),
            nn.MaxPool2d(2),
            _conv_norm(48, 96),
            _conv_norm(96, 96),
            nn.MaxPool2d(2),
            _conv_norm(96, 128),
        )
        self.head = nn.Linear(128, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Answer:
        features = self.body(images).mean((2, 3))
        return features, self.head(F.dropout(features, 0.2, self.training))


class _Residual(nn.Module):
    """Group norm, SiLU, convolution, twice, around a residual."""

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
    """A residual network on folded pixels: group norm, SiLU, no pooling but the last; 96 features."""

    def __init__(self, channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, 40, 3, padding=1),
            _Residual(40),
            nn.Conv2d(40, 96, 2, stride=2),
            _Residual(96),
            nn.GroupNorm(8, 96),
            nn.SiLU(),
        )
        self.head = nn.Linear(96, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Answer:
        features = self.body(images).mean((2, 3))
        return features, self.head(F.dropout(features, 0.2, self.training))
