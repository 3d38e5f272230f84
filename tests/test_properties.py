"""Laws of the pure parts, over random valid options."""

import math
import string
from collections.abc import Iterator

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from common import Gaussian
from mezzotint.diffusion.denoiser import Guided
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import determinant, invert, target
from mezzotint.diffusion.schedules import Schedule
from mezzotint.evaluation.frechet import frechet_distance, merge, moments
from mezzotint.evaluation.precision_recall import precision_recall_density_coverage
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import RECIPES, as_recipe
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import from_toml, to_toml
from mezzotint.registry import GRIDS, LOSSES, OPTIMIZERS, PARAMETRIZATIONS, SCHEDULES, TIMES
from mezzotint.samplers.grids import make_grid
from mezzotint.training.ema import Ema
from mezzotint.utils.classes import LONGEST, class_name, file_names

settings.register_profile("laws", derandomize=True, deadline=None, max_examples=50, database=None)
settings.load_profile("laws")

seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True, scope="module")
def with_denormals() -> Iterator[None]:
    """What other tests prepared for speed is undone: hypothesis asks for all numbers that there are."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(True)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """A schedule of any name, with any number of steps."""
    name = draw(st.sampled_from(list(SCHEDULES)))
    continuous = name == "flow" and draw(st.booleans())
    return SCHEDULES[name](None if continuous else draw(st.integers(1, 2000)))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Schedules


@given(schedules(), seeds)
def test_noise_grows_with_time_and_comes_back_as_its_time(schedule: Schedule, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    t = torch.rand(50, generator=source, dtype=torch.float64).sort().values
    t = torch.cat([torch.zeros(1), t, torch.ones(1)]).double().unique()
    level = schedule.level(t)
    assert (level.alpha.diff() <= 0).all()
    assert (level.sigma.diff() >= 0).all()
    assert (level.alpha[0], level.sigma[0]) == (1, 0)
    log_snr = schedule.log_snr(t)
    assert (log_snr.diff() < 0).all()
    inner = log_snr[1:-1]
    torch.testing.assert_close(schedule.time_of(inner), t[1:-1], rtol=1e-6, atol=1e-9)


@given(schedules(), seeds)
def test_variance_is_preserved_by_all_but_the_straight_path(schedule: Schedule, seed: int) -> None:
    t = torch.rand(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    level = schedule.level(t)
    straight = type(schedule).__name__ == "Flow"
    total = level.alpha + level.sigma if straight else level.alpha**2 + level.sigma**2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


@given(schedules(), st.floats(1e-6, 1))
def test_a_time_is_moved_up_to_the_next_step_once(schedule: Schedule, t: float) -> None:
    time = torch.tensor(t, dtype=torch.float64)
    moved = schedule.snap(time)
    assert time - 1e-9 <= moved <= 1
    assert schedule.snap(moved) == moved
    assert schedule.timesteps is None or moved - time < 1 / schedule.timesteps


# Grids


@st.composite
def grids(draw: st.DrawFn) -> str:
    """A grid of any name, with any of its options."""
    name = draw(st.sampled_from(list(GRIDS)))
    options = {"trailing": "shift", "karras": "rho"}
    if name in options and draw(st.booleans()):
        return f"{name}:{options[name]}={draw(st.floats(0.05, 20))}"
    return name


@given(grids(), schedules(), st.data())
def test_a_grid_falls_from_noise_to_the_image_in_as_many_steps(
    grid: str, schedule: Schedule, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, min(schedule.timesteps or 200, 200)))
    times = make_grid(grid, schedule, n)
    assert times.dtype == torch.float64
    assert times.shape == (n + 1,)
    assert (times[0], times[-1]) == (1, 0)
    assert (times.diff() < 0).all()
    if schedule.timesteps is not None:
        steps = times * schedule.timesteps
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-9)


# Parametrizations


@given(st.sampled_from(list(PARAMETRIZATIONS)), schedules(), st.floats(0.01, 0.99), seeds)
def test_what_a_network_predicts_gives_back_image_and_noise(
    name: str, schedule: Schedule, t: float, seed: int
) -> None:
    parametrization = PARAMETRIZATIONS[name]
    level = schedule.level(torch.tensor(t, dtype=torch.float64))
    gain = 1 / determinant(parametrization, level).abs().item()
    assume(gain < 1e6)
    x0, eps = drawn(seed, 2, 3, 1, 2, 2)[:2]
    x_t = scale(level.alpha, x0) + scale(level.sigma, eps)
    made = invert(parametrization, level, x_t, target(parametrization, level, x0, eps))
    torch.testing.assert_close(made.x0, x0, rtol=0, atol=1e-13 * max(gain, 1e3))
    torch.testing.assert_close(made.eps, eps, rtol=0, atol=1e-13 * max(gain, 1e3))


@given(st.sampled_from(list(PARAMETRIZATIONS)), st.floats(0.01, 0.99), st.floats(-3, 3), seeds)
def test_targets_and_their_inversion_are_linear(
    name: str, t: float, factor: float, seed: int
) -> None:
    parametrization = PARAMETRIZATIONS[name]
    level = SCHEDULES["flow"](None).level(torch.tensor(t, dtype=torch.float64))
    a, b, c, d = drawn(seed, 4, 3, 1, 2, 2)
    mixed = target(parametrization, level, a + factor * c, b + factor * d)
    parts = [target(parametrization, level, *pair) for pair in ((a, b), (c, d))]
    torch.testing.assert_close(mixed, parts[0] + factor * parts[1])
    both = invert(parametrization, level, a + factor * c, b + factor * d)
    one, two = (invert(parametrization, level, *pair) for pair in ((a, b), (c, d)))
    torch.testing.assert_close(both.x0, one.x0 + factor * two.x0, rtol=1e-9, atol=1e-8)


# Guidance


class ByLabel:
    """A denoiser that says something else with labels than without."""

    schedule = SCHEDULES["flow"](None)

    def __call__(self, x_t, t, labels):  # type: ignore[no-untyped-def]
        return Gaussian(self.schedule, 0.3 if labels is None else -0.7, 0.5)(x_t, t, labels)


@given(st.floats(0, 10), st.floats(0.05, 0.95), seeds)
def test_guidance_is_affine_in_its_scale(guidance: float, t: float, seed: int) -> None:
    time = torch.tensor(t, dtype=torch.float64)
    x_t = drawn(seed, 2, 1, 3, 3)
    labels = torch.tensor([0, 1])
    without, conditional, guided = (
        Guided(ByLabel(), scale_)(x_t, time, labels) for scale_ in (0.0, 1.0, guidance)
    )
    for key in ("x0", "eps"):
        start, end = getattr(without, key), getattr(conditional, key)
        torch.testing.assert_close(getattr(guided, key), start + guidance * (end - start))
    assert torch.equal(conditional.x0, ByLabel()(x_t, time, labels).x0)
    torch.testing.assert_close(without.x0, ByLabel()(x_t, time, None).x0)


# Measures


@given(seeds, st.integers(1, 6), st.floats(0.1, 10))
def test_the_frechet_distance_is_one(seed: int, dimensions: int, width: float) -> None:
    a = drawn(seed, 40, dimensions) * width
    b = drawn(seed + 1, 30, dimensions) + 1
    turned = torch.linalg.qr(drawn(seed + 2, dimensions, dimensions)).Q
    distance = frechet_distance(moments(a), moments(b))
    near = {"rel": 1e-6, "abs": 1e-6}
    assert distance >= 0
    assert frechet_distance(moments(b), moments(a)) == pytest.approx(distance, **near)
    assert frechet_distance(moments(a), moments(a)) == pytest.approx(0, abs=1e-6 * width**2)
    both_turned = [moments(x @ turned + 3) for x in (a, b)]
    assert frechet_distance(*both_turned) == pytest.approx(distance, **near)
    assert frechet_distance(moments(2 * a), moments(2 * b)) == pytest.approx(4 * distance, **near)


@given(seeds, st.integers(2, 20), st.integers(2, 20))
def test_moments_of_a_union_are_those_of_all(seed: int, n: int, m: int) -> None:
    x = drawn(seed, n + m, 3)
    merged = merge(moments(x[:n]), moments(x[n:]))
    whole = moments(x)
    assert merged.count == whole.count
    torch.testing.assert_close(merged.mean, whole.mean)
    torch.testing.assert_close(merged.covariance, whole.covariance)


@given(seeds, st.integers(1, 5), st.integers(7, 30), st.integers(7, 30), st.floats(0, 4))
def test_precision_and_recall_are_shares_that_swap(
    seed: int, k: int, n: int, m: int, shift: float
) -> None:
    real = drawn(seed, n, 3)
    made = drawn(seed + 1, m, 3) + shift
    scores = precision_recall_density_coverage(real, made, k)
    swapped = precision_recall_density_coverage(made, real, k)
    assert all(0 <= scores[key] <= 1 for key in ("precision", "recall", "coverage"))
    assert scores["density"] >= 0
    assert (scores["precision"], scores["recall"]) == (swapped["recall"], swapped["precision"])
    same = precision_recall_density_coverage(real, real, k)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


# Names


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8, unique_by=class_name))
def test_names_of_files_are_distinct_and_valid(names: list[str]) -> None:
    made = file_names(names)
    assert len({name.casefold() for name in made}) == len(names)
    for name in made:
        assert name == name.strip(" .")
        assert not set(name) & set('/\\:*?"<>|\0')
        assert name.isprintable()
        assert 0 < len(name.encode()) <= LONGEST + 10
    assert file_names(made) == made or any(name in made for name in names)


@given(st.text())
def test_the_spelling_of_a_class_is_its_own(text: str) -> None:
    assert class_name(class_name(text)) == class_name(text)


# Recipes


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """A recipe with random values in all of its sections."""
    words = st.text(string.printable + "éü\N{CAT FACE}'\"\\\n", max_size=20)
    timesteps = draw(st.integers(1, 50_000))
    changes = {
        "name": draw(words),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "data": {
            "name": draw(st.sampled_from(["mnist", "folder:a b", "npz:ü\\\\.npz"])),
            "background": draw(st.integers(0, 255)),
        },
        "diffusion": {
            "schedule": draw(st.sampled_from(list(SCHEDULES))),
            "timesteps": timesteps,
            "parametrization": draw(st.sampled_from(list(PARAMETRIZATIONS))),
        },
        "objective": {
            "loss": draw(st.sampled_from(list(LOSSES))),
            "times": draw(st.sampled_from(list(TIMES))),
            "label_dropout": draw(st.floats(0, 1)),
        },
        "training": {
            "steps": draw(st.integers(1, 10**12)),
            "learning_rate": draw(st.floats(0, 1e300)),
            "weight_decay": draw(st.none() | st.floats(0, 1)),
            "optimizer": draw(st.sampled_from(list(OPTIMIZERS))),
            "compile": draw(st.booleans()),
        },
        "sampling": {
            "steps": draw(st.integers(1, min(timesteps, 10_000))),
            "grid": draw(grids()),
            "guidance": draw(st.floats(0, 1e9)),
            "interval": sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))),
        },
    }
    base = draw(st.sampled_from(["digits", "ddpm", "rgb32"]))
    try:
        return as_recipe(base, changes)
    except RecipeError:  # two sections contradict each other
        assume(False)
        raise


@given(recipes())
def test_a_recipe_comes_back_from_its_text(recipe: Recipe) -> None:
    assert from_toml(to_toml(recipe)) == recipe
    assert to_toml(from_toml(to_toml(recipe))) == to_toml(recipe)


def test_so_do_those_of_the_package() -> None:
    assert all(from_toml(to_toml(recipe)) == recipe for recipe in RECIPES.values())


# The moving average


@given(st.floats(0.01, 0.999999), st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_the_moving_average_is_the_weighted_sum_of_its_formula(
    decay: float, values: list[float]
) -> None:
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(network.weight, 5.0)
    average = Ema(network, decay)
    shares = [min(decay, (1 + n) / (10 + n)) for n in range(len(values))]
    for n, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average.update(network, n)
    left = [math.prod(shares[k:]) for k in range(len(values) + 1)]
    expected = 5.0 * left[0]
    expected += sum(
        (1 - d) * v * left[k + 1] for k, (d, v) in enumerate(zip(shares, values, strict=True))
    )
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
