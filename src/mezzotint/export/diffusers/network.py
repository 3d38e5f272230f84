"""The networks of Mezzotint as a model of diffusers.

The U-Net of the original system and the lean one. ``MezzotintNetwork`` makes the one that its config names,
and holds its weights as they were trained.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ...nets.blocks import fold_standardization
from ...nets.lean import Lean
from ...nets.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {"lean": Lean, "unet": UNet}


def _make(
    kind: str, size: list[int], channels: int, num_classes: int, options: dict[str, int]
) -> nn.Module:
    """A network with random weights; see :class:`MezzotintNetwork`."""
    if kind not in NETWORKS:
        raise ValueError(f"kind = {kind!r}: it is one of {', '.join(NETWORKS)}")
    height, width = size
    return NETWORKS[kind](
        size=(height, width), channels=channels, num_classes=num_classes, **options
    )


class MezzotintNetwork(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A network of Mezzotint.

    Args:
        kind: "lean" or "unet".
        size: height and width of the images, in pixels.
        channels: channels of the images.
        num_classes: number of classes; 0 for no labels.
        options: further arguments of the network, such as its width.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, kind: str, size: list[int], channels: int, num_classes: int, options: dict[str, int]
    ) -> None:
        super().__init__()
        self.network = _make(kind, size, channels, num_classes, options)

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's output for noisy images.

        Args:
            x: noisy images (batch, channels, height, width).
            steps: time of each image (batch,), from 0 to the number of time steps.
            labels: class of each image (batch,), ``num_classes`` for none; None if no image has one.

        Returns:
            the output, in the shape of ``x``.
        """
        output: Tensor = self.network(x, steps, labels)
        return output

    def for_sampling(self) -> nn.Module:
        """A copy of the network that samples fast, and with the same bits as in Mezzotint.

        It computes in float32, whatever the weights are stored in; kernels are standardized once, and lie in
        memory with their channels together.
        """
        config = self.config
        with torch.random.fork_rng(devices=[]):  # random initial weights, which are overwritten
            network = _make(
                config.kind, config.size, config.channels, config.num_classes, config.options
            )
        network.load_state_dict(self.network.state_dict())
        network.eval().requires_grad_(False).to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return fold_standardization(network)
