"""The networks: the original's numbers, the sizes they take, and what labels do."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mezzotint import build
from mezzotint.classic import GabiDiffUnet
from mezzotint.data import ImageSpec
from mezzotint.recipe.toml import to_dict
from mezzotint.registry import NETS, load

GOLDEN = [(2, 16, 1), (3, 24, 3), (4, 32, 1)]
CLASSES = 10
SMALL = {
    "lean": {"width": 8, "blocks": 1, "embedding": 16},
    "unet": {"width": 8, "depth": 2, "embedding": 16},
}


def golden_weights(net: nn.Module) -> dict[str, Tensor]:
    """Weights from a closed form, so that no file has to carry them."""
    weights = {}
    for i, (name, entry) in enumerate(net.state_dict().items()):
        w = torch.sin(0.7 * i + 0.013 * torch.arange(entry.numel(), dtype=torch.float64))
        if ".norm.weight" in name or ".group_norm.weight" in name:
            w = 1 + 0.2 * w
        elif name.endswith("bias"):
            w = 0.1 * w
        elif entry.ndim > 1:
            w = w / entry[0].numel() ** 0.5
        weights[name] = w.float().reshape(entry.shape)
    return weights


def small(name: str, size: tuple[int, int] = (8, 8), **changes: object) -> nn.Module:
    """A small network with weights far from any initialization that answers zero."""
    torch.manual_seed(0)
    section = to_dict(NETS[name]()) | {"channels": 1, "num_classes": CLASSES}
    del section["name"]
    net = load(NETS[name].network)(size=size, **(section | SMALL[name] | changes))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def unet(size: int, channels: int, depth: int) -> nn.Module:
    """The original's network, with the settings of its section."""
    spec = ImageSpec((size, size), channels, tuple("0123456789"))
    return build.make_network(NETS["unet"](depth=depth), spec)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


STEPS = torch.tensor([1.0, 500.0, 1000.0])


@pytest.mark.parametrize(("depth", "size", "channels"), GOLDEN)
def test_the_unet_has_the_originals_keys_in_the_originals_order(
    reference: Path, depth: int, size: int, channels: int
) -> None:
    expected = json.loads((reference / f"unet_depth{depth}_{channels}ch_keys.json").read_text())
    with torch.device("meta"):
        net = unet(size, channels, depth)
    own = [(name, list(entry.shape)) for name, entry in net.state_dict().items()]
    assert own == list(expected.items())


@pytest.mark.parametrize(("depth", "size", "channels"), GOLDEN)
def test_the_unet_gives_the_originals_outputs(
    reference: Path, depth: int, size: int, channels: int
) -> None:
    golden = load_file(reference / f"unet_depth{depth}_{size}px_{channels}ch.safetensors")
    net = unet(size, channels, depth).eval()
    net.load_state_dict(golden_weights(net))
    x, steps = golden["x"], golden["t"].float()
    with torch.no_grad():
        labelled, plain = net(x, steps, golden["labels"]), net(x, steps)
    for out, name in [(labelled, "out"), (plain, "out_without_labels")]:
        assert (out - golden[name]).abs().max() <= 1e-4 * golden[name].abs().max()
    # The tolerance must be able to tell the two apart.
    assert (labelled - plain).abs().max() > 1e-3 * golden["out"].abs().max()


def test_the_original_network_has_51067777_parameters() -> None:
    with torch.device("meta"):
        nets = [unet(32, 1, 4), GabiDiffUnet(in_channels=1, image_size=32)]
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [51_067_777] * 2


SIZES = [(1, 1), (7, 7), (27, 27), (28, 28), (29, 29), (31, 31), (32, 32), (33, 33), (28, 32)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("name", "options", "multiple"),
    [
        ("lean", {"patch": 1}, 2),
        ("lean", {}, 4),
        ("lean", {"patch": 4}, 8),
        ("unet", {}, 4),
        ("unet", {"depth": 4}, 16),
    ],
    ids=["lean-patch1", "lean-patch2", "lean-patch4", "unet-depth2", "unet-depth4"],
)
def test_a_size_works_unchanged_or_is_refused_naming_the_multiple(
    name: str, options: dict[str, int], multiple: int, size: tuple[int, int]
) -> None:
    height, width = size
    if height % multiple or width % multiple:
        with pytest.raises(ValueError, match=rf"{height}x{width}.*multiples of {multiple}\b"):
            small(name, size, **options)
    else:
        with torch.no_grad():
            out = small(name, size, **options)(noise(1, 1, height, width), torch.ones(1))
        assert out.shape == (1, 1, height, width)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_every_network_answers_in_the_shape_of_its_input_and_heeds_labels(
    name: str, channels: int
) -> None:
    net = small(name, (8, 12), channels=channels)
    x = noise(3, channels, 8, 12)
    plain = net(x, STEPS)
    assert plain.shape == x.shape
    assert plain.isfinite().all()

    threes, sevens = (net(x, STEPS, torch.full((3,), k)) for k in (3, 7))
    for one, other in [(threes, sevens), (threes, plain), (sevens, plain)]:
        assert ((one - other).flatten(1).abs().amax(1) > 1e-4).all()

    # The index after the last class is "no label", bit for bit, for all images or for one.
    assert torch.equal(net(x, STEPS, torch.full((3,), CLASSES)), plain)
    mixed = net(x, STEPS, torch.tensor([3, CLASSES, 3]))
    assert torch.equal(mixed[1], plain[1])
    assert torch.equal(mixed[::2], threes[::2])

    # Time matters too.
    assert not torch.allclose(net(x, STEPS.flip(0)), plain)


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_a_network_without_classes_has_no_label_weights_and_runs(name: str) -> None:
    net, labelled = small(name, num_classes=0), small(name)
    out = net(noise(3, 1, 8, 8), STEPS)
    assert out.shape == (3, 1, 8, 8)
    assert out.isfinite().all()
    extra = sum(p.numel() for p in labelled.parameters()) - sum(p.numel() for p in net.parameters())
    assert extra == CLASSES * 16  # one embedding per class, nothing else


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("width", [8, 24, 40])
def test_any_width_that_the_groups_divide_works(name: str, width: int) -> None:
    net = small(name, width=width)
    net(noise(2, 1, 8, 8), STEPS[:2], torch.tensor([0, CLASSES])).square().sum().backward()
    unused = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("width", [1, 12])
def test_a_width_that_the_groups_do_not_divide_is_refused_in_words(name: str, width: int) -> None:
    with pytest.raises(ValueError, match=rf"{width} channels .* 8 equal groups"):
        small(name, width=width, groups=8)
    assert small(name, width=width, groups=1)


@pytest.mark.parametrize("name", NETS)
def test_an_odd_embedding_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="even width, not 15"):
        small(name, embedding=15)


def test_heads_that_cannot_share_the_channels_are_named() -> None:
    with pytest.raises(ValueError, match=r"channels cannot be shared by 3 heads"):
        small("lean", heads=3)
