"""Networks of one's own in bf16: whatever computes in fp32 samples and trains, where bf16 is tried too."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.model import Model
from mezzotint.registry import PARAMETRIZATIONS, SCHEDULES
from mezzotint.training.trainer import Trainer
from mezzotint.utils import measured_precision, precision
from mezzotint.utils.cast_weights import with_weights_in
from mezzotint.utils.measured_precision import bf16_is_faster
from mezzotint.utils.precision import in_precision

CPU = torch.device("cpu")
BF16 = torch.bfloat16
DATA = tiny_data()
SIDE = DATA.spec.shape[1]


class Convolutions(nn.Module):
    """Two convolutions, told the time."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(1, 8, 3, padding=1)
        self.act: nn.Module = nn.SiLU()
        self.after = nn.Conv2d(8, 1, 3, padding=1)
        self.scale = 1.0

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        h = self.act(self.before(x) + steps[:, None, None, None] / 1000)
        output: Tensor = self.after(h)
        return self.scale * output


class TableOfTimes(Convolutions):
    """It has no entry for a time that its schedule does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(101, 1)

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        return super().forward(
            x + self.table(steps.round().long())[:, :, None, None], steps, labels
        )


class Locked(Convolutions):
    """It has a part that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Normalized(Convolutions):
    """In training, batch norm refuses a single value for each channel, and its averages move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(SIDE * SIDE)

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        return super().forward(self.norm(x.flatten(1)).view_as(x), steps, labels)


class Frozen(Convolutions):
    """A part that is not trained, of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.ones(1, dtype=torch.int8), requires_grad=False)


class PartInFull(Convolutions):
    """A part of it computes in fp32, whatever the rest does."""

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float(), steps, labels)


class ReadsWeights(Convolutions):
    """It computes with the weights of a layer itself."""

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            h = F.conv2d(x.float(), self.before.weight, padding=1)
        return super().forward(x, steps, labels) + h.mean(1, keepdim=True)


class Scattered(Convolutions):
    """It adds its results to fp32 numbers in place, which takes no others, so it does not compute in bf16."""

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        return torch.zeros_like(x).index_add(
            0, torch.arange(len(x)), super().forward(x, steps, labels)
        )


def parametrized() -> nn.Module:
    network = Convolutions()
    parametrizations.weight_norm(network.before)
    return network


def hooked() -> nn.Module:
    """Its weights are made before each evaluation, by a hook."""
    network = Convolutions()
    prune.l1_unstructured(network.before, "weight", 0.5)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": Convolutions,
    "a table of times": TableOfTimes,
    "a lock": Locked,
    "batch norm": Normalized,
    "frozen": Frozen,
    "a part in fp32": PartInFull,
    "reads weights": ReadsWeights,
    "parametrized": parametrized,
    "hooked": hooked,
}
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def denoiser_of(network: nn.Module) -> NetworkDenoiser:
    return NetworkDenoiser(network, SCHEDULES["cosine"](100), PARAMETRIZATIONS["v"])


