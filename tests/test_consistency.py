"""Consistency tuning and its sampler, against the closed form of a Gaussian.

For pixels N(m, s^2) the probability flow keeps each pixel's standing among its like, so a path through
x_t ends at

    f(x_t, t) = m + s (x_t - alpha m) / sqrt(alpha^2 s^2 + sigma^2).
"""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from common import Gaussian, tiny_data, tiny_recipe
from mezzotint import build, weights
from mezzotint.diffusion.consistency import Consistency, Pair
from mezzotint.diffusion.denoiser import Clipped, Guided, NetworkDenoiser
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.objectives import Question
from mezzotint.diffusion.parametrizations import PARAMETRIZATIONS, Prediction
from mezzotint.diffusion.schedules import SCHEDULES, Schedule
from mezzotint.recipes import RECIPES
from mezzotint.run import train
from mezzotint.samplers import Multistep, make_grid
from mezzotint.training.trainer import Trainer
from models import random_model_file

MEAN, STD = 0.3, 0.5
FLOW = SCHEDULES["flow"]()


@dataclass(frozen=True)
class Exact:
    """The exact consistency function."""

    schedule: Schedule

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        level = self.schedule.level(t)
        spread = (level.alpha.square() * STD**2 + level.sigma.square()).sqrt()
        centred = x_t - scale(level.alpha * MEAN, torch.ones_like(x_t))
        x0 = MEAN + scale(STD / spread, centred)
        return Prediction(x0, torch.full_like(x0, torch.nan))  # nobody may ask


def images(count: int) -> Tensor:
    source = torch.Generator().manual_seed(2)
    return MEAN + STD * torch.randn(count, 1, 4, 4, generator=source, dtype=torch.float64)


def ask(objective: Consistency, schedule: Schedule, progress: float, count: int = 256) -> Pair:
    source = torch.Generator().manual_seed(3)
    return objective.ask(torch.Size((count, 1, 4, 4)), schedule, source, progress)


def loss(student: object, schedule: Schedule, stage: int) -> float:
    objective = Consistency(teacher=Gaussian(schedule, MEAN, STD), stages=10)
    question = ask(objective, schedule, stage / 10 + 0.01)
    return objective(student, images(256), None, question).mean().item()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["flow", "linear", "cosine"])
def test_the_exact_function_is_what_the_loss_leads_to(name: str) -> None:
    """Its loss comes from the teacher's steps alone, which are straight where the path bends, and
    vanishes with the gap; the denoiser, which is no consistency function, stays wrong."""
    schedule = SCHEDULES[name](None if name == "flow" else 20_000)
    exact = [loss(Exact(schedule), schedule, stage) for stage in (2, 4, 6)]
    wrong = [loss(Gaussian(schedule, MEAN, STD), schedule, stage) for stage in (2, 4, 6)]
    assert exact[0] > 10 * exact[1] > 0
    assert exact[1] > 10 * exact[2]
    assert wrong[2] > 0.5 * wrong[1]
    assert wrong[2] > 300 * exact[2]


def test_the_exact_function_errs_as_the_teachers_step_does() -> None:
    """A step's error is of second order in the gap, the distance of small errors of second order in
    the error, and the loss divides by the gap: 1/8 at each halving."""
    exact = [loss(Exact(FLOW), FLOW, stage) for stage in range(4, 8)]
    for earlier, later in pairwise(exact):
        assert later / earlier == pytest.approx(1 / 8, rel=0.2)


def test_the_first_stage_asks_for_what_the_teacher_already_says() -> None:
    assert loss(Gaussian(FLOW, MEAN, STD), FLOW, 0) == pytest.approx(0, abs=1e-9)
    assert loss(Exact(FLOW), FLOW, 0) > 0.1


def test_training_finds_the_exact_function() -> None:
    """A student that may scale x_t by any function of t ends at the closed form, far from the
    denoiser it began as, whose answer to pure noise is the mean."""
    knots = torch.linspace(0, 1, 11, dtype=torch.float64)

    @dataclass(frozen=True)
    class Student:
        schedule: Schedule
        table: Tensor

        def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
            below = (t * 10).long().clamp(max=9)
            gain = torch.lerp(self.table[below], self.table[below + 1], t * 10 - below)
            gain = 1 + t * gain  # f(x, 0) = x
            alpha = self.schedule.level(t).alpha
            x0 = MEAN + scale(gain, x_t - scale(alpha * MEAN, torch.ones_like(x_t)))
            return Prediction(x0, x0)

    level = FLOW.level(knots)
    variance = level.alpha.square() * STD**2 + level.sigma.square()
    table = ((level.alpha * STD**2 / variance - 1) / knots.clamp(min=1e-9)).requires_grad_()
    exact = STD / variance.sqrt()
    student = Student(FLOW, table)
    objective = Consistency(teacher=Gaussian(FLOW, MEAN, STD), stages=5)
    optimizer = torch.optim.Adam([table], lr=0.003)
    source, steps = torch.Generator().manual_seed(4), 1000
    for step in range(steps):
        x0 = MEAN + STD * torch.randn(64, 1, 4, 4, generator=source, dtype=torch.float64)
        question = objective.ask(x0.shape, FLOW, source, step / steps)
        optimizer.param_groups[0]["lr"] = 0.003 * (1 - step / steps)
        optimizer.zero_grad()
        objective(student, x0, None, question).mean().backward()
        optimizer.step()
    learnt = (1 + knots * table).detach()
    torch.testing.assert_close(learnt, exact, rtol=0.05, atol=0)
    assert learnt[-1] == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("name", ["flow", "linear"])
