"""Consistency tuning and its sampler, against the closed form of a Gaussian.

For pixels N(m, s^2) the probability flow keeps each pixel's standing among its like, so a path through
x_t ends at

    f(x_t, t) = m + s (x_t - alpha m) / sqrt(alpha^2 s^2 + sigma^2).
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common import Gaussian, few_step_recipe, tiny_data
from mezzotint import build, weights
from mezzotint.diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import Schedule
from mezzotint.objectives.consistency import ConsistencyTuning, Solver, TimePair
from mezzotint.recipe.objectives import Distillation
from mezzotint.recipe.presets import RECIPES
from mezzotint.registry import PARAMETRIZATIONS, SCHEDULES
from mezzotint.runs.initial import InitialModel
from mezzotint.runs.train import make_trainer, train
from mezzotint.samplers import Multistep, make_grid
from models import random_model_file

MEAN, STD = 0.3, 0.5
SOLVERS: list[Solver] = ["ddim", "heun"]
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


class SaysImages(nn.Module):
    """A denoiser as a network that predicts the image."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        t = steps.double() / (self.denoiser.schedule.timesteps or 1000)
        return self.denoiser(x, t, labels).x0


def student_of(denoiser: Denoiser) -> NetworkDenoiser:
    return NetworkDenoiser(SaysImages(denoiser), denoiser.schedule, PARAMETRIZATIONS["x0"])


def draw(
    objective: ConsistencyTuning, schedule: Schedule, progress: float, count: int = 256
) -> TimePair:
    return objective.draw(count, schedule, torch.Generator().manual_seed(3), progress)


def noise(count: int, seed: int = 6) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 1, 4, 4, generator=source, dtype=torch.float64)


def loss(denoiser: Denoiser, schedule: Schedule, stage: int, solver: Solver = "ddim") -> float:
    teacher = Gaussian(schedule, MEAN, STD)
    objective = ConsistencyTuning(teacher=teacher, solver=solver, stages=10)
    pair = draw(objective, schedule, stage / 10 + 0.01)
    losses = objective.loss(student_of(denoiser), images(256), None, pair, noise(256))
    return losses.mean().item()


@pytest.mark.parametrize("name", ["flow", "linear", "cosine", "original-linear", "original-cosine"])
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


@pytest.mark.parametrize(
    ("solver", "stages", "share"), [("ddim", range(4, 8), 1 / 8), ("heun", range(3, 7), 1 / 32)]
)
@pytest.mark.parametrize("schedule", [FLOW, SCHEDULES["cosine"](10**6)], ids=["flow", "cosine"])
def test_the_exact_function_errs_as_the_teachers_step_does(
    solver: Solver, stages: range, share: float, schedule: Schedule
) -> None:
    """A step's error is of second order in the gap, or of third with Heun's method, the distance of small
    errors of second order in the error, and the loss divides by the gap: 1/8 or 1/32 at each halving."""
    exact = [loss(Exact(schedule), schedule, stage, solver) for stage in stages]
    for earlier, later in pairwise(exact):
        assert later / earlier == pytest.approx(share, rel=0.2)


def test_steps_to_the_image_are_the_same_with_both_solvers() -> None:
    """In the first stage all end there; with few discrete times, some do in a later one."""
    teacher, table = Gaussian(SCHEDULES["cosine"](8), MEAN, STD), SCHEDULES["cosine"](8)
    for progress in (0.0, 0.3):
        first, second = (
            ConsistencyTuning(teacher=teacher, solver=solver, stages=4) for solver in SOLVERS
        )
        pair = draw(first, table, progress)
        x_t = diffuse(images(256), noise(256)[:, 0], table.level(pair.t))
        one, two = (objective._step(x_t, pair, None) for objective in (first, second))
        at_zero = pair.r == 0
        assert at_zero.all() if progress == 0 else 0 < at_zero.double().mean() < 1
        assert torch.equal(one[at_zero], two[at_zero])
        assert (one[~at_zero] != two[~at_zero]).flatten(1).any(1).all()
        assert two.isfinite().all()


