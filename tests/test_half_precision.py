"""Half precision and steps that overflow, on every path that a GPU would take, and for every optimizer."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.registry import OPTIMIZERS
from mezzotint.runs.initial import InitialModel
from mezzotint.runs.train import make_trainer
from mezzotint.training.ema import Ema
from mezzotint.training.monitor import MAX_OVERFLOWS, Diverged
from mezzotint.training.muon import Muon
from mezzotint.training.trainer import Trainer
from mezzotint.utils.precision import Processor, pick_precision, processor

RATES = {"adam": 1e-3, "adamw": 1e-3, "muon": 0.02}


def trainer_of(optimizer: str, **training: Any) -> Trainer:
    settings = {"optimizer": optimizer, "learning_rate": RATES[optimizer], "ema": 0.9, **training}
    return make_trainer(tiny_recipe(training=settings), tiny_data())


def contents(trainer: Trainer) -> dict[str, Tensor]:
    """All that a step may change: weights, average, moments and counts."""
    state = trainer.state
    network = {f"network.{k}": v for k, v in state.network.state_dict().items()}
    average = {f"average.{k}": v for k, v in state.sampling_network.state_dict().items()}
    moments = {k: v for k, v in state.tensors().items() if not k.startswith(("scaler", "images"))}
    return {k: v.clone() for k, v in (network | average | moments).items()}


def overflow(trainer: Trainer) -> None:
    """Make the gradient of the next backward pass infinite."""
    parameter = next(trainer.state.network.parameters())
    handle = parameter.register_hook(lambda gradient: gradient * math.inf)
    original = trainer.step

    def once() -> Any:
        result = original()
        handle.remove()
        trainer.step = original  # type: ignore[method-assign]
        return result

    trainer.step = once  # type: ignore[method-assign]


@pytest.fixture(params=["host", "device"])
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a bad step is noticed: by the host, or, as on a GPU, on the device."""
    if request.param == "device":
        monkeypatch.setattr(Trainer, "deferred", property(lambda self: True))
    return str(request.param)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_overflows_changes_nothing_under_a_gradient_scaler(
    optimizer: str, guard: str
) -> None:
    trainer = trainer_of(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    trainer.state.scaler = scaler
    scaler.scale(torch.ones(1))  # makes its own tensors, which otherwise happens at the first loss
    for _ in range(2):
        trainer.step()
    before, scale = contents(trainer), scaler.get_scale()
    overflow(trainer)
    result = trainer.step()
    assert not result.gradient_norm.isfinite()
    after = contents(trainer)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert scaler.get_scale() == scale / 2
    trainer.step()
    assert all(value.isfinite().all() for value in contents(trainer).values())
    assert any(not torch.equal(v, before[k]) for k, v in contents(trainer).items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_so_does_one_without_a_scaler(optimizer: str, guard: str) -> None:
    trainer = trainer_of(optimizer)
    trainer.step()
    before = contents(trainer)
    overflow(trainer)
    trainer.step()
    for name, value in before.items():
        assert torch.equal(contents(trainer)[name], value), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_good_steps_give_the_same_bits_wherever_bad_ones_are_noticed(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = trainer_of(optimizer)
    for _ in range(4):
        host.step()
    monkeypatch.setattr(Trainer, "deferred", property(lambda self: True))
    device = trainer_of(optimizer)
    for _ in range(4):
        device.step()
    one, two = contents(host), contents(device)
    for name, value in one.items():
        if name.startswith("average."):  # lerp by a tensor and by a number round differently
            torch.testing.assert_close(two[name], value, rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(two[name], value), name


def test_the_host_reads_results_of_a_device_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To read one is to wait for the device: not at every step, and yet each is logged."""
    monkeypatch.setattr(Trainer, "deferred", property(lambda self: True))
    reads: list[int] = []
    read = "mezzotint.training.monitor.Monitor.read"
    from mezzotint.training.monitor import Monitor

    original: Callable[[Any], None] = Monitor.read

    def counted(self: Any) -> None:
        reads.append(len(self.pending))
        original(self)

    monkeypatch.setattr(read, counted)
    entries: list[dict[str, Any]] = []
    trainer = trainer_of("muon", steps=35, log_every=20)
    trainer.run(log=entries.append)
    assert reads == [10, 10, 10, 5]
    assert [entry["step"] for entry in entries] == [20, 35]
    assert all(math.isfinite(entry["loss"]) for entry in entries)


def test_ten_bad_steps_on_a_device_end_training_as_on_a_host(guard: str) -> None:
    from mezzotint.training.monitor import Diverged

    trainer = trainer_of("adam", steps=40)
    next(trainer.state.network.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(Diverged, match="10 steps in a row"):
        trainer.run()


@pytest.mark.parametrize("skip", [False, True])
def test_muons_update_on_a_device_is_the_one_on_the_host_or_none(skip: bool) -> None:
    def built() -> tuple[nn.Linear, Muon]:
        torch.manual_seed(0)
        layer = nn.Linear(6, 4, bias=False)
        group = {"params": [layer.weight], "use_muon": True, "weight_decay": 0.1}
        return layer, Muon([group], lr=0.02, fused=True)

    host_layer, host = built()
    device_layer, device = built()
    for step in range(3):
        bad = skip and step == 1
        gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
        host_layer.weight.grad = gradient.clone()
        device_layer.weight.grad = torch.full_like(gradient, math.inf) if bad else gradient.clone()
        if not bad:
            host.step()
        with torch.no_grad():
            device._step_matrices(device.param_groups[0], torch.tensor(float(bad)))
        assert torch.equal(host_layer.weight, device_layer.weight)


@pytest.mark.parametrize("skip", [0.0, 1.0])
def test_an_average_is_skipped_on_the_device(skip: float) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    ema = Ema(network, 0.9)
    before = ema.network.weight.clone()
    with torch.no_grad():
        network.weight.add_(1.0)
    ema.update(network, 5, torch.tensor(skip))
    expected = before if skip else torch.lerp(before, network.weight, 1 - 6 / 15)
    torch.testing.assert_close(ema.network.weight, expected)


def test_a_critics_gradient_that_is_not_finite_is_skipped_too(guard: str) -> None:
    recipe = tiny_recipe(
        objective={"name": "adversarial", "reference": "r", "critic": 8, "head_start": 0.0},
        training={"optimizer": "adam", "learning_rate": 1e-3},
        sampling={"sampler": "consistency"},
    )
    data = tiny_data()
    begun = InitialModel(Path("nowhere"), build.new_denoiser(recipe, data.spec))
    trainer = make_trainer(recipe, data, begun)
    trainer.step()
    critic = trainer.state.beside["critic"]
    handle = next(critic.parameters()).register_hook(lambda gradient: gradient * math.nan)
    before = contents(trainer)
    result = trainer.step()
    handle.remove()
    assert result.loss.isfinite()
    assert result.gradient_norm.isfinite()
    assert not result.beside_norm.isfinite()
    for name, value in before.items():
        assert torch.equal(contents(trainer)[name], value), name


@pytest.mark.parametrize(("hardware", "emulated"), [(False, True), (True, True), (False, False)])
def test_torch_is_asked_for_bf16_in_hardware(
    hardware: bool, emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default torch counts emulation: yes for T4 and V100."""

    def supported(including_emulation: bool = True) -> bool:
        return emulated if including_emulation else hardware

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    found = processor(torch.device("cuda"))
    assert found == Processor("cuda", "some GPU", bf16=hardware)
    picked = pick_precision("auto", found, lambda: False)
    assert picked == (torch.bfloat16 if hardware else torch.float32)


def test_overflows_without_end_stop_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient scaler halves its scale at each; a gradient that stays infinite is no matter of scale."""
    trainer = trainer_of("adamw", steps=200)
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    for parameter in trainer.state.network.parameters():
        parameter.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(Diverged):
        trainer.run()
    assert MAX_OVERFLOWS <= trainer.state.step < 200