def test_pairs_of_times_draw_nearer_at_each_stage(name: str) -> None:
    schedule = SCHEDULES[name](None if name == "flow" else 1000)
    objective = Consistency(teacher=Gaussian(schedule), stages=4)
    for stage in range(4):
        pair = ask(objective, schedule, stage / 4)
        assert (pair.earlier >= 0).all()
        assert (pair.earlier < pair.t).all()
        gap = 0.5**stage
        slack = 0 if schedule.timesteps is None else 1 / schedule.timesteps + 1e-12
        assert ((pair.t - pair.earlier) - gap * pair.t).abs().max() <= slack + 1e-12
        if schedule.timesteps:
            torch.testing.assert_close(pair.earlier * 1000, (pair.earlier * 1000).round())
    assert objective.gap(1.0) == objective.gap(0.99) == 0.125


def test_a_part_of_a_question_is_that_part_of_all_its_tensors() -> None:
    pair = ask(Consistency(teacher=Gaussian(FLOW)), FLOW, 0.5)
    part = pair.part(slice(3, 7))
    for name in ("t", "eps", "hidden", "earlier"):
        assert torch.equal(getattr(part, name), getattr(pair, name)[3:7])


def test_a_question_of_another_objective_is_refused() -> None:
    question = Question(torch.ones(2).double(), images(2), torch.ones(2))
    with pytest.raises(AssertionError):
        Consistency(teacher=Gaussian(FLOW))(Gaussian(FLOW), images(2), None, question)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("name", ["flow", "linear"])
def test_the_end_of_a_path_is_not_asked_of_the_network(parametrization: str, name: str) -> None:
    """At the first stage the earlier moment is the image itself, where an x0 network has no inverse."""
    schedule = SCHEDULES[name](None if name == "flow" else 1000)

    class Half(torch.nn.Module):
        def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
            return 0.5 * x

    student = NetworkDenoiser(Half(), schedule, PARAMETRIZATIONS[parametrization])
    objective = Consistency(teacher=Gaussian(schedule, MEAN, STD))
    losses = objective(student, images(64), None, ask(objective, schedule, 0.0, 64))
    assert (losses > 0).all()
    assert losses.isfinite().all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_sampler_draws_the_exact_distribution_from_the_exact_function(n: int) -> None:
    source = torch.Generator().manual_seed(5)
    x = torch.randn(40_000, 1, 1, 1, generator=source, dtype=torch.float64)

    def noise() -> Tensor:
        return torch.randn(x.shape, generator=source, dtype=torch.float64)

    *steps, last = Multistep()(Exact(FLOW), x, make_grid("trailing", FLOW, n), None, noise)
    assert [step.t for step in steps] == pytest.approx([1 - k / n for k in range(n)])
    assert last.x.mean().item() == pytest.approx(MEAN, abs=0.012)
    assert last.x.std().item() == pytest.approx(STD, abs=0.012)
    if n == 1:
        torch.testing.assert_close(last.x, MEAN + STD * x)


# --- the whole way: a teacher's file, a student's run -------------------------------------------


def test_training_after_a_teacher_begins_at_its_weights(tmp_path) -> None:
    path = random_model_file(tmp_path / "teacher.safetensors")
    tensors, recipe, _ = weights.read(path)
    network = build.make_network(recipe, build.spec_of(tiny_data()))
    network.load_state_dict(tensors)
    teacher = build.make_denoiser(recipe, network.eval().requires_grad_(False))
    trainer = Trainer(tiny_recipe(), tiny_data(), earlier=teacher)
    for name, value in trainer.state.network.state_dict().items():
        assert torch.equal(value, tensors[name]), name
    assert isinstance(trainer.objective, Consistency)
    guided = trainer.objective.teacher
    assert isinstance(guided, Clipped)
    assert isinstance(guided.denoiser, Guided)
    assert guided.denoiser.denoiser is teacher
    trainer.run()
    assert trainer.state.step == 10
    after = trainer.state.network.state_dict()
    assert any(not torch.equal(after[name], tensors[name]) for name in tensors)
    for name, value in network.state_dict().items():
        assert torch.equal(value, tensors[name]), f"the teacher's {name} moved"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": {"width": 16}}, "not that of its teacher"),
        ({"diffusion": {"parametrization": "v"}}, "not that of its teacher"),
        ({"distillation": {"sha256": "0" * 64}}, "SHA-256"),
        ({}, "other images"),
    ],
)
def test_teachers_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, changes: dict, said: str
) -> None:
    path = random_model_file(tmp_path / "teacher.safetensors")  # of 8x8 images; MNIST has 28x28
    changes = {**changes}
    changes["distillation"] = {"teacher": str(path), **changes.get("distillation", {})}
    with pytest.raises(ValueError, match=said):
        train(tiny_recipe(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_recipe_digits_fast_follows_the_shipped_model() -> None:
    recipe = RECIPES["digits-fast"]
    assert recipe.distillation.teacher == "digits"
    assert recipe.sampling.sampler == "consistency"
    assert recipe.sampling.guidance == 1