def test_the_first_stage_asks_for_what_the_teacher_already_says() -> None:
    assert loss(Gaussian(FLOW, MEAN, STD), FLOW, 0) == pytest.approx(0, abs=1e-9)
    assert loss(Exact(FLOW), FLOW, 0) > 0.1


def test_training_finds_the_exact_function() -> None:
    """A student that may scale x_t by any function of t ends at the closed form, far from the
    denoiser it began as, whose answer to pure noise is the mean."""
    knots = torch.linspace(0, 1, 11, dtype=torch.float64)

    class Student(nn.Module):
        def __init__(self, table: Tensor) -> None:
            super().__init__()
            self.table = nn.Parameter(table)

        def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
            t = steps.double() / 1000
            below = (t * 10).long().clamp(max=9)
            gain = torch.lerp(self.table[below], self.table[below + 1], t * 10 - below)
            gain = 1 + t * gain  # f(x, 0) = x
            alpha = FLOW.level(t).alpha
            return MEAN + scale(gain, x - scale(alpha * MEAN, torch.ones_like(x)))

    level = FLOW.level(knots)
    variance = level.alpha.square() * STD**2 + level.sigma.square()
    network = Student((level.alpha * STD**2 / variance - 1) / knots.clamp(min=1e-9))
    exact = STD / variance.sqrt()
    student = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["x0"])
    objective = ConsistencyTuning(teacher=Gaussian(FLOW, MEAN, STD), stages=5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    source, steps = torch.Generator().manual_seed(4), 1000
    for step in range(steps):
        x0 = MEAN + STD * torch.randn(64, 1, 4, 4, generator=source, dtype=torch.float64)
        pair = objective.draw(64, FLOW, source, step / steps)
        eps = torch.randn(64, 1, 1, 4, 4, generator=source, dtype=torch.float64)
        optimizer.param_groups[0]["lr"] = 0.003 * (1 - step / steps)
        optimizer.zero_grad()
        objective.loss(student, x0, None, pair, eps).mean().backward()
        optimizer.step()
    learnt = (1 + knots * network.table).detach()
    torch.testing.assert_close(learnt, exact, rtol=0.05, atol=0)
    assert learnt[-1] == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("name", ["flow", "linear"])
def test_pairs_of_times_draw_nearer_at_each_stage(name: str) -> None:
    schedule = SCHEDULES[name](None if name == "flow" else 1000)
    objective = ConsistencyTuning(teacher=Gaussian(schedule), stages=4)
    for stage in range(4):
        pair = draw(objective, schedule, stage / 4)
        assert (pair.r >= 0).all()
        assert (pair.r < pair.t).all()
        gap = 0.5**stage
        slack = 0 if schedule.timesteps is None else 1 / schedule.timesteps + 1e-12
        assert ((pair.t - pair.r) - gap * pair.t).abs().max() <= slack + 1e-12
        if schedule.timesteps:
            torch.testing.assert_close(pair.r * 1000, (pair.r * 1000).round())
    assert objective.gap(1.0) == objective.gap(0.99) == 0.125


@pytest.mark.parametrize("rows", [slice(3, 7), torch.tensor([9, 0, 4])], ids=["slice", "rows"])
def test_a_part_of_a_pair_is_those_rows_of_all_its_tensors(rows: slice | Tensor) -> None:
    pair = draw(ConsistencyTuning(teacher=Gaussian(FLOW)), FLOW, 0.5)
    part = pair.part(rows)
    assert isinstance(part, TimePair)
    assert torch.equal(part.t, pair.t[rows])
    assert torch.equal(part.r, pair.r[rows])


class Half(nn.Module):
    """Half of what it sees, by a weight; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        self.asked.append((x, steps, labels))
        return self.weight * x


@dataclass(frozen=True)
class Teacher:
    """A Gaussian's denoiser that remembers what it was asked."""

    schedule: Schedule
    asked: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        self.asked.append((x_t, t, labels))
        return Gaussian(self.schedule, MEAN, STD)(x_t, t, labels)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("name", ["flow", "linear"])
def test_the_end_of_a_path_is_not_asked_of_the_network(parametrization: str, name: str) -> None:
    """At the first stage r is the image itself, where an x0 network has no inverse; of a table, so are
    some at the next stage."""
    schedule = SCHEDULES[name](None if name == "flow" else 10)
    objective = ConsistencyTuning(teacher=Gaussian(schedule, MEAN, STD), stages=2)
    for progress in (0.0, 0.5):
        network = Half()
        student = NetworkDenoiser(network, schedule, PARAMETRIZATIONS[parametrization])
        pair = draw(objective, schedule, progress, 64)
        if (parametrization, name) == ("eps", "flow"):  # pure noise says nothing of the image to it
            pair = TimePair(0.9 * pair.t, 0.9 * pair.r)
        clean = (pair.r == 0).sum()
        assert clean == 64 if progress == 0 else (0 < clean < 64) == (name == "linear")
        losses = objective.loss(student, images(64), None, pair, noise(64))
        assert (losses > 0).all()
        assert losses.isfinite().all()
        losses.mean().backward()
        assert network.weight.grad is not None
        assert network.weight.grad.isfinite()
        assert network.weight.grad != 0


@pytest.mark.parametrize(("progress", "calls"), [(0.0, 1), (0.24, 1), (0.25, 2), (0.99, 2)])
def test_the_network_is_asked_once_in_the_first_stage_and_twice_later(
    progress: float, calls: int
) -> None:
    network, teacher = Half(), Teacher(FLOW)
    student = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["flow"])
    objective = ConsistencyTuning(teacher=teacher, stages=4)
    pair, labels = draw(objective, FLOW, progress, 8), torch.arange(8)
    objective.loss(student, images(8), labels, pair, noise(8))
    assert (pair.r == 0).all() == (calls == 1)
    ((x_t, t, given),) = teacher.asked
    level, seen = FLOW.level(pair.t), Gaussian(FLOW, MEAN, STD)(x_t, t, None)
    torch.testing.assert_close(
        x_t, scale(level.alpha, images(8)) + scale(level.sigma, noise(8)[:, 0])
    )
    assert torch.equal(t, pair.t)
    # First where the teacher's step leads, unless that is the end; then where it comes from.
    level = FLOW.level(pair.r)
    x_r = scale(level.alpha, seen.x0) + scale(level.sigma, seen.eps)
    expected = [(x_r, pair.r), (x_t, pair.t)][-calls:]
    assert len(network.asked) == calls
    for (x, steps, names), (image, time) in zip(network.asked, expected, strict=True):
        torch.testing.assert_close(x, image)
        torch.testing.assert_close(steps, (1000 * time).float())
        assert torch.equal(names, labels)  # which are never dropped
    assert torch.equal(given, labels)


