"""Direct discriminative optimization: against the denoising objective it is made of, and on Gaussians,
whose denoisers are known."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build, pixels
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.discriminative import Contest, Discriminative
from mezzotint.diffusion.objectives import Objective, Question, logit_normal
from mezzotint.diffusion.parametrizations import PARAMETRIZATIONS
from mezzotint.diffusion.schedules import SCHEDULES
from mezzotint.training.trainer import Trainer

FLOW = SCHEDULES["flow"]()
DATA, REFERENCE, STD = 0.3, 0.8, 0.5


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


def draw(mean: float, count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return mean + STD * torch.randn(count, 1, 2, 2, generator=source, dtype=torch.float64)


def objective(**changes: object) -> Discriminative:
    made = Discriminative(
        denoising=Objective(times=logit_normal, null_label=10),
        reference=denoiser(REFERENCE),
        rivals=draw(REFERENCE, 4000, 1),
        classes=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def ask(made: Discriminative, count: int = 2000, seed: int = 3) -> Contest:
    source = torch.Generator().manual_seed(seed)
    return made.ask(torch.Size((count, 1, 2, 2)), FLOW, source, 0.0)


def gradient(made: Discriminative, mean: float, count: int = 20_000) -> float:
    model = denoiser(mean)
    losses = made(model, draw(DATA, count, 2), None, ask(made, count))
    losses.mean().backward()
    slope = model.network.mean.grad
    assert slope is not None
    return float(slope)


def test_at_the_reference_nothing_is_told_apart() -> None:
    made = objective(alpha=2.0)
    losses = made(denoiser(REFERENCE), draw(DATA, 2000, 2), None, ask(made))
    torch.testing.assert_close(losses, torch.full_like(losses, 3 * math.log(2)))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
def test_its_gradient_begins_as_that_of_real_images_less_that_of_drawn_ones(alpha: float) -> None:
    made = objective(alpha=alpha, beta=0.2)
    contest, x0 = ask(made), draw(DATA, 2000, 2)
    model = denoiser(REFERENCE)
    made(model, x0, None, contest).mean().backward()
    rows = (contest.pick * len(made.rivals)).long()
    again = denoiser(REFERENCE)
    question = Question(contest.t, contest.eps, contest.hidden)
    real = made.denoising(again, x0, None, question).mean()
    drawn = made.denoising(again, made.rivals[rows], None, question).mean()
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


def test_where_rivals_are_like_the_data_the_reference_stays() -> None:
    made = objective(reference=denoiser(DATA), rivals=draw(DATA, 20_000, 5), beta=1.0)
    assert gradient(made, DATA) == pytest.approx(0, abs=0.02)
    assert abs(gradient(made, DATA + 0.2)) > 0.02


@pytest.fixture
def labelled() -> Discriminative:
    """Rivals whose pixels say which row they are, ten classes in turn."""
    rows = torch.arange(95).double()[:, None, None, None].expand(-1, 1, 2, 2)
    return objective(rivals=rows, classes=10, confused=0.0)


def test_an_image_and_its_rival_are_of_one_class(labelled: Discriminative) -> None:
    labels = torch.arange(2000) % 10
    x0 = torch.full((2000, 1, 2, 2), -1.0, dtype=torch.float64)
    rivals, called = labelled._rivals(x0, labels, ask(labelled))
    assert called is not None
    assert torch.equal(called, labels)
    rows = rivals[:, 0, 0, 0].long()
    assert torch.equal(rows % 10, labels)
    assert set(rows.tolist()) == set(range(90))  # whole turns of the classes


def test_confused_rivals_are_the_image_itself_under_another_label(labelled: Discriminative) -> None:
    made = replace(labelled, confused=0.25)
    labels = torch.arange(4000) % 10
    x0 = torch.full((4000, 1, 2, 2), -1.0, dtype=torch.float64)
    rivals, called = made._rivals(x0, labels, ask(made, 4000))
    assert called is not None
    own = (rivals == -1).flatten(1).all(1)
    assert own.double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (called[own] != labels[own]).all()
    assert torch.equal(called[~own], labels[~own])
    distance = (called[own] - labels[own]) % 10
    assert set(distance.tolist()) == set(range(1, 10))


def test_a_part_of_a_contest_is_that_part_of_all_its_tensors() -> None:
    contest = ask(objective(), 12)
    part = contest.part(slice(3, 7))
    for name in ("t", "eps", "hidden", "pick", "confuse"):
        assert torch.equal(getattr(part, name), getattr(contest, name)[3:7])


def test_a_question_of_another_objective_is_refused() -> None:
    question = Question(torch.ones(2).double(), torch.zeros(2, 1, 2, 2), torch.ones(2))
    with pytest.raises(AssertionError):
        objective()(denoiser(DATA), draw(DATA, 2, 2), None, question)


@pytest.mark.parametrize("classes", [0, 1, 10])
def test_training_tells_its_own_images_from_real_ones(classes: int) -> None:
    """A few steps on a handful of images: the loss falls under that of a toss."""
    data = tiny_data(classes=classes)
    recipe = tiny_recipe(
        training={"steps": 30, "optimizer": "adamw", "learning_rate": 3e-3, "ema": 0.0},
        refinement={"reference": "someone"},
    )
    spec = build.spec_of(data)
    torch.manual_seed(0)
    earlier = build.make_denoiser(recipe, build.make_network(recipe, spec).eval())
    log, rivals = list[dict[str, float]](), data.images // 4
    trainer = Trainer(recipe, data, log.append, earlier=earlier, rivals=rivals)
    assert isinstance(trainer.objective, Discriminative)
    torch.testing.assert_close(trainer.objective.rivals, pixels.to_float(rivals))
    before = {name: value.clone() for name, value in earlier.network.state_dict().items()}
    trainer.run()
    assert log[0]["loss"] == pytest.approx(2 * math.log(2), abs=1e-4)
    assert log[-1]["loss"] < 0.95 * log[0]["loss"]
    for name, value in earlier.network.state_dict().items():
        assert torch.equal(value, before[name]), f"the reference's {name} moved"
