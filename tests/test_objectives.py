"""The objective: losses, weightings, times, label dropout and the curriculum."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.objectives import (
    LOSSES,
    TIMES,
    WEIGHTINGS,
    Curriculum,
    Objective,
    Question,
    constant,
    l2,
    min_snr,
)
from mezzotint.diffusion.parametrizations import PARAMETRIZATIONS, target
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import SCHEDULES

TORCH = {
    "l1": lambda a, b: F.l1_loss(a, b, reduction="none"),
    "l2": lambda a, b: F.mse_loss(a, b, reduction="none"),
    "huber": lambda a, b: F.huber_loss(a, b, reduction="none"),
}


class Answer(nn.Module):
    """A network that always says the same, and remembers what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        self.asked.append((x, steps, labels))
        return self.answer


def images(seed: int, count: int = 6) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 4, 4, generator=source, dtype=torch.float64)


def denoiser(parametrization: str, schedule: str) -> NetworkDenoiser:
    own = PARAMETRIZATIONS[parametrization]
    return NetworkDenoiser(Answer(images(3)), SCHEDULES[schedule](1000), own)


def question(eps: Tensor) -> Question:
    # Not quite 1: there, a flow leaves nothing of the image, and eps cannot be asked for it.
    t = torch.tensor([0.001, 0.01, 0.1, 0.5, 0.9, 0.999], dtype=torch.float64)
    return Question(t, eps, torch.full((len(eps),), 0.5))