@pytest.mark.parametrize(("progress", "calls"), [(0.0, 1), (0.25, 2)])
def test_the_teacher_is_asked_again_where_its_step_ends(progress: float, calls: int) -> None:
    """But not of an image, in the first stage; and for the same classes."""
    teacher, student = Teacher(FLOW), NetworkDenoiser(Half(), FLOW, PARAMETRIZATIONS["flow"])
    objective = ConsistencyTuning(teacher=teacher, solver="heun", stages=4)
    pair, labels = draw(objective, FLOW, progress, 8), torch.arange(8)
    objective.loss(student, images(8), labels, pair, noise(8))
    assert len(teacher.asked) == calls
    (x_t, t, _), (x_r, r, _) = teacher.asked[0], teacher.asked[-1]
    expected = Gaussian(FLOW, MEAN, STD)(x_t, t, None)
    if calls == 2:
        torch.testing.assert_close(x_r, diffuse(expected.x0, expected.eps, FLOW.level(pair.r)))
        assert torch.equal(r, pair.r)
    assert all(names is labels for *_, names in teacher.asked)


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_gradients_reach_the_answer_at_t_alone(progress: float) -> None:
    network = Half()
    student = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["x0"])
    objective = ConsistencyTuning(teacher=Gaussian(FLOW, MEAN, STD), stages=2)
    pair = draw(objective, FLOW, progress, 8)
    objective.loss(student, images(8), None, pair, noise(8)).mean().backward()
    x_t = network.asked[-1][0]
    x_r = network.asked[0][0]
    seen = Gaussian(FLOW, MEAN, STD)(x_t, pair.t, None)
    target = seen.x0 if progress == 0 else 0.5 * x_r
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    c = 0.00054 * 16**0.5
    distance = ((weight * x_t - target).square().flatten(1).sum(1) + c**2).sqrt() - c
    (distance / (pair.t - pair.r)).mean().backward()
    torch.testing.assert_close(network.weight.grad, weight.grad)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_sampler_draws_the_exact_distribution_from_the_exact_function(n: int) -> None:
    source = torch.Generator().manual_seed(5)
    x = torch.randn(40_000, 1, 1, 1, generator=source, dtype=torch.float64)

    def fresh() -> Tensor:
        return torch.randn(x.shape, generator=source, dtype=torch.float64)

    *steps, last = Multistep()(Exact(FLOW), x, make_grid("trailing", FLOW, n), None, fresh)
    assert [step.t for step in steps] == pytest.approx([1 - k / n for k in range(n)])
    assert last.x.mean().item() == pytest.approx(MEAN, abs=0.012)
    assert last.x.std().item() == pytest.approx(STD, abs=0.012)
    if n == 1:
        torch.testing.assert_close(last.x, MEAN + STD * x)


