"""Direct discriminative optimization: against the denoising objective it is made of, and on Gaussians,
whose denoisers are known."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.objectives.ddo import DDO, PairDraws
from mezzotint.objectives.denoising import DenoisingDraws, DenoisingObjective
from mezzotint.objectives.times import logit_normal
from mezzotint.registry import PARAMETRIZATIONS, SCHEDULES
from mezzotint.runs.initial import InitialModel
from mezzotint.runs.train import make_trainer
from mezzotint.utils import pixels

FLOW = SCHEDULES["flow"]()
DATA, REFERENCE, STD = 0.3, 0.8, 0.5
REFINEMENT: dict[str, Any] = {"name": "refinement", "reference": "someone"}


class GaussianFlow(nn.Module):
    """The exact flow of pixels N(mean, STD^2), as a network: E[eps - x0 | x_t]."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        t = (steps / 1000).to(x)[:, None, None, None]
        alpha, sigma = 1 - t, t
        centred = (x - alpha * self.mean) / (alpha.square() * STD**2 + sigma.square())
        return sigma * centred - (self.mean + alpha * STD**2 * centred)


def denoiser(mean: float) -> NetworkDenoiser:
    return NetworkDenoiser(GaussianFlow(mean), FLOW, PARAMETRIZATIONS["flow"])


