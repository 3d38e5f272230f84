"""Samplers and their time grids, against closed forms, against each other and against diffusers.

For Gaussian data the exact denoiser is affine, and so is every sampler: what it does to 0, to 1 and
to each single noise it draws tells the mean and the spread of everything it can make.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import jaxtyping
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from common import Gaussian
from mezzotint.build import make_network
from mezzotint.data import ImageSpec
from mezzotint.diffusion.denoiser import Clipped, Denoiser, NetworkDenoiser
from mezzotint.diffusion.parametrizations import Prediction, invert
from mezzotint.diffusion.schedules import Schedule, Table
from mezzotint.registry import GRIDS, NETS, PARAMETRIZATIONS, SAMPLERS, SCHEDULES, with_options
from mezzotint.samplers import (
    DDIM,
    DDPM,
    DPMSolver,
    Heun,
    ImageNoise,
    Sampler,
    make_grid,
    make_sampler,
)
from mezzotint.utils.randomness import generator

LINEAR, COSINE = SCHEDULES["linear"](1000), SCHEDULES["cosine"](1000)
ALL_SCHEDULES: dict[str, Schedule] = {
    "linear": LINEAR,
    "cosine": COSINE,
    "original-linear": SCHEDULES["original-linear"](1000),
    "original-cosine": SCHEDULES["original-cosine"](1000),
    "flow": SCHEDULES["flow"](),
    "flow-1000": SCHEDULES["flow"](1000),
}
ALL_TABLES = ["linear", "cosine", "original-linear", "original-cosine"]


@dataclass(frozen=True)
class Known:
    """A fixed, smooth answer for the noise, of the image and of the step: no network, no chance."""

    schedule: Schedule
    asked: list[float] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        self.asked.append(t.item())
        index = round(t.item() * 1000) - 1
        return invert(PARAMETRIZATIONS["eps"], self.schedule.level(t), x_t, known_eps(x_t, index))


def known_eps(x: Tensor, index: int) -> Tensor:
    return x.mul(0.9).tanh() + 0.2 * (3 * x + 0.01 * index).sin()


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long runs go without the checks of shapes, which would take most of their time, and which
    the short runs make."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def noises(seed: int, x: Tensor) -> Callable[[], Tensor]:
    source = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(x.shape, generator=source, dtype=x.dtype)


def start(count: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 4, 4, generator=source, dtype=torch.float64).to(dtype)


def forbidden() -> Tensor:
    raise AssertionError("noise was drawn")


def last(steps: Iterator) -> Tensor:
    *_, step = steps
    return step.x


GRIDS_WITH_OPTIONS = [
    *GRIDS,
    "trailing:shift=3",
    "trailing:shift=0.3",
    "karras:rho=1",
    "karras:rho=30",
]

# --- time grids ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", GRIDS_WITH_OPTIONS)
def test_every_grid_has_n_falling_times_from_the_noisiest_for_every_n(
    name: str, schedule: str
) -> None:
    made = ALL_SCHEDULES[schedule]
    # Where time is continuous nothing is rounded, and some counts will do.
    for n in range(1, 1001) if made.timesteps else (*range(1, 31), 100, 999, 1000):
        grid = make_grid(name, made, n).numpy()
        assert grid.shape == (n + 1,)
        assert grid[0] == 1
        assert grid[-1] == 0
        assert (grid[1:] < grid[:-1]).all()
        if made.timesteps:
            assert abs(grid * 1000 - (grid * 1000).round()).max() < 1e-9


@pytest.mark.parametrize("name", GRIDS_WITH_OPTIONS)
@pytest.mark.parametrize("T", [1, 2, 7, 50])
def test_every_grid_reaches_all_steps_of_a_short_table(name: str, T: int) -> None:
    for table in ALL_TABLES:
        for n in range(1, T + 1):
            grid = make_grid(name, SCHEDULES[table](T), n)
            assert len(grid) == n + 1
            assert (grid.diff() < 0).all()
        # With as many steps as there are, a grid has no choice.
        torch.testing.assert_close(grid * T, torch.arange(T, -1, -1, dtype=torch.float64))


@pytest.mark.parametrize("name", GRIDS_WITH_OPTIONS)
@pytest.mark.parametrize("n", [0, -1, 1001, True])
def test_step_counts_that_cannot_be_are_refused_in_words(name: str, n: int) -> None:
    with pytest.raises(ValueError, match=rf"whole number from 1 to 1000 .* not {n}"):
        make_grid(name, ALL_SCHEDULES["linear"], n)


@pytest.mark.parametrize("shift", [0.25, 1.0, 2.0, 3.0])
def test_a_shifted_grid_of_the_flow_is_the_formula_of_the_paper(shift: float) -> None:
    t = make_grid("trailing", ALL_SCHEDULES["flow"], 20)
    expected = shift * t / (1 + (shift - 1) * t)
    grid = make_grid(f"trailing:shift={shift}", ALL_SCHEDULES["flow"], 20)
    torch.testing.assert_close(grid, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_the_karras_grid_has_even_roots_of_the_noise(rho: float) -> None:
    flow = ALL_SCHEDULES["flow"]
    grid = make_grid(f"karras:rho={rho}", flow, 30)[1:-1]  # the first is pure noise, sigma infinite
    ratios = grid / (1 - grid)
    smallest = math.exp(-5)  # log-SNRs end at 10
    ends = torch.tensor([math.exp(5), smallest], dtype=torch.float64) ** (1 / rho)
    expected = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, 30, dtype=torch.float64)[1:])
    torch.testing.assert_close(ratios ** (1 / rho), expected)
    assert rho != 7 or make_grid("karras", flow, 30)[1:-1].equal(grid)


def test_a_grid_may_be_its_times() -> None:
    grid = make_grid("1, 0.6,0.2, 0", ALL_SCHEDULES["flow"], 3)
    assert grid.tolist() == [1, 0.6, 0.2, 0]
    assert make_grid("1, 0.001, 0", ALL_SCHEDULES["linear"], 2).tolist() == [1, 0.001, 0]
    with pytest.raises(ValueError, match="k / 1000 alone"):
        make_grid("1, 0.0015, 0", ALL_SCHEDULES["linear"], 2)
    for times in ("1, 0.5, 0.5, 0", "1, 0.2, 0.5, 0", "0.9, 0.5, 0.1, 0", "1, 0.5, 0.2, 0.1"):
        with pytest.raises(ValueError, match="must fall from 1 to 0"):
            make_grid(times, ALL_SCHEDULES["flow"], 3)
    with pytest.raises(ValueError, match=r"has 3 steps, sampling\.steps is 4"):
        make_grid("1, 0.6, 0.2, 0", ALL_SCHEDULES["flow"], 4)


@pytest.mark.parametrize("value", ["0", "-0.5", "-3", "inf", "nan"])
@pytest.mark.parametrize("option", ["karras:rho", "trailing:shift"])
def test_options_of_grids_must_be_above_0(option: str, value: str) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        make_grid(f"{option}={value}", ALL_SCHEDULES["flow"], 4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("n", [2.5, 10.0, "10", None])
def test_step_counts_that_are_not_whole_numbers_are_refused_in_words(n: object) -> None:
    with pytest.raises(ValueError, match=rf"whole number from 1 to 1000 .* not {n!r}"):
        make_grid("linspace", ALL_SCHEDULES["linear"], n)


def test_continuous_time_takes_any_number_of_steps_but_none() -> None:
    assert len(make_grid("trailing", ALL_SCHEDULES["flow"], 3000)) == 3001
    with pytest.raises(ValueError, match="whole number of at least 1"):
        make_grid("trailing", ALL_SCHEDULES["flow"], 0)


def test_linspace_of_10_on_1000_steps_takes_the_previous_time_from_the_list() -> None:
    grid = make_grid("linspace", LINEAR, 10)
    steps = [1000, 889, 778, 667, 556, 445, 334, 223, 112, 1, 0]
    assert (grid * 1000).round().int().tolist() == steps
    # In a table counted from 0 these are 999, 888, ...: ask there, and step to what comes next.
    denoiser = Known(LINEAR)
    seen = list(DDIM()(denoiser, start(dtype=torch.float64), grid, None, forbidden))
    assert [round(step.t * 1000) for step in seen] == steps
    assert [round(t * 1000) for t in denoiser.asked] == steps[:-1]
    one, two = LINEAR.level(grid[0]), LINEAR.level(torch.tensor(0.889, dtype=torch.float64))
    eps = known_eps(seen[0].x, 999)
    x0 = (seen[0].x - one.sigma * eps) / one.alpha
    torch.testing.assert_close(seen[1].x, two.alpha * x0 + two.sigma * eps)


def test_trailing_and_quadratic_and_log_snr_grids_are_spread_as_they_say() -> None:
    steps = (make_grid("trailing", LINEAR, 10) * 1000).round().int().tolist()
    assert steps == [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    steps = (make_grid("quadratic", LINEAR, 5) * 1000).round().int().tolist()
    assert steps == [1000, 640, 360, 160, 40, 0]
    log_snr = ALL_SCHEDULES["flow"].log_snr(make_grid("log-snr", ALL_SCHEDULES["flow"], 9)[1:-1])
    torch.testing.assert_close(log_snr, torch.linspace(-7.5, 10, 8, dtype=torch.float64))
    log_snr = LINEAR.log_snr(make_grid("log-snr", LINEAR, 10)[:-1])
    # Even up to the rounding to whole steps: near the clean end they are few and far between.
    stride = (log_snr[-1] - log_snr[0]) / 9
    assert ((log_snr.diff()[:4] - stride).abs() < 0.1 * stride).all()


# --- what every sampler promises ----------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_yields_n_plus_1_finite_steps_and_ends_in_what_it_sees(
    name: str, schedule: str
) -> None:
    made, x = ALL_SCHEDULES[schedule], start(2)
    for n in range(1, 31):
        grid = make_grid("linspace", made, n)
        steps = list(make_sampler(name)(Gaussian(made, 0.3, 0.5), x, grid, None, noises(n, x)))
        assert [step.t for step in steps] == grid.tolist()
        assert torch.equal(steps[0].x, x)
        for step in steps:
            assert step.x.shape == step.x0.shape == x.shape
            assert step.x.dtype == step.x0.dtype == torch.float32
            assert step.x.isfinite().all()
            assert step.x0.isfinite().all()
        assert torch.equal(steps[-1].x, steps[-1].x0)
        # No noise is left over: the image is the last prediction.
        torch.testing.assert_close(steps[-1].x, steps[-2].x0, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_step_ends_in_the_predicted_image_on_every_grid(name: str, grid: str) -> None:
    for made in ALL_SCHEDULES.values():
        x = start(2, torch.float64)
        times = make_grid(grid, made, 12)
        steps = list(make_sampler(name)(Gaussian(made, 0.3, 0.5), x, times, None, noises(0, x)))
        torch.testing.assert_close(steps[-1].x, steps[-2].x0, rtol=0, atol=1e-6)
        assert all(step.x.isfinite().all() for step in steps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls_never_meet(name: str) -> None:
    sampler, made = make_sampler(name), ALL_SCHEDULES["cosine"]
    grid = make_grid("linspace", made, 8)

    def run(count: int) -> Tensor:
        x = start(count)
        return last(sampler(Gaussian(made, 0.3, 0.5), x, grid, None, noises(1, x)))

    first = run(4)
    assert run(7).shape[0] == 7
    assert torch.equal(run(4), first)

    # A run given up half-way leaves nothing behind either, nor do two runs side by side.
    x = start(4, seed=5)
    half = sampler(Gaussian(made, -0.3, 0.1), x, grid, None, noises(2, x))
    for _ in range(4):
        next(half)
    assert torch.equal(run(4), first)
    half.close()
    assert torch.equal(run(4), first)


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_leaves_the_noise_it_was_given_alone(name: str) -> None:
    x = start(2)
    grid = make_grid("linspace", ALL_SCHEDULES["linear"], 5)
    last(make_sampler(name)(Gaussian(ALL_SCHEDULES["linear"]), x, grid, None, noises(1, x)))
    assert torch.equal(x, start(2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_labels_reach_the_denoiser_and_each_step_costs_what_it_says(name: str) -> None:
    asked = []

    @dataclass(frozen=True)
    class Recorder:
        schedule: Schedule

        def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
            asked.append(labels)
            return Gaussian(self.schedule)(x_t, t, labels)

    x, labels = start(2), torch.tensor([3, 7])
    grid = make_grid("linspace", LINEAR, 10)
    last(make_sampler(name)(Recorder(LINEAR), x, grid, labels, noises(1, x)))
    assert len(asked) == (19 if name == "heun" else 10)
    assert all(given is labels for given in asked)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_deterministic_samplers_draw_no_noise(name: str) -> None:
    grid = make_grid("linspace", LINEAR, 10)
    assert (
        last(make_sampler(name)(Gaussian(LINEAR), start(), grid, None, forbidden)).isfinite().all()
    )


@pytest.mark.parametrize("sampler", [DDPM(), DDPM(variance="large"), DDIM(eta=1)])
def test_random_samplers_draw_anew_at_every_step_but_the_last(sampler: Sampler) -> None:
    x, drawn = start(), []
    fresh = noises(1, x)

    def noise() -> Tensor:
        drawn.append(fresh())
        return drawn[-1]

    last(sampler(Gaussian(LINEAR), x, make_grid("linspace", LINEAR, 10), None, noise))
    assert len(drawn) == 9


@pytest.mark.parametrize("schedule", ALL_TABLES)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", SAMPLERS)
@torch.no_grad()
def test_an_untrained_network_does_not_explode(name: str, net: str, schedule: str) -> None:
    """At the first cosine step, alpha = 5e-5 turns any error of eps into an enormous image."""
    torch.manual_seed(0)
    options = {"depth": 2} if net == "unet" else {}
    section = NETS[net](width=8, embedding=16, **options)
    network = make_network(section, ImageSpec((8, 8), 1, tuple("0123456789")))
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    made = ALL_SCHEDULES[schedule]
    plain = NetworkDenoiser(network.eval(), made, PARAMETRIZATIONS["eps"])
    x = torch.randn(2, 1, 8, 8)
    grid, labels = make_grid("linspace", made, 10), torch.tensor([3, 7])
    assert plain(x, grid[0], labels).x0.abs().max() > 10  # the danger is real
    steps = list(make_sampler(name)(Clipped(plain), x, grid, labels, noises(1, x)))
    assert all(step.x.isfinite().all() for step in steps)
    assert all(step.x0.abs().max() <= 1 + 1e-6 for step in steps)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_eta_outside_0_to_1_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\]"):
        DDIM(eta=eta)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("schedule", ALL_SCHEDULES)
def test_ddim_at_eta_1_is_ddpm(schedule: str, n: int) -> None:
    made, x = ALL_SCHEDULES[schedule], start(2, torch.float64)
    grid = make_grid("linspace", made, n)
    denoiser = Gaussian(made, 0.3, 0.5)
    ddim = last(DDIM(eta=1)(denoiser, x, grid, None, noises(3, x)))
    ddpm = last(DDPM()(denoiser, x, grid, None, noises(3, x)))
    torch.testing.assert_close(ddim, ddpm, rtol=1e-10, atol=1e-10)


# --- noise --------------------------------------------------------------------------------------


def test_the_noise_of_an_image_depends_on_its_seed_and_number_alone() -> None:
    def noise(seed: int, numbers: range, calls: int = 3) -> Tensor:
        fresh = ImageNoise(seed, numbers, (2, 3, 5), torch.device("cpu"))
        return torch.stack([fresh() for _ in range(calls)], dim=1)

    together = noise(7, range(10, 16))
    assert together.shape == (6, 3, 2, 3, 5)
    assert torch.equal(together[2:4], noise(7, range(12, 14)))
    for row, number in enumerate(range(10, 16)):
        source = generator(7, number)
        for call in range(3):
            assert torch.equal(together[row, call], torch.randn(2, 3, 5, generator=source))
    everything = torch.cat([together.flatten(0, 1), noise(8, range(10, 16)).flatten(0, 1)])
    assert len(everything.flatten().unique()) == everything.numel()
    many = noise(0, range(2000))
    assert many.mean().item() == pytest.approx(0, abs=5 / many.numel() ** 0.5)
    assert many.std().item() == pytest.approx(1, abs=5 / (2 * many.numel()) ** 0.5)


# --- closed forms -------------------------------------------------------------------------------


def moments(sampler: Sampler, denoiser: Denoiser, grid: Tensor) -> tuple[float, float]:
    """The exact mean and standard deviation of what ``sampler`` makes of standard normal noise.

    Row 0 starts at 0 and row 1 at 1, without further noise; each row after them starts at 0 and
    receives one of the noises that the sampler draws, with value 1.
    """
    x = torch.zeros(len(grid) + 2, 1, 1, 1, dtype=torch.float64)
    x[1] = 1
    row = 1

    def noise() -> Tensor:
        nonlocal row
        row += 1
        z = torch.zeros_like(x)
        z[row] = 1
        return z

    made = last(sampler(denoiser, x, grid, None, noise)).flatten()
    mean, gains = made[0], made[1:] - made[0]
    return mean.item(), gains.square().sum().sqrt().item()


DATA = {"mean": 0.3, "std": 0.5}
TABLES = {"linear": LINEAR, "cosine": COSINE}
DDIM_STDS = {
    "linear": {10: 0.361612, 50: 0.471915, 100: 0.485848, 1000: 0.498495},
    "cosine": {10: 0.421054, 50: 0.484538, 100: 0.492257, 1000: 0.499189},
}
DDPM_STDS = {
    "linear": {"small": 0.496110, "large": 0.500752},
    "cosine": {"small": 0.497993, "large": 0.500418},
}
FLOW_MOMENTS = {"linear": (0.299047, 0.500008), "cosine": (0.299993, 0.500000)}


def exact_flow(schedule: Schedule) -> tuple[float, float]:
    """Along the probability flow of a Gaussian, (x - alpha mean) / sqrt(alpha^2 std^2 + sigma^2)
    never changes."""
    level = schedule.level(torch.tensor(1.0, dtype=torch.float64))
    alpha, sigma = level.alpha.item(), level.sigma.item()
    gain = DATA["std"] / math.hypot(alpha * DATA["std"], sigma)
    return DATA["mean"] - gain * alpha * DATA["mean"], gain


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("n", [10, 50, 100, 1000])
@pytest.mark.parametrize("table", TABLES)
def test_ddim_makes_the_spread_of_its_closed_form(table: str, n: int) -> None:
    grid = make_grid("linspace", TABLES[table], n)
    _, std = moments(DDIM(), Gaussian(TABLES[table], **DATA), grid)
    assert std == pytest.approx(DDIM_STDS[table][n], abs=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("table", TABLES)
def test_ddpm_makes_the_spread_of_its_closed_form(table: str, variance: str) -> None:
    grid = make_grid("linspace", TABLES[table], 1000)
    mean, std = moments(DDPM(variance=variance), Gaussian(TABLES[table], **DATA), grid)
    assert std == pytest.approx(DDPM_STDS[table][variance], abs=1e-5)
    assert mean == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("table", TABLES)
def test_the_exact_probability_flow_has_the_known_moments(table: str) -> None:
    assert exact_flow(TABLES[table]) == pytest.approx(FLOW_MOMENTS[table], abs=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("sampler", [DPMSolver(), Heun()], ids=["dpm++", "heun"])
def test_second_order_samplers_reach_the_exact_flow_where_ddim_does_not(sampler: Sampler) -> None:
    """They follow it to the last step before 0, where any sampler takes the denoiser's word, which
    is less spread than the data by alpha std / sqrt(alpha^2 std^2 + sigma^2)."""
    exact_mean, exact_std = exact_flow(LINEAR)
    grid = make_grid("log-snr", LINEAR, 250)
    level = LINEAR.level(grid[-2])
    signal = level.alpha.item() * DATA["std"]
    shrunk = exact_std * signal / math.hypot(signal, level.sigma.item())
    denoiser = Gaussian(LINEAR, **DATA)
    mean, std = moments(sampler, denoiser, grid)
    assert mean == pytest.approx(exact_mean, abs=1e-5)
    assert std == pytest.approx(shrunk, abs=1e-4)
    assert abs(moments(DDIM(), denoiser, grid)[1] - shrunk) > 1e-3


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_asks_at_the_times_that_it_lists(name: str, n: int) -> None:
    denoiser = Known(LINEAR)
    grid = make_grid("linspace", LINEAR, n)
    sampler = make_sampler(name)
    last(sampler(denoiser, start(dtype=torch.float64), grid, None, noises(1, start())))
    assert sorted(denoiser.asked) == sorted(sampler.evaluations(grid))


ORDERS = {
    "ddim": (DDIM(), 0.98, 1.00),
    "dpm++": (DPMSolver(), 1.96, 2.00),
    "heun": (Heun(), 1.96, 2.02),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("schedule", ["linear", "flow"])
@pytest.mark.parametrize("name", ORDERS)
def test_errors_fall_with_the_order_of_the_method(name: str, schedule: str) -> None:
    """Uniform grids in lambda = log(alpha / sigma) from -5 to 3; halving the step divides the error
    by 2 or 4. The last step, to sigma = 0, is apart: it is exact, whatever the grid."""
    sampler, lowest, highest = ORDERS[name]
    made = ALL_SCHEDULES[schedule]
    denoiser = Gaussian(made, 0.0, 0.5)
    errors = []
    for n in (40, 80, 160, 320):
        grid = made.time_of(2 * torch.linspace(-5, 3, n + 1, dtype=torch.float64))
        spread = [
            math.hypot(level.alpha.item() * 0.5, level.sigma.item())
            for level in (made.level(grid[0]), made.level(grid[-1]))
        ]
        mean, std = moments(sampler, denoiser, grid)
        assert mean == pytest.approx(0, abs=1e-12)
        errors.append(abs(std - spread[1] / spread[0]))
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert all(lowest <= order <= highest for order in orders), orders


# --- diffusers ----------------------------------------------------------------------------------

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
dtypes = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])
tables = pytest.mark.parametrize("table", TABLES)


def their(kind: type, table: Schedule, **options: object) -> object:
    """A scheduler of theirs with our table in float64, whatever the images are: left in float32,
    its 1 - alpha_bar / alpha_bar' alone is wrong by up to 1e-4 where ours is right to 1e-6."""
    assert isinstance(table, Table)
    betas = 1 - table.alphas_bar / torch.cat([torch.ones(1).double(), table.alphas_bar[:-1]])
    scheduler = kind(num_train_timesteps=1000, trained_betas=betas.tolist(), **options)
    scheduler.betas, scheduler.alphas = betas, 1 - betas
    scheduler.alphas_cumprod = table.alphas_bar
    return scheduler