# --- the whole way: a teacher's file, a student's run -------------------------------------------


def test_training_after_a_teacher_begins_at_its_weights(tmp_path: Path) -> None:
    path, data = random_model_file(tmp_path / "teacher.safetensors"), tiny_data()
    tensors, recipe, _ = weights.read(path)
    network = build.make_network(recipe.net, data.spec)
    network.load_state_dict(tensors)
    teacher = build.make_denoiser(recipe.diffusion, network.eval().requires_grad_(False))
    trainer = make_trainer(few_step_recipe(), data, InitialModel(path, teacher))
    for name, value in trainer.state.network.state_dict().items():
        assert torch.equal(value, tensors[name]), name
    assert isinstance(trainer.objective, ConsistencyTuning)
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


def test_a_distillation_without_its_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="'distillation' needs the trained model"):
        make_trainer(few_step_recipe(), tiny_data())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": {"width": 16}}, r"net or diffusion is not that of objective\.teacher"),
        ({"diffusion": {"parametrization": "v"}}, r"is not that of objective\.teacher"),
        ({"objective": {"sha256": "0" * 64}}, r"objective\.teacher.*SHA-256"),
        ({}, "other images"),
    ],
)
def test_teachers_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, dict[str, Any]], said: str
) -> None:
    path = random_model_file(tmp_path / "teacher.safetensors")  # of 8x8 images; MNIST has 28x28
    objective = {"teacher": str(path), **changes.get("objective", {})}
    with pytest.raises(ValueError, match=said):
        train(few_step_recipe(**{**changes, "objective": objective}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_recipe_digits_fast_follows_the_shipped_model() -> None:
    recipe = RECIPES["digits-fast"]
    assert isinstance(recipe.objective, Distillation)
    assert recipe.objective.teacher == "digits"
    assert recipe.sampling.sampler == "consistency"
    assert recipe.sampling.guidance == 1
