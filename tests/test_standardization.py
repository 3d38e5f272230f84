"""Weight standardization: its formula, its gradient, that it follows the weights however they change, and
that it can be folded into plain convolutions for sampling."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from common import tiny_recipe
from mezzotint import load, weights
from mezzotint.build import trained_denoiser
from mezzotint.nets import UNet
from mezzotint.nets.blocks import StandardizedConv2d, fold_standardization
from models import random_model_file


def conv(
    seed: int = 0, memory_format: torch.memory_format = torch.contiguous_format
) -> StandardizedConv2d:
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


def optimized(**kind: bool) -> Callable[[StandardizedConv2d], None]:
    def change(layer: StandardizedConv2d) -> None:
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, **kind)
        layer(image()).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return change


def averaged(layer: StandardizedConv2d) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(layer.parameters()), list(conv(1).parameters()), 0.3)


def written_to_data(layer: StandardizedConv2d) -> None:
    layer.weight.data.mul_(torch.linspace(0.5, 2, 27).reshape(3, 3, 3))


def given_other_data(layer: StandardizedConv2d) -> None:
    layer.weight.data = conv(1).weight.data.clone(memory_format=torch.preserve_format)


def loaded(layer: StandardizedConv2d) -> None:
    layer.load_state_dict(conv(1).state_dict())


def assigned(layer: StandardizedConv2d) -> None:
    layer.load_state_dict(conv(1).state_dict(), assign=True)


def inferred(layer: StandardizedConv2d) -> None:
    with torch.inference_mode():
        layer.weight.add_(conv(1).weight)


CHANGES = {
    "fused": optimized(fused=True),
    "foreach": optimized(foreach=True),
    "plain": optimized(foreach=False, fused=False),
    "average": averaged,
    "data-in-place": written_to_data,
    "data": given_other_data,
    "load_state_dict": loaded,
    "assign": assigned,
    "inference_mode": inferred,
}


@FORMATS
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("change", CHANGES)
def test_the_layer_answers_by_the_weights_it_has_now(
    change: str, mode: type, layout: torch.memory_format
) -> None:
    layer = conv(memory_format=layout)
    with mode():
        first = layer(image())
        assert torch.equal(layer(image()), first)
    for _ in range(2):
        before = layer.weight.detach().clone()
        with mode():
            answer = layer(image())
        CHANGES[change](layer)
        fresh = StandardizedConv2d(3, 5, 3, padding=1)
        fresh.weight = nn.Parameter(layer.weight.detach().clone())
        fresh.bias = nn.Parameter(layer.bias.detach().clone())
        with mode():
            found = layer(image())
            assert torch.equal(found, fresh(image()))
            torch.testing.assert_close(found, plain(layer, image()))
        if not torch.equal(layer.weight, before):
            assert not torch.equal(found, answer)
    with torch.no_grad():
        assert not torch.equal(layer(image()), first)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_copy_and_its_original_go_their_own_ways(mode: type) -> None:
    layer = conv()
    with mode():
        first = layer(image())
    copied = copy.deepcopy(layer)
    copied.weight.data = torch.randn(5, 3, 3, 3)
    with mode():
        torch.testing.assert_close(copied(image()), plain(copied, image()))
        assert torch.equal(layer(image()), first)


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


# --- folded -------------------------------------------------------------------------------------


@FORMATS
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_layer_gives_the_same_bits(
    bias: bool, mode: type, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = StandardizedConv2d(4, 6, (3, 5), stride=2, padding=(1, 2), groups=2, bias=bias)
    layer = layer.to(memory_format=layout).eval()
    folded = layer.folded()
    assert type(folded) is nn.Conv2d
    assert not folded.weight.requires_grad
    assert not folded.training
    x = torch.randn(3, 4, 12, 9, generator=torch.Generator().manual_seed(1))
    for images in (x, x.to(memory_format=torch.channels_last)):
        with mode():
            assert torch.equal(folded(images), layer(images))
    # Another one, as far as its kernels go.
    kernels = folded.weight.clone()
    with torch.no_grad():
        layer.weight.mul_(torch.randn_like(layer.weight))
        assert not torch.equal(layer(x), folded(x))
    assert torch.equal(folded.weight, kernels)
    torch.testing.assert_close(kernels.mean((1, 2, 3)), torch.zeros(6), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        kernels.var((1, 2, 3), unbiased=False), torch.ones(6), rtol=0, atol=1e-2
    )


def standardized(network: nn.Module) -> list[str]:
    return [name for name, m in network.named_modules() if isinstance(m, StandardizedConv2d)]


@FORMATS
def test_a_folded_network_has_no_standardized_layer_left_and_gives_the_same_bits(
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    network = UNet(
        size=(8, 12), channels=3, num_classes=10, width=8, depth=2, embedding=16, groups=8
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network = network.to(memory_format=layout).eval()
    kept = copy.deepcopy(network)
    folded = fold_standardization(network)
    assert folded is network
    assert len(standardized(kept)) == 24  # twelve ResNet blocks, two each
    assert standardized(folded) == []
    for name in standardized(kept):
        assert type(folded.get_submodule(name)) is nn.Conv2d, name
    x, steps = torch.randn(3, 3, 8, 12), torch.tensor([1.0, 500.0, 1000.0])
    with torch.no_grad():
        for labels in (None, torch.tensor([3, 10, 7])):
            assert torch.equal(folded(x, steps, labels), kept(x, steps, labels))


def test_a_loaded_model_is_folded_and_answers_as_the_network_that_was_trained(
    tmp_path: Path,
) -> None:
    net = {"name": "unet", "width": 8, "depth": 2, "embedding": 16}
    path = random_model_file(tmp_path / "unet.safetensors", tiny_recipe(net=net))
    model = load(path, "cpu")
    trained = trained_denoiser(model.recipe, model.spec, weights.read(path)[0], model.device)
    assert standardized(model.denoiser.network) == []
    assert len(standardized(trained.network)) == 24
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.2, 0.9], dtype=torch.float64)
    with torch.inference_mode():
        own, expected = (d(x, t, torch.tensor([3, 7])) for d in (model.denoiser, trained))
    assert torch.equal(own.x0, expected.x0)
    assert torch.equal(own.eps, expected.eps)
