"""What a few steps of a training are counted and timed to take, beside counts by hand."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import tiny_data
from mezzotint import build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.schedules import Schedule
from mezzotint.objectives.base import Draws, Objective
from mezzotint.recipe.schema import Diffusion, Training
from mezzotint.training import calibration
from mezzotint.training.calibration import calibrate
from mezzotint.training.trainer import Trainer
from mezzotint.utils.counting import counted
from mezzotint.utils.device import peak_memory
from mezzotint.utils.numbers import duration


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.05)


def test_arithmetic_and_memory_of_a_known_computation_are_counted() -> None:
    """Two products, of (5, 7) by (7, 11) and of that by (11, 3), with a ReLU between them."""
    x = torch.ones(5, 7)
    first, second = torch.ones(7, 11, requires_grad=True), torch.ones(11, 3, requires_grad=True)
    with counted([first, second]) as count:
        ((x @ first).relu() @ second).sum().backward()
    products = 5 * 7 * 11 + 5 * 11 * 3
    assert count.multiply_adds == products + products + 5 * 11 * 3  # x needs no gradient
    assert count.activations == 4 * (5 * 7 + 5 * 11)  # x, and what the ReLU lets through


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_attention_is_counted(precision: torch.dtype) -> None:
    """2 images, 3 heads, 5 queries and 9 keys, all 8 wide: two products, and five in the backward pass.

    One of the five computes the weights again, which were not kept.
    """
    q = torch.ones(2, 3, 5, 8, dtype=precision, requires_grad=True)
    k, v = (torch.ones(2, 3, 9, 8, dtype=precision) for _ in range(2))
    product = 2 * 3 * 5 * 9 * 8
    with counted() as count, torch.no_grad():
        F.scaled_dot_product_attention(q, k, v)
    assert count.multiply_adds == 2 * product
    with counted() as count:
        F.scaled_dot_product_attention(q, k, v).sum().backward()
    assert count.multiply_adds == (2 + 5) * product


def test_what_is_kept_for_several_backward_passes_is_the_most_of_any() -> None:
    weight = torch.ones(4, 4, requires_grad=True)
    with counted([weight]) as count:
        for rows in (3, 9, 5):
            (torch.ones(rows, 4) @ weight).sum().backward()
    assert count.activations == 4 * 9 * 4


class Two(nn.Module):
    """Two convolutions, from 1 channel to 4 and back."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor | None) -> Tensor:
        hidden: Tensor = self.second(F.relu(self.first(x)))
        return hidden


@dataclass(frozen=True)
class Late(Draws):
    """Whether this step belongs to the last quarter of the run."""

    late: bool


class MoreLater(Objective[Late]):
    """The squared output; in the last quarter of a run it is computed three times."""

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> Late:
        return Late(torch.full((count,), 0.5, dtype=torch.float64), progress >= 0.75)

    def loss(self, denoiser: NetworkDenoiser, x0: Any, labels: Any, draws: Late, noise: Any) -> Any:
        passes = [denoiser.output(x0, draws.t, labels) for _ in range(3 if draws.late else 1)]
        return torch.stack(passes).square().mean((0, 2, 3, 4))


def small_trainer(**settings: Any) -> Trainer:
    denoiser = build.make_denoiser(Diffusion(), Two())
    return Trainer(denoiser, MoreLater(), tiny_data(40), Training(batch=8, **settings))


PARAMETERS = (4 * 9 + 4) + (4 * 9 + 1)
PASS = 8 * 64 * (36 + 36) * 2 + 8 * 64 * 36
"""Multiply-adds of a pass over a batch and back; the images need no gradient."""

TENSORS = 4


@pytest.mark.parametrize(
    ("optimizer", "ema", "moments"),
    [
        ("adam", 0.9, 4 * (2 * PARAMETERS + TENSORS)),  # two moments, and the number of steps
        ("adamw", 0.0, 4 * (2 * PARAMETERS + TENSORS)),
        ("muon", 0.9, 4 * (72 + 2 * 5 + 2)),  # one moment for kernels, two for the five biases
    ],
)
def test_parameters_and_memory_are_those_of_a_count_by_hand(
    optimizer: str, ema: float, moments: int
) -> None:
    cost = calibrate(small_trainer(steps=100, optimizer=optimizer, ema=ema))
    assert cost.parameters == {"network": PARAMETERS}
    assert cost.memory["weights"] == cost.memory["gradients"] == 4 * PARAMETERS
    assert cost.memory["moments"] == moments
    assert cost.memory["average"] == (4 * PARAMETERS if ema else 0)
    assert cost.memory["images"] == 40 * 64
    assert cost.memory["activations"] >= 3 * 4 * 8 * 64 * (1 + 4)  # the images, and after the ReLU
    assert cost.steps == 100


@pytest.mark.parametrize("done", [0, 50])
def test_steps_are_taken_from_all_over_the_run(done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MOST_COUNTED", 4)
    monkeypatch.setattr(calibration, "LEAST", 4)  # however slow this computer is now
    trainer = small_trainer(steps=100, optimizer="adam")
    trainer.state.step = done
    before = [p.clone() for p in trainer.state.network.parameters()]
    cost = calibrate(trainer)
    share_of_late = 0.25 if done == 0 else 0.5
    assert cost.steps == 100 - done
    assert cost.multiply_adds == PASS * (1 + 2 * share_of_late)
    assert all(map(torch.equal, before, trainer.state.network.parameters()))


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="this system does not tell")
def test_the_peak_of_memory_is_at_least_what_is_held_now() -> None:
    held = torch.ones(20_000_000, dtype=torch.uint8)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = peak_memory(torch.device("cpu"))
    assert peak is not None
    assert len(held) < resident <= peak + 1_000_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "5 seconds"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (9000, "2.5 hours"),
        (2e6, "23.1 days"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