def model_of(network: nn.Module) -> Model:
    recipe = tiny_recipe(
        diffusion={"schedule": "cosine", "timesteps": 100, "parametrization": "v"},
        sampling={"steps": 4, "grid": "trailing"},
    )
    return Model(recipe, DATA.spec, denoiser_of(network.eval()), CPU)


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(4, *DATA.spec.shape, generator=torch.Generator().manual_seed(0))
    return x, torch.full((4,), 50.0), torch.arange(4)


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A CPU that has bf16, which is taken wherever it computes."""
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "")
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: True)
    monkeypatch.setattr(measured_precision, "SECONDS", 0.01)
    monkeypatch.setattr(measured_precision, "LEAST_GAIN", {"train": 0.0, "sample": 0.0})


@EVERY_NETWORK
def test_converted_weights_give_what_autocast_gives(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    with torch.no_grad(), in_precision(CPU, BF16):
        expected = network(*inputs())
        made = with_weights_in(network, BF16)(*inputs())
    assert torch.equal(made, expected)
    with torch.no_grad():  # and without autocast, what fp32 gives
        assert torch.equal(with_weights_in(network, BF16)(*inputs()), network(*inputs()))
    assert all(p.dtype != BF16 for p in network.parameters())


@EVERY_NETWORK
@pytest.mark.usefixtures("with_bf16")
def test_every_network_samples_and_trains_where_bf16_is_tried(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    model = model_of(network)
    assert torch.equal(model.sample([0, 1]), model.sample([0, 1], precision="bf16"))
    assert "bf16 is " in capfd.readouterr().err
    network.train()
    settings = tiny_recipe(training={"steps": 2, "precision": "auto", "ema": 0}).training
    recipe = tiny_recipe()
    objective = build.make_objective(recipe.objective, DATA.spec)
    trainer = Trainer(denoiser_of(network), objective, DATA, settings)
    assert trainer.precision == BF16
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in network.parameters())
    assert trainer.step().finite


@pytest.mark.usefixtures("with_bf16")
@pytest.mark.parametrize("what", ["train", "sample"])
def test_a_network_that_does_not_compute_in_bf16_stays_in_fp32(
    what: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Scattered()
    with in_precision(CPU, BF16), pytest.raises(RuntimeError, match="BFloat16"):
        network(*inputs())
    for _ in range(2):  # it is not kept: the next time it may compute
        assert not bf16_is_faster(network, DATA.spec.shape, 10, what)
        message = capfd.readouterr().err
        assert "bf16 cannot be tried with this network" in message
        assert "BFloat16" in message
    monkeypatch.setattr(Scattered, "forward", Convolutions.forward)
    assert bf16_is_faster(network, DATA.spec.shape, 10, what)


@pytest.mark.usefixtures("with_bf16")
def test_a_network_whose_code_was_changed_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    code = "from torch import nn\nclass Net(nn.Conv2d):\n    def forward(self, x, steps, labels):\n"
    for k, line in enumerate(["return super().forward(x)", "return super().forward(2 * x)"]):
        file = tmp_path / f"mine{k}.py"  # Python would not read one file twice
        file.write_text(f"{code}        {line}\n")
        module = __import__(f"mine{k}")
        bf16_is_faster(module.Net(1, 1, 3, padding=1), DATA.spec.shape, 10, "sample")
        assert "measured once" in capfd.readouterr().err
    bf16_is_faster(module.Net(1, 1, 3, padding=1), DATA.spec.shape, 10, "sample")
    assert capfd.readouterr().err == ""


def replace_activation(network: Convolutions) -> None:
    network.act = nn.Tanh()


def set_attribute(network: Convolutions) -> None:
    network.scale = -2.0


def replace_layer(network: Convolutions) -> None:
    network.before = nn.Conv2d(1, 8, 5, padding=2)


def prune_layer(network: Convolutions) -> None:
    prune.l1_unstructured(network.before, "weight", 0.5)


def parametrize_layer(network: Convolutions) -> None:
    parametrizations.spectral_norm(network.before)


def change_weights(network: Convolutions) -> None:
    with torch.no_grad():
        network.before.weight.mul_(-1)


def replace_weights(network: Convolutions) -> None:
    network.before.weight = nn.Parameter(-network.before.weight.detach())


@pytest.mark.parametrize("of_type", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "change",
    [
        change_weights,
        replace_weights,
        replace_activation,
        set_attribute,
        replace_layer,
        prune_layer,
        parametrize_layer,
    ],
)
def test_a_network_that_was_changed_is_sampled_from_as_it_is(
    change: Callable[[nn.Module], None], of_type: str
) -> None:
    torch.manual_seed(0)
    network = Convolutions()
    untouched = copy.deepcopy(network)
    model, other = model_of(network), model_of(untouched)
    before = model.sample([0, 1, 2], precision=of_type)
    for changed in (network, untouched):
        torch.manual_seed(1)
        change(changed)
    after = model.sample([0, 1, 2], precision=of_type)
    assert not torch.equal(before, after)
    assert torch.equal(after, other.sample([0, 1, 2], precision=of_type))


@pytest.mark.parametrize("of_type", ["fp32", "bf16"])
def test_a_model_samples_inside_inference_mode_and_outside(of_type: str) -> None:
    model = model_of(Convolutions())
    with torch.inference_mode():
        inside = model.sample([0, 1], precision=of_type)
    assert torch.equal(model.sample([0, 1], precision=of_type), inside)


def test_shared_layers_stay_shared() -> None:
    layer = nn.Linear(4, 4)
    copied = with_weights_in(nn.Sequential(layer, nn.ReLU(), layer), BF16)
    assert copied[0] is copied[2]  # type: ignore[index]


def test_weights_without_a_shape_are_left_alone() -> None:
    network = nn.Sequential(nn.LazyConv2d(3, 3))
    assert with_weights_in(network, BF16) is network
    assert not bf16_is_faster(network, DATA.spec.shape, 10, "sample")