def uniforms(count: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=source, dtype=torch.float64).clamp(min=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_torchs_and_grows_with_the_error(name: str) -> None:
    loss = LOSSES[name]
    residual = (torch.arange(-60, 61, dtype=torch.float64) / 20).reshape(1, 1, 11, 11)
    expected = TORCH[name](residual, torch.zeros_like(residual))
    torch.testing.assert_close(loss(residual), expected, rtol=0, atol=1e-14)
    assert torch.equal(loss(residual), loss(-residual))
    by_size = loss(residual).flatten()[60:]  # residuals 0 .. 3
    assert by_size[0] == 0
    assert (by_size.diff() > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_weighting_gives_each_image_a_finite_positive_loss(name: str, schedule: str) -> None:
    x0, eps = images(1), images(2)
    for parametrization in PARAMETRIZATIONS:
        for loss in LOSSES.values():
            objective = Objective(loss=loss, weighting=WEIGHTINGS[name])
            losses = objective(denoiser(parametrization, schedule), x0, None, question(eps))
            assert losses.shape == (6,)
            assert losses.isfinite().all()
            assert (losses > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_constant_weighting_is_the_plain_loss_of_the_networks_own_target(
    loss: str, parametrization: str, schedule: str
) -> None:
    x0, eps = images(1), images(2)
    asked = denoiser(parametrization, schedule)
    own = Objective(loss=LOSSES[loss], weighting=constant)(asked, x0, None, question(eps))
    level = asked.schedule.level(question(eps).t)
    truth = target(asked.parametrization, level, x0, eps)
    plain = TORCH[loss](images(3), truth).flatten(1).mean(1)
    torch.testing.assert_close(own, plain, rtol=1e-9, atol=1e-12)


def test_the_loss_of_eps_with_l1_is_the_originals() -> None:
    x0, eps = images(1), images(2)
    losses = Objective(loss=LOSSES["l1"])(denoiser("eps", "linear"), x0, None, question(eps))
    torch.testing.assert_close(losses.mean(), F.l1_loss(eps, images(3)))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("parametrization", ["eps", "x0", "v"])
def test_min_snr_weighs_as_published(parametrization: str, schedule: str) -> None:
    """Hang et al. 2023, section 3.4, for variance-preserving schedules."""
    x0, eps = images(1), images(2)
    asked = denoiser(parametrization, schedule)
    level = asked.schedule.level(question(eps).t)
    snr = level.alpha.square() / level.sigma.square()
    published = {
        "eps": snr.clamp(max=5) / snr,
        "x0": snr.clamp(max=5),
        "v": snr.clamp(max=5) / (snr + 1),
    }[parametrization]
    assert (snr.min() < 5) & (snr.max() > 5)
    squared = (images(3) - target(asked.parametrization, level, x0, eps)).square()
    own = Objective(loss=l2, weighting=min_snr)(asked, x0, None, question(eps))
    expected = published * squared.flatten(1).mean(1)
    torch.testing.assert_close(own, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_weighting_of_the_image_error_holds_whatever_the_network_predicts(schedule: str) -> None:
    """The same belief about the image, said in four ways, costs the same."""
    x0, eps, guess = images(1), images(2), images(3)
    asked = question(eps)
    level = SCHEDULES[schedule](1000).level(asked.t)
    x_t = diffuse(x0, eps, level)
    alpha, sigma = level.alpha[:, None, None, None], level.sigma[:, None, None, None]
    implied = (x_t - alpha * guess) / sigma
    losses = []
    for own in PARAMETRIZATIONS.values():
        network = Answer(target(own, level, guess, implied))
        told = NetworkDenoiser(network, SCHEDULES[schedule](1000), own)
        losses.append(Objective(weighting=min_snr)(told, x0, None, asked))
    for other in losses[1:]:
        torch.testing.assert_close(other, losses[0], rtol=1e-6, atol=0)


def test_the_network_sees_the_noisy_image_its_step_and_its_labels() -> None:
    x0, eps, labels = images(1), images(2), torch.tensor([3, 1, 4, 1, 5, 9])
    asked = denoiser("eps", "linear")
    Objective()(asked, x0, labels, question(eps))
    ((x_t, steps, given),) = asked.network.asked
    level = asked.schedule.level(question(eps).t)
    torch.testing.assert_close(x_t, diffuse(x0, eps, level))
    torch.testing.assert_close(steps, torch.tensor([1.0, 10, 100, 500, 900, 999]))
    assert torch.equal(given, labels)


@pytest.mark.parametrize("name", TIMES)
def test_every_rule_for_times_stays_inside_the_unit_interval_and_is_centred(name: str) -> None:
    extreme = TIMES[name](torch.full((64,), 1e-9, dtype=torch.float64))
    assert ((extreme > 0) & (extreme < 1)).all()
    extreme = TIMES[name](torch.full((64,), 1 - 2**-53, dtype=torch.float64))
    assert ((extreme > 0) & (extreme <= 1)).all()
    t = TIMES[name](uniforms(100_000))
    assert t.shape == (100_000,)
    assert ((t > 0) & (t < 1)).all()
    # Five standard errors of independent draws; the stratified ones do far better.
    assert t.mean().item() == pytest.approx(0.5, abs=5 * 0.29 / 100_000**0.5)
    assert TIMES[name](uniforms(1)).shape == (1,)


def test_uniform_times_are_the_draws_themselves() -> None:
    assert torch.equal(TIMES["uniform"](uniforms(1000)), uniforms(1000))


def test_stratified_times_visit_each_part_of_the_interval_once() -> None:
    t = TIMES["stratified"](uniforms(64))
    assert (t * 64).floor().sort().values.tolist() == list(range(64))
    # Inside its part a time is as random as ever.
    assert (t * 64).frac().std() > 0.2


def test_logit_normal_times_are_a_stratified_standard_normal_through_the_sigmoid() -> None:
    t = TIMES["logit-normal"](uniforms(64))
    quantiles = torch.special.ndtr(t.logit())
    assert (quantiles * 64).floor().sort().values.tolist() == list(range(64))
    logits = TIMES["logit-normal"](uniforms(100_000)).logit()
    assert logits.mean().item() == pytest.approx(0, abs=1e-3)
    assert logits.std().item() == pytest.approx(1, abs=1e-3)


SHAPE = torch.Size((20_000, 1, 1, 1))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("times", TIMES)
def test_discrete_schedules_are_asked_at_their_steps_only(times: str, schedule: str) -> None:
    objective, source = Objective(times=TIMES[times]), torch.Generator().manual_seed(0)
    asked = objective.ask(SHAPE, SCHEDULES[schedule](10), source, 1.0)
    steps = asked.t * 10
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-12)
    counts = steps.round().long().bincount(minlength=11).tolist()
    assert len(counts) == 11
    assert counts[0] == 0
    assert min(counts[1:]) > 0
    if times != "logit-normal":
        # Five standard deviations of a binomial count of 20,000 draws at 1/10.
        assert all(abs(count - 2000) < 5 * 1800**0.5 for count in counts[1:])


def test_continuous_schedules_are_asked_anywhere() -> None:
    asked = Objective().ask(SHAPE, SCHEDULES["flow"](), torch.Generator().manual_seed(0), 1.0)
    assert len(asked.t.unique()) == SHAPE[0]
    assert asked.t.dtype == torch.float64
    assert ((asked.t > 0) & (asked.t < 1)).all()


def test_questions_come_from_the_generator_alone() -> None:
    shape, schedule = torch.Size((8, 1, 2, 2)), SCHEDULES["linear"](1000)
    torch.manual_seed(1)
    first = Objective().ask(shape, schedule, torch.Generator().manual_seed(7), 1.0)
    torch.manual_seed(2)
    again = Objective().ask(shape, schedule, torch.Generator().manual_seed(7), 1.0)
    other = Objective().ask(shape, schedule, torch.Generator().manual_seed(8), 1.0)
    for name in ("t", "eps", "hidden"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    part = first.part(slice(2, 5))
    assert torch.equal(part.t, first.t[2:5])
    assert torch.equal(part.eps, first.eps[2:5])
    assert torch.equal(part.hidden, first.hidden[2:5])


def test_the_noise_asked_about_is_standard_normal() -> None:
    shape = torch.Size((100, 1, 32, 32))
    eps = Objective().ask(shape, SCHEDULES["flow"](), torch.Generator().manual_seed(0), 1.0).eps
    assert eps.mean().item() == pytest.approx(0, abs=5 / eps.numel() ** 0.5)
    assert eps.std().item() == pytest.approx(1, abs=5 / (2 * eps.numel()) ** 0.5)


def test_labels_are_hidden_image_by_image_at_the_rate_asked_for() -> None:
    objective = Objective(label_dropout=0.1, null_label=10)
    shape = torch.Size((100_000, 1, 1, 1))
    asked = objective.ask(shape, SCHEDULES["flow"](), torch.Generator().manual_seed(0), 1.0)
    labels = torch.arange(100_000) % 10
    given = objective.drop(labels, asked.hidden)
    dropped = given == 10
    # Five standard deviations around 10,000.
    assert 9_526 <= dropped.sum() <= 10_474
    assert torch.equal(given[~dropped], labels[~dropped])
    # One coin per image: among 1000 runs of 100 images nearly all counts lie around 10 ...
    runs = dropped.reshape(1000, 100).sum(1).double()
    assert runs.mean().item() == pytest.approx(10, abs=0.5)
    assert runs.var().item() == pytest.approx(9, rel=0.3)
    # ... whichever class it shows and however noisy it is.
    for part in (*(labels == k for k in range(10)), asked.t < 0.5, asked.t > 0.9):
        share = dropped[part].double().mean().item()
        assert share == pytest.approx(0.1, abs=5 * 0.3 / part.sum().item() ** 0.5)


@pytest.mark.parametrize(("rate", "hidden"), [(0.0, 0), (0.3, 2), (1.0, 6)])
def test_the_network_sees_exactly_the_labels_left(rate: float, hidden: int) -> None:
    x0, labels = images(1), torch.tensor([3, 1, 4, 1, 5, 9])
    draws = torch.tensor([0.0, 0.299, 0.301, 0.5, 0.9, 1 - 2**-24])
    asked = denoiser("eps", "linear")
    whole = question(images(2))
    Objective(label_dropout=rate, null_label=10)(
        asked, x0, labels, Question(whole.t, whole.eps, draws)
    )
    ((_, _, given),) = asked.network.asked
    assert given.tolist() == [10] * hidden + labels.tolist()[hidden:]


def test_without_labels_there_is_nothing_to_hide() -> None:
    asked = denoiser("eps", "linear")
    Objective(label_dropout=1.0, null_label=10)(asked, images(1), None, question(images(2)))
    ((_, _, given),) = asked.network.asked
    assert given is None


def test_the_curriculum_grows_evenly_from_its_start_to_all_times() -> None:
    curriculum = Curriculum(start=0.1, until=0.4)
    horizons = [curriculum.horizon(progress) for progress in (0, 0.1, 0.2, 0.4, 0.7, 1)]
    assert horizons == pytest.approx([0.1, 0.325, 0.55, 1, 1, 1])
    assert [Curriculum().horizon(p) for p in (0, 0.25, 1)] == [1, 1, 1]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("schedule", ["linear", "flow"])
def test_times_beyond_the_horizon_are_not_asked_yet(times: str, schedule: str) -> None:
    objective = Objective(times=TIMES[times], curriculum=Curriculum(start=0.1, until=0.5))
    made = SCHEDULES[schedule](1000 if schedule == "linear" else None)
    for progress, horizon in [(0.0, 0.1), (0.25, 0.55), (0.5, 1.0), (1.0, 1.0)]:
        t = objective.ask(SHAPE, made, torch.Generator().manual_seed(0), progress).t
        assert t.max() <= horizon + 1e-12
        assert t.max() > 0.9 * horizon
        assert t.mean().item() == pytest.approx(horizon / 2, abs=0.02)