def compare(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype) -> None:
    """Every state on the way, relative to the largest."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype == dtype
        error = (mine - other).abs().max() / other.abs().max().clamp(min=1)
        assert error <= TOLERANCES[dtype]


@pytest.mark.usefixtures("unchecked")
@dtypes
@tables
@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_agrees_with_diffusers(variance: str, n: int, table: str, dtype: torch.dtype) -> None:
    scheduler = their(
        DDPMScheduler,
        TABLES[table],
        variance_type=f"fixed_{variance}",
        clip_sample=False,
        timestep_spacing="linspace",
    )
    scheduler.set_timesteps(n)
    grid = make_grid("linspace", TABLES[table], n)
    assert ((grid[:-1] * 1000).round() - 1).int().tolist() == scheduler.timesteps.tolist()

    x = start(dtype=dtype)
    ours = DDPM(variance=variance)(Known(TABLES[table]), x, grid, None, noises(4, x))
    source, theirs = torch.Generator().manual_seed(4), [x]
    for index in scheduler.timesteps.tolist():
        eps = known_eps(theirs[-1], index)
        out = scheduler.step(eps, index, theirs[-1], generator=source)
        theirs.append(out.prev_sample)
    compare([step.x for step in ours], theirs, dtype)


@pytest.mark.usefixtures("unchecked")
@dtypes
@tables
@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_agrees_with_diffusers(eta: float, n: int, table: str, dtype: torch.dtype) -> None:
    # Theirs takes the previous time from a stride, so only grids of equal strides can agree.
    scheduler = their(
        DDIMScheduler,
        TABLES[table],
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(n)
    grid = make_grid("trailing", TABLES[table], n)
    assert ((grid[:-1] * 1000).round() - 1).int().tolist() == scheduler.timesteps.tolist()

    x = start(dtype=dtype)
    ours = DDIM(eta=eta)(Known(TABLES[table]), x, grid, None, noises(4, x))
    fresh, theirs = noises(4, x), [x]
    for index in scheduler.timesteps.tolist():
        eps = known_eps(theirs[-1], index)
        out = scheduler.step(eps, index, theirs[-1], eta=eta, variance_noise=fresh())
        theirs.append(out.prev_sample)
    compare([step.x for step in ours], theirs, dtype)


@pytest.mark.usefixtures("unchecked")
@dtypes
@tables
@pytest.mark.parametrize("grid_name", ["linspace", "trailing"])
@pytest.mark.parametrize("n", [1, 2, 10, 40])
def test_dpm_solver_agrees_with_diffusers(
    n: int, grid_name: str, table: str, dtype: torch.dtype
) -> None:
    made = TABLES[table]
    scheduler = their(
        DPMSolverMultistepScheduler,
        made,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        lower_order_final=False,
    )
    grid = make_grid(grid_name, made, n)
    indices = ((grid[:-1] * 1000).round() - 1).int().tolist()
    scheduler.set_timesteps(timesteps=indices)
    level = made.level(grid)
    scheduler.sigmas = (level.sigma / level.alpha).abs()

    x = start(dtype=dtype)
    ours = DPMSolver()(Known(made), x, grid, None, forbidden)
    theirs = [x]
    for position, index in enumerate(indices):
        eps = known_eps(theirs[-1], index)
        if dtype == torch.float32:
            theirs.append(scheduler.step(eps, index, theirs[-1]).prev_sample)
            continue
        # `step` rounds to float32: call what it calls, in float64.
        scheduler._step_index = position
        x0 = scheduler.convert_model_output(eps, sample=theirs[-1])
        scheduler.model_outputs = [scheduler.model_outputs[-1], x0]
        if position in (0, n - 1):
            new = scheduler.dpm_solver_first_order_update(x0, sample=theirs[-1])
        else:
            new = scheduler.multistep_dpm_solver_second_order_update(
                scheduler.model_outputs, sample=theirs[-1]
            )
        theirs.append(new)
    compare([step.x for step in ours], theirs, dtype)


@pytest.mark.usefixtures("unchecked")
def test_options_have_the_type_of_their_defaults() -> None:
    def part(*, flag: bool = True, count: int = 1, share: float = 0.5) -> tuple[Any, ...]:
        return flag, count, share

    made = with_options("part", {"p": part}, "p:flag=false, count=3,share=1")()
    assert made == (False, 3, 1.0)
    for text in ("p:flag=no", "p:count=1.5", "p:share=much"):
        with pytest.raises(ValueError, match="must be"):
            with_options("part", {"p": part}, text)