def images(mean: float, count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return mean + STD * torch.randn(count, 1, 2, 2, generator=source, dtype=torch.float64)


def noise(count: int) -> Tensor:
    source = torch.Generator().manual_seed(4)
    return torch.randn(count, 1, 1, 2, 2, generator=source, dtype=torch.float64)


def objective(**changes: object) -> DDO:
    made = DDO(
        denoising=DenoisingObjective(times=logit_normal, null_label=10),
        reference=denoiser(REFERENCE),
        samples=images(REFERENCE, 4000, 1),
        classes=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def draw(made: DDO, count: int = 2000, seed: int = 3) -> PairDraws:
    return made.draw(count, FLOW, torch.Generator().manual_seed(seed), 0.0)


def gradient(made: DDO, mean: float, count: int = 20_000) -> float:
    model = denoiser(mean)
    losses = made.loss(model, images(DATA, count, 2), None, draw(made, count), noise(count))
    losses.mean().backward()
    slope = model.network.mean.grad
    assert slope is not None
    return float(slope)


def test_at_the_reference_nothing_is_told_apart() -> None:
    made = objective(alpha=2.0)
    x0 = images(DATA, 2000, 2)
    losses = made.loss(denoiser(REFERENCE), x0, None, draw(made), noise(2000))
    torch.testing.assert_close(losses, torch.full_like(losses, 3 * math.log(2)))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
def test_its_gradient_begins_as_that_of_real_images_less_that_of_drawn_ones(alpha: float) -> None:
    made = objective(alpha=alpha, beta=0.2)
    draws, x0, eps = draw(made), images(DATA, 2000, 2), noise(2000)
    model = denoiser(REFERENCE)
    made.loss(model, x0, None, draws, eps).mean().backward()
    rows = (draws.sample_u * len(made.samples)).long()
    again = denoiser(REFERENCE)
    same = DenoisingDraws(draws.t, draws.label_u)
    real = made.denoising.loss(again, x0, None, same, eps).mean()
    drawn = made.denoising.loss(again, made.samples[rows], None, same, eps).mean()
    (0.2 * 4 / 2 * (real - alpha * drawn)).backward()
    torch.testing.assert_close(model.network.mean.grad, again.network.mean.grad)


def test_it_leads_from_the_reference_to_the_data_and_not_far_beyond() -> None:
    """Downhill towards the data from either side, where a plain difference of errors would run away."""
    made = objective(beta=1.0)
    assert gradient(made, REFERENCE) > 0.1
    assert gradient(made, (REFERENCE + DATA) / 2) > 0.05
    assert gradient(made, DATA - (REFERENCE - DATA)) < -0.05
    low, high = DATA - 0.5, REFERENCE
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if gradient(made, middle) > 0 else (middle, high)
    assert low == pytest.approx(DATA, abs=0.2)


def test_where_samples_are_like_the_data_the_reference_stays() -> None:
    count = 800_000  # for which 0.02 is five standard errors
    made = objective(reference=denoiser(DATA), samples=images(DATA, count, 5), beta=1.0)
    assert gradient(made, DATA, count) == pytest.approx(0, abs=0.02)
    assert gradient(made, DATA + 0.2) > 1
    assert gradient(made, DATA - 0.2) < -1


@pytest.fixture
def labelled() -> DDO:
    """Samples whose pixels say which row they are, ten classes in turn."""
    rows = torch.arange(95).double()[:, None, None, None].expand(-1, 1, 2, 2)
    return objective(samples=rows, classes=10, wrong_labels=0.0)


def test_an_image_and_its_negative_are_of_one_class(labelled: DDO) -> None:
    labels = torch.arange(2000) % 10
    x0 = torch.full((2000, 1, 2, 2), -1.0, dtype=torch.float64)
    negatives, called = labelled._negatives(x0, labels, draw(labelled))
    assert called is not None
    assert torch.equal(called, labels)
    rows = negatives[:, 0, 0, 0].long()
    assert torch.equal(rows % 10, labels)
    assert set(rows.tolist()) == set(range(90))  # whole turns of the classes


def test_some_negatives_are_the_image_itself_under_a_wrong_label(labelled: DDO) -> None:
    made = replace(labelled, wrong_labels=0.25)
    labels = torch.arange(4000) % 10
    x0 = torch.full((4000, 1, 2, 2), -1.0, dtype=torch.float64)
    negatives, called = made._negatives(x0, labels, draw(made, 4000))
    assert called is not None
    own = (negatives == -1).flatten(1).all(1)
    assert own.double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (called[own] != labels[own]).all()
    assert torch.equal(called[~own], labels[~own])
    distance = (called[own] - labels[own]) % 10
    assert set(distance.tolist()) == set(range(1, 10))


@pytest.mark.parametrize("wrong_labels", [0.0, 0.5, 1.0])
def test_the_network_sees_image_and_negative_through_the_same_noise_each_under_its_label(
    labelled: DDO, wrong_labels: float
) -> None:
    asked = []

    class Network(nn.Module):
        def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
            asked.append((x, steps, labels))
            return torch.zeros_like(x)

    network = NetworkDenoiser(Network(), FLOW, PARAMETRIZATIONS["flow"])
    made = replace(labelled, wrong_labels=wrong_labels, reference=network)
    labels, x0, eps = torch.arange(40) % 10, images(DATA, 40, 2), noise(40)
    draws = draw(made, 40)
    made.loss(network, x0, labels, draws, eps)
    negatives, called = made._negatives(x0, labels, draws)
    t = draws.t[:, None, None, None]
    expected = torch.cat([(1 - t) * x + t * eps[:, 0] for x in (x0, negatives)])
    assert len(asked) == 2  # the network and its reference
    for x, steps, names in asked:
        torch.testing.assert_close(x, expected)
        torch.testing.assert_close(steps, (1000 * draws.t).float().repeat(2))
        assert torch.equal(names, torch.cat([labels, called]))


@pytest.mark.parametrize("rows", [slice(3, 7), torch.tensor([9, 0, 4])], ids=["slice", "rows"])
def test_a_part_of_draws_is_those_rows_of_all_its_tensors(rows: slice | Tensor) -> None:
    draws = draw(objective(), 12)
    part = draws.part(rows)
    assert isinstance(part, PairDraws)
    for name in ("t", "label_u", "sample_u", "wrong_label_u"):
        assert torch.equal(getattr(part, name), getattr(draws, name)[rows])


def test_the_loss_of_a_batch_is_that_of_its_parts(labelled: DDO) -> None:
    made = replace(labelled, wrong_labels=0.5, reference=denoiser(REFERENCE))
    labels, x0, eps = torch.arange(12) % 10, images(DATA, 12, 2), noise(12)
    draws, model = draw(made, 12), denoiser(DATA)
    whole = made.loss(model, x0, labels, draws, eps)
    for rows in (slice(0, 5), slice(5, 12), torch.tensor([7, 0, 3])):
        part = made.loss(model, x0[rows], labels[rows], draws.part(rows), eps[rows])
        torch.testing.assert_close(part, whole[rows])


def test_a_refinement_without_its_reference_or_samples_is_refused() -> None:
    data, recipe = tiny_data(), tiny_recipe(objective=REFINEMENT)
    with pytest.raises(ValueError, match="'refinement' needs the trained model"):
        make_trainer(recipe, data)
    initial = InitialModel(Path("nowhere"), build.new_denoiser(recipe, data.spec))
    with pytest.raises(ValueError, match="'refinement' needs images of the model"):
        make_trainer(recipe, data, initial)


@pytest.mark.parametrize("classes", [0, 1, 10])
def test_training_tells_its_own_images_from_real_ones(classes: int) -> None:
    """A few steps on a handful of images: the loss falls under that of a toss."""
    data = tiny_data(classes=classes)
    recipe = tiny_recipe(
        training={"steps": 30, "optimizer": "adamw", "learning_rate": 3e-3, "ema": 0.0},
        objective=REFINEMENT,
    )
    torch.manual_seed(0)
    network = build.make_network(recipe.net, data.spec).eval()
    samples = data.images // 4
    reference = build.make_denoiser(recipe.diffusion, network)
    trainer = make_trainer(recipe, data, InitialModel(Path("nowhere"), reference, samples))
    assert isinstance(trainer.objective, DDO)
    torch.testing.assert_close(trainer.objective.samples, pixels.to_float(samples))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for name, value in trainer.state.network.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} does not begin as the reference's"
    log = list[dict[str, float]]()
    trainer.run(log=log.append)
    assert log[0]["loss"] == pytest.approx(2 * math.log(2), abs=1e-4)
    assert log[-1]["loss"] < 0.95 * log[0]["loss"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), f"the reference's {name} moved"
