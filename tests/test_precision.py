"""bf16 on CPUs: networks compute nearly the same, and what is faster is measured once and then kept."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.loading import load
from mezzotint.nets.blocks import GroupNorm, attend, group_norm
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.toml import from_toml, override, to_toml
from mezzotint.registry import OPTIMIZERS
from mezzotint.runs.train import make_trainer, train
from mezzotint.utils import measured_precision, precision
from mezzotint.utils.cast_weights import with_weights_in
from mezzotint.utils.measured_precision import bf16_is_faster
from mezzotint.utils.precision import Processor, in_precision, pick_precision

CPU = torch.device("cpu")
BF16 = torch.bfloat16
DATA = tiny_data()
SMALL = {"width": 8, "embedding": 16, "groups": 4}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network_of(name: str, **options: Any) -> nn.Module:
    """A tiny network whose output is not zero."""
    depth = {"depth": 2} if name == "unet" else {}
    recipe = as_recipe("digits", {"net": {"name": name, **SMALL, **depth, **options}})
    network = build.new_denoiser(recipe, DATA.spec).network
    for k, parameter in enumerate(network.parameters()):
        parameter.data += 0.1 * normal(*parameter.shape, seed=k)
    return network


def inputs(count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    return normal(count, *DATA.spec.shape), torch.full((count,), 300.0), torch.arange(count)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """A CPU that has bf16, and the gains that are measured, the last one first."""
    gains = [2.0]
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "")
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: True)
    monkeypatch.setattr(measured_precision, "_measured_gain", lambda *_: gains.pop())
    return gains


# The forms of norm and attention.


def test_a_group_norm_in_bf16_is_that_in_fp32_rounded() -> None:
    norm = GroupNorm(2, 8)
    plain = nn.GroupNorm(2, 8)
    for k, (own, other) in enumerate(zip(norm.parameters(), plain.parameters(), strict=True)):
        own.data = normal(8, seed=k)
        other.data = own.data.clone()
    x = normal(3, 8, 5, 5)
    assert torch.equal(norm(x), plain(x))
    halved = norm(x.to(BF16))
    assert halved.dtype == BF16
    assert torch.equal(halved, plain(x.to(BF16).float()).to(BF16))


def test_a_norm_with_one_group_in_bf16_is_that_in_fp32_rounded() -> None:
    norm = group_norm(1, 8)
    assert list(norm.parameters()) == []
    x = normal(3, 8, 5, 5).to(memory_format=torch.channels_last)
    assert torch.equal(norm(x), torch.nn.functional.group_norm(x, 1))
    halved = norm(x.to(BF16))
    expected = torch.nn.functional.group_norm(x.to(BF16).float(), 1)
    torch.testing.assert_close(halved.float(), expected, rtol=2**-8, atol=1e-6)


def test_attention_in_bf16_is_that_in_fp32_rounded() -> None:
    q, k, v = (normal(2, 4, 9, 8, seed=s) for s in range(3))
    full = torch.softmax(q @ k.mT / 8**0.5, dim=-1) @ v
    torch.testing.assert_close(attend(q, k, v), full, rtol=1e-5, atol=1e-6)
    halved = [x.to(BF16) for x in (q, k, v)]
    rounded = attend(*(x.float() for x in halved)).to(BF16)
    with torch.autocast("cpu", BF16):
        made = attend(*halved)
    assert made.dtype == BF16
    assert torch.equal(made, rounded)


@pytest.mark.parametrize(
    ("name", "options"),
    [("unet", {}), ("lean", {"heads": 4}), ("lean", {"groups": 1}), ("lean", {"groups": 0})],
)
def test_networks_in_bf16_are_near_those_in_fp32(name: str, options: dict[str, int]) -> None:
    network = network_of(name, **options)
    network.requires_grad_(False)
    x, steps, labels = inputs()
    full = network(x, steps, labels)
    with in_precision(CPU, BF16):
        half = network(x, steps, labels).float()
    with in_precision(CPU, BF16):
        converted = with_weights_in(network, BF16)(x, steps, labels).float()
    difference = ((half - full).norm() / full.norm()).item()
    assert 0 < difference < 0.03
    torch.testing.assert_close(converted, half, rtol=0, atol=0.02 * float(full.std()))
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_no_norms_means_none() -> None:
    network = network_of("lean", groups=0)
    assert not any(isinstance(module, nn.GroupNorm) for module in network.modules())
    assert any(isinstance(m, nn.GroupNorm) for m in network_of("lean", groups=2).modules())


# Training and sampling.


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_in_bf16_keeps_its_state_in_fp32(optimizer: str) -> None:
    recipe = tiny_recipe(training={"optimizer": optimizer, "precision": "bf16"})
    trainer = make_trainer(recipe, DATA)
    trainer.step()
    state = trainer.state
    tensors = [*state.network.state_dict().values(), *state.tensors().values()]
    tensors += state.sampling_network.state_dict().values()
    assert {t.dtype for t in tensors if t.is_floating_point()} <= {torch.float32, torch.float64}


def test_a_run_in_bf16_resumes_to_the_same_bits(tmp_path: Path) -> None:
    run = train(tiny_recipe(training={"steps": 6, "precision": "bf16", "save_every": 3}), tmp_path)
    whole = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    train(resume=run)
    assert (run / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("hardware", [True, False])
def test_a_training_in_bf16_that_is_emulated_says_so(
    hardware: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: hardware)
    said: list[str] = []
    recipe = tiny_recipe(training={"steps": 1, "precision": "bf16"})
    train(recipe, tmp_path / "run", log=said.append)
    assert any("bf16 is emulated here" in line for line in said) == (not hardware)


def test_images_in_bf16_are_near_those_in_fp32_and_leave_the_model_alone(tmp_path: Path) -> None:
    model = load(train(tiny_recipe(training={"steps": 8}), tmp_path / "run"))
    before = {k: v.clone() for k, v in model.denoiser.network.state_dict().items()}
    full = model.sample([0, 1, 2], precision="fp32")
    half = model.sample([0, 1, 2], precision="bf16")
    assert not torch.equal(full, half)
    assert (full.int() - half.int()).abs().float().mean() < 4
    assert torch.equal(model.sample([0, 1, 2], precision="fp32"), full)
    assert torch.equal(model.sample([0, 1, 2]), full)  # tests say MEZZOTINT_WITHOUT=bf16
    for name, value in model.denoiser.network.state_dict().items():
        assert torch.equal(value, before[name])


# What "auto" means.

PROCESSORS = {
    # name: (what is known of it, what auto takes where bf16 is faster, and where it is not)
    "Tesla T4": (Processor("cuda", "Tesla T4", bf16=False), "fp32", "fp32"),
    "A100": (Processor("cuda", "NVIDIA A100-SXM4-40GB", bf16=True), "bf16", "bf16"),
    "MPS": (Processor("mps", "Apple GPU", bf16=False), "fp32", "fp32"),
    "CPU with AMX": (Processor("cpu", "Xeon", bf16=True), "bf16", "fp32"),
    "CPU with AVX2": (Processor("cpu", "Core", bf16=False), "fp32", "fp32"),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_auto_takes_bf16_where_the_hardware_has_it_and_a_cpu_is_faster(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "")
    found, faster, slower = PROCESSORS[name]
    assert pick_precision("auto", found, lambda: True) == precision.TYPES[faster]
    assert pick_precision("auto", found, lambda: False) == precision.TYPES[slower]
    for asked in ("fp32", "bf16"):  # what is asked for is taken
        assert pick_precision(asked, found, lambda: False) == precision.TYPES[asked]


def test_a_setting_leaves_bf16_out_on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "bf16")
    xeon, gpu = Processor("cpu", "Xeon", bf16=True), Processor("cuda", "A100", bf16=True)
    assert pick_precision("auto", xeon, lambda: True) == torch.float32
    assert pick_precision("auto", gpu, lambda: True) == BF16


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ValueError, match="fp16' needs a GPU"):
        make_trainer(tiny_recipe(training={"precision": "fp16"}), DATA)


@pytest.mark.parametrize("what", ["train", "sample"])
def test_measuring_changes_neither_network_nor_random_numbers(what: Any) -> None:
    network = network_of("lean").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = torch.get_rng_state()
    gain = measured_precision._measured_gain(network, DATA.spec.shape, 10, what == "train", 500)
    assert 0.01 < gain < 100
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("overhead", "per_image", "images"), [(0.005, 0.0005, 64), (0.0, 0.02, 8), (0.0, 1.0, 2)]
)
def test_the_gain_is_that_of_as_many_images_as_there_is_time_for(
    overhead: float, per_image: float, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def seconds(_: nn.Module, inputs: Any, kind: torch.dtype, training: bool) -> float:
        counts.append(len(inputs[0]))
        return overhead + per_image * counts[-1] * (0.5 if kind == BF16 else 1)

    monkeypatch.setattr(measured_precision, "_seconds", seconds)
    gain = measured_precision._measured_gain(network_of("lean"), DATA.spec.shape, 10, True, 500)
    full = overhead + per_image * images
    assert counts[-1] == images
    assert gain == pytest.approx(full / (full - per_image * images / 2))


def test_other_work_on_the_machine_does_not_change_the_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = itertools.cycle([1, 1, 1, 5, 4, 7, 1, 6, 3, 5])  # bf16 has 1, 5, 7, 6, 5: mostly slow

    def seconds(_: nn.Module, inputs: Any, kind: torch.dtype, training: bool) -> float:
        return next(load) * (0.01 if kind == BF16 else 0.02)

    monkeypatch.setattr(measured_precision, "_seconds", seconds)
    gain = measured_precision._measured_gain(network_of("lean"), DATA.spec.shape, 10, True, 500)
    assert gain == pytest.approx(2)


@pytest.mark.parametrize(("what", "gain"), [("train", 1.1), ("sample", 1.5)])
def test_bf16_has_to_be_faster_by_so_much(what: Any, gain: float, measuring: list[float]) -> None:
    measuring[:] = [gain - 0.01]
    assert not bf16_is_faster(network_of("lean"), DATA.spec.shape, 10, what)
    measuring[:] = [gain]
    assert bf16_is_faster(network_of("lean", width=16), DATA.spec.shape, 10, what)


def test_a_machine_is_measured_once_for_each_network_and_number_of_threads(
    measuring: list[float], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring[:] = [1.0, 1.0, 1.0, 2.0]
    network = network_of("lean")
    assert bf16_is_faster(network, DATA.spec.shape, 10, "train")
    assert "bf16 is 2.00 times as fast as fp32 to train here" in capfd.readouterr().err
    assert bf16_is_faster(network_of("lean"), DATA.spec.shape, 10, "train")
    assert len(measuring) == 3
    assert capfd.readouterr().err == ""
    bf16_is_faster(network, DATA.spec.shape, 10, "sample")
    bf16_is_faster(network_of("lean", width=16), DATA.spec.shape, 10, "train")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    bf16_is_faster(network, DATA.spec.shape, 10, "train")
    assert measuring == []


@pytest.mark.parametrize("options", [{"heads": 2}, {"groups": 2}, {"blocks": 3}])
def test_networks_with_equal_shapes_of_weights_are_measured_each(
    options: dict[str, int], measuring: list[float]
) -> None:
    measuring[:] = [1.0, 2.0]
    assert bf16_is_faster(network_of("lean", heads=4), DATA.spec.shape, 10, "train")
    assert not bf16_is_faster(
        network_of("lean", **{"heads": 4, **options}), DATA.spec.shape, 10, "train"
    )


def test_where_in_memory_a_network_lies_does_not_matter(measuring: list[float]) -> None:
    class Described(nn.Linear):
        def extra_repr(self) -> str:
            return str(object())

    assert bf16_is_faster(Described(2, 2), DATA.spec.shape, 10, "train")
    assert bf16_is_faster(Described(2, 2), DATA.spec.shape, 10, "train")
    assert measuring == []


@pytest.mark.parametrize("content", ["", "{", '{"gain": "much"}', '{"gain": NaN}', "[]"])
def test_a_damaged_note_is_measured_again(
    content: str, measuring: list[float], tmp_path: Path
) -> None:
    measuring[:] = [2.0, 2.0]
    bf16_is_faster(network_of("lean"), DATA.spec.shape, 10, "train")
    (note,) = (tmp_path / "cache" / "precision").glob("*.json")
    note.write_text(content)
    assert bf16_is_faster(network_of("lean"), DATA.spec.shape, 10, "train")
    assert json.loads(note.read_text())["gain"] == 2.0


@pytest.mark.parametrize("operation", ["cache_entry", "locked", "whole_file"])
def test_where_nothing_can_be_kept_it_is_measured_each_time(
    operation: str,
    measuring: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(measured_precision, operation, full)
    monkeypatch.setattr(measured_precision, "whole_file", full)
    measuring[:] = [2.0, 2.0]
    for _ in range(2):
        assert bf16_is_faster(network_of("lean"), DATA.spec.shape, 10, "train")
    assert "No space left on device; it will be measured again" in capfd.readouterr().err


# What a run keeps.


def test_a_run_keeps_its_number_type_wherever_it_is_resumed(
    measuring: list[float], tmp_path: Path
) -> None:
    measuring[:] = [1.0, 1.0, 2.0]
    settings = {"steps": 6, "save_every": 3, "sample_every": 0, "precision": "auto"}
    run = train(tiny_recipe(training=settings), tmp_path / "run")
    assert from_toml((run / "recipe.toml").read_text()).training.precision == "bf16"
    assert load(run).recipe.training.precision == "bf16"
    (tmp_path / "cache").rename(tmp_path / "other machine")
    longer = override(tiny_recipe(training=settings), {"training": {"steps": 8}})
    assert longer.training.precision == "auto"
    train(longer, resume=run, changes="allow")
    assert from_toml((run / "recipe.toml").read_text()).training.precision == "bf16"


def test_a_run_of_an_earlier_build_goes_on_in_fp32(measuring: list[float], tmp_path: Path) -> None:
    """It has "auto" in its recipe, which meant fp32 on CPUs."""
    settings = {"steps": 3, "precision": "fp32", "sample_every": 0}
    run = train(tiny_recipe(training=settings), tmp_path / "run")
    recipe = from_toml((run / "recipe.toml").read_text())
    (run / "recipe.toml").write_text(
        to_toml(override(recipe, {"training": {"precision": "auto", "steps": 4}}))
    )
    measuring[:] = [2.0, 2.0]
    train(resume=run)
    assert from_toml((run / "recipe.toml").read_text()).training.precision == "fp32"
