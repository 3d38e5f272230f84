"""Weight standardization: its formula, its gradient, and that kernels kept for sampling never go stale."""

import copy

import pytest
import torch
from torch import Tensor

from mezzotint.nets.blocks import StandardizedConv2d


def conv(seed: int = 0, memory_format: torch.memory_format = torch.contiguous_format):
    torch.manual_seed(seed)
    return StandardizedConv2d(3, 5, 3, padding=1).to(memory_format=memory_format)


def image() -> Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def plain(layer: StandardizedConv2d, x: Tensor) -> Tensor:
    """The formula as the paper writes it."""
    w = layer.weight
    mean = w.mean((1, 2, 3), keepdim=True)
    variance = w.var((1, 2, 3), unbiased=False, keepdim=True)
    return torch.nn.functional.conv2d(
        x, (w - mean) / (variance + 1e-5).sqrt(), layer.bias, padding=1
    )


FORMATS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)


@FORMATS
def test_kernels_and_their_gradients_are_the_formulas(layout: torch.memory_format) -> None:
    layer = conv(memory_format=layout)
    twin = copy.deepcopy(layer)
    layer(image()).square().sum().backward()
    expected = plain(twin, image())
    expected.square().sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(layer(image()), expected)
    torch.testing.assert_close(layer.weight.grad, twin.weight.grad, rtol=1e-4, atol=1e-4)


@FORMATS
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_kept_kernels_follow_the_weights(layout: torch.memory_format, mode: type) -> None:
    layer = conv(memory_format=layout).requires_grad_(False)
    other = conv(seed=1)
    with mode():
        first = layer(image())
        assert torch.equal(layer(image()), first)
    layer.weight.mul_(torch.randn_like(layer.weight))  # an optimizer's or an average's update
    with mode():
        torch.testing.assert_close(layer(image()), plain(layer, image()))
    layer.load_state_dict(other.state_dict())
    with mode():
        torch.testing.assert_close(layer(image()), plain(other, image()))
    copied = copy.deepcopy(layer)
    copied.weight.data = torch.randn(5, 3, 3, 3)
    with mode():
        torch.testing.assert_close(copied(image()), plain(copied, image()))
        torch.testing.assert_close(layer(image()), plain(other, image()))


def test_after_sampling_gradients_still_flow_to_images_and_weights() -> None:
    layer = conv().requires_grad_(False)
    with torch.inference_mode():
        layer(image())
    x = image().requires_grad_()
    layer(x).sum().backward()  # through frozen weights
    assert x.grad is not None
    layer.requires_grad_(True)
    layer(image()).sum().backward()
    assert layer.weight.grad is not None
