"""The moving average of the weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.runs.train import make_trainer
from mezzotint.training.checkpoint import load_checkpoint, save_checkpoint
from mezzotint.training.ema import Ema
from mezzotint.training.trainer import Trainer


class One(nn.Module):
    """A single weight, and buffers of two types."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("scale", torch.tensor([0.0]))


LATE = 100_000  # far past the warm-up, whatever the decay


def test_from_0_to_1_with_decay_0_9_ten_updates_reach_the_closed_form() -> None:
    average = Ema(One(0.0), 0.9)
    for n in range(10):
        average.update(One(1.0), LATE + n)
    assert average.network.weight.item() == pytest.approx(0.6513215599, abs=1e-10)


def test_the_warm_up_follows_its_formula() -> None:
    average, expected = Ema(One(0.0), 0.999), 0.0
    for n in range(50):
        average.update(One(1.0), n)
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay)
        assert average.network.weight.item() == pytest.approx(expected, abs=1e-12)
    first = Ema(One(0.0), 0.999)
    first.update(One(1.0), 0)
    assert first.network.weight.item() == pytest.approx(0.9)  # d_0 = 1/10


def test_the_warm_up_ends_at_the_decay() -> None:
    # (1 + n) / (10 + n) passes 0.9 at n = 80.
    for n, decay in [(79, 80 / 89), (80, 0.9), (81, 0.9), (10**6, 0.9)]:
        average = Ema(One(0.0), 0.9)
        average.update(One(1.0), n)
        assert average.network.weight.item() == pytest.approx(1 - decay, abs=1e-12)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 1, not {decay}"):
        Ema(One(0.0), decay)


def test_buffers_are_copied_and_the_source_is_left_alone() -> None:
    source = One(1.0)
    average = Ema(source, 0.9)
    with torch.no_grad():
        source.weight.fill_(2.0)
        source.seen.fill_(7)
        source.scale.fill_(0.25)
    average.update(source, 0)
    assert average.network.seen.item() == 7
    assert average.network.scale.item() == 0.25
    assert source.weight.item() == 2.0
    assert source.weight.requires_grad
    assert source.training


def test_a_batch_norms_statistics_are_the_networks_own() -> None:
    source = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = Ema(source, 0.9)
    for n in range(3):
        source(torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(n)) + 3)
        average.update(source, n)
    for name, buffer in source.named_buffers():
        assert torch.equal(average.network.get_buffer(name), buffer)
    assert average.network[1].num_batches_tracked.item() == 3


def test_the_average_is_no_part_of_the_graph_and_ready_to_sample() -> None:
    average = Ema(nn.Linear(2, 2), 0.9)
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())


# --- In training.


def tiny_trainer(**training: object) -> Trainer:
    return make_trainer(tiny_recipe(training=training), tiny_data())


def trained(steps: int, **training: object) -> Trainer:
    trainer = tiny_trainer(steps=steps, **training)
    trainer.run()
    return trainer


def test_one_step_moves_the_average_from_the_start_but_not_onto_the_weights() -> None:
    start = tiny_trainer().state
    after = trained(1, warmup=0).state
    assert after.ema is not None
    before = start.network.state_dict()
    moved, own = after.ema.network.state_dict(), after.network.state_dict()
    changed = [name for name in before if not torch.equal(before[name], own[name])]
    assert changed
    for name in changed:
        # 0.9 of the way, as d_0 = 1/10.
        torch.testing.assert_close(
            moved[name], torch.lerp(before[name], own[name], 0.9), rtol=1e-5, atol=1e-7
        )
        assert not torch.equal(moved[name], before[name]), name


def test_training_follows_the_formula_step_by_step() -> None:
    seen: list[dict[str, torch.Tensor]] = []
    trainer = tiny_trainer(steps=6, ema=0.35)
    expected = {k: v.detach().clone() for k, v in trainer.state.network.named_parameters()}
    update = trainer.state.ema.update  # type: ignore[union-attr]

    def spy(source: nn.Module, n: int, skip: torch.Tensor | None = None) -> None:
        seen.append({k: v.detach().clone() for k, v in source.named_parameters()})
        update(source, n, skip)

    trainer.state.ema.update = spy  # type: ignore[union-attr, method-assign]
    trainer.run()
    for n, own in enumerate(seen):
        decay = min(0.35, (1 + n) / (10 + n))
        expected = {k: decay * expected[k] + (1 - decay) * own[k] for k in own}
    assert len(seen) == 6
    for name, value in trainer.state.sampling_network.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_names_of_the_average_are_the_bare_networks(compiled: bool) -> None:
    # Nothing is compiled until the first step; the names would already have changed.
    trainer = tiny_trainer(compile=compiled)
    bare = tiny_trainer(ema=0.0).state.network.state_dict()
    assert list(trainer.state.sampling_network.state_dict()) == list(bare)
    names = [n for n in trainer.state.tensors() if n.startswith("network.")]
    assert names == [f"network.{name}" for name in bare]
    assert not any("module." in n or "_orig_mod" in n or n == "n_averaged" for n in bare)


def test_the_averages_bits_survive_save_and_load(tmp_path: Path) -> None:
    trainer = trained(4)
    average = trainer.state.sampling_network.state_dict()
    header = weights.header(tiny_recipe(training={"steps": 4}), trainer.spec)
    path = save_checkpoint(tmp_path, trainer.state, header, keep=1)
    tensors, _, _ = weights.read(path / "model.safetensors")
    assert tensors.keys() == average.keys()
    assert all(torch.equal(tensors[name], average[name]) for name in average)

    other = tiny_trainer(steps=4)
    load_checkpoint(path, other.state)
    for ours, theirs in [
        (other.state.sampling_network, trainer.state.sampling_network),
        (other.state.network, trainer.state.network),
    ]:
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name
    # The average and the network are two things, and neither took the other's place.
    assert any(
        not torch.equal(a, b)
        for a, b in zip(
            other.state.sampling_network.parameters(),
            other.state.network.parameters(),
            strict=True,
        )
    )


def test_without_an_average_the_network_itself_is_sampled_from() -> None:
    trainer = trained(2, ema=0.0)
    assert trainer.state.ema is None
    assert trainer.state.sampling_network is trainer.state.network
