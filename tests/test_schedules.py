"""Schedules: the published tables, the original's, and what every schedule promises."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor

from common import Gaussian
from mezzotint.diffusion.schedules import Flow, Table, cosine_betas, linear_betas
from mezzotint.registry import SAMPLERS, SCHEDULES
from mezzotint.samplers import make_grid, make_sampler

TABLES = ("linear", "cosine", "original-linear", "original-cosine")


def times(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bars(name: str, T: int) -> Tensor:
    """The alpha_bar of steps 1 to T."""
    level = SCHEDULES[name](T).level(torch.arange(1, T + 1, dtype=torch.float64) / T)
    return level.alpha.square()


def betas(name: str, T: int) -> Tensor:
    """The beta of each step: how much of what was there it takes away."""
    kept = bars(name, T)
    return 1 - kept / torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])


@pytest.mark.parametrize(("name", "make"), [("linear", linear_betas), ("cosine", cosine_betas)])
def test_tables_of_1001_betas_are_the_originals(
    reference: Path, name: str, make: Callable[[int], Tensor]
) -> None:
    golden = load_file(reference / "schedules_1001.safetensors")
    own = make(1001).double()
    # One rounding of 1 - beta in float32.
    torch.testing.assert_close(own, golden[f"{name}.betas"], rtol=0, atol=1.2e-7)
    assert own.min() == golden[f"{name}.betas"].min()
    assert own.max() == golden[f"{name}.betas"].max()
    torch.testing.assert_close(
        (1 - own).cumprod(0), golden[f"{name}.alphas_bar"], rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_levels_at_i_over_1000_are_the_originals_steps_1_to_1000(
    reference: Path, name: str
) -> None:
    golden = load_file(reference / "schedules_1001.safetensors")[f"{name}.alphas_bar"]
    schedule = SCHEDULES[f"original-{name}"](1000)
    assert schedule.timesteps == 1000
    level = schedule.level(torch.arange(1, 1001) / torch.tensor(1000, dtype=torch.float64))
    torch.testing.assert_close(level.alpha.square(), golden[1:], rtol=1e-5, atol=0)
    torch.testing.assert_close(level.sigma.square(), 1 - golden[1:], rtol=0, atol=1e-6)
    # The neighbour's entry is further away than the tolerance: an index shifted by one is seen.
    assert (golden[:-1] / golden[1:] - 1).min() > 5e-5


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
@pytest.mark.parametrize("lowest", [0.0, 1e-4])
def test_cosine_betas_are_finite_for_any_count(T: int, lowest: float) -> None:
    made = cosine_betas(T, lowest=lowest)
    assert made.shape == (T,)
    assert made.isfinite().all()
    assert ((made >= lowest * (1 - 1e-6)) & (made > 0) & (made <= 0.999 * (1 + 1e-6))).all()
    levels = Table.from_betas(made).level(torch.linspace(0, 1, 4 * T + 1, dtype=torch.float64))
    assert levels.alpha.isfinite().all()
    assert levels.sigma.isfinite().all()
    assert (levels.alpha > 0).all()


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_table_length_samples(T: int, sampler: str) -> None:
    for name in TABLES:
        schedule = SCHEDULES[name](T)
        x = torch.tensor([-2.0, 0.0, 2.0]).reshape(3, 1, 1, 1)
        steps = make_sampler(sampler)(
            Gaussian(schedule, 0.3, 0.5),
            x,
            make_grid("linspace", schedule, min(T, 5)),
            None,
            lambda: torch.ones(3, 1, 1, 1),
        )
        assert all(step.x.isfinite().all() and step.x0.isfinite().all() for step in steps)


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
def test_linear_is_ddpms_line_of_T_betas(T: int) -> None:
    line = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
    torch.testing.assert_close(betas("linear", T), line, rtol=2e-7, atol=1e-12)
    torch.testing.assert_close(bars("linear", T), (1 - line).cumprod(0), rtol=1e-6, atol=0)


def test_linear_of_1000_has_the_known_figures() -> None:
    kept = bars("linear", 1000)
    assert kept[0].item() == pytest.approx(0.9999, abs=1e-11)
    assert kept[-1].item() == pytest.approx(4.0358e-5, rel=1e-4)


def published_cosine(T: int) -> Tensor:
    """The betas of Nichol and Dhariwal 2021, eq. 17, with s = 0.008, in float64."""
    line = (torch.arange(T + 1, dtype=torch.float64) / T + 0.008) / 1.008
    f = (line * math.pi / 2).cos().square()
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
def test_cosine_is_the_published_table_of_T_betas(T: int) -> None:
    exact = published_cosine(T)
    # Away from its end a beta is the float32 difference of two numbers near 1; at its end, the quotient of
    # two small ones.
    torch.testing.assert_close(betas("cosine", T), exact, rtol=1e-4, atol=2e-7)
    torch.testing.assert_close(bars("cosine", T), (1 - exact).cumprod(0), rtol=1e-4, atol=0)


def test_cosine_of_1000_has_the_known_figures() -> None:
    found, kept = betas("cosine", 1000), bars("cosine", 1000)
    # Betas are float32 differences from 1: one unit in the last place is 6e-8.
    assert found[0].item() == pytest.approx(4.1284e-5, abs=1.2e-7)
    assert found[-1].item() == pytest.approx(0.999, abs=1e-7)
    assert kept[-1].item() == pytest.approx(2.4288e-9, rel=1e-4)
    # The closed form of the paper, away from the clipped end.
    angle = [(i / 1000 + 0.008) / 1.008 * math.pi / 2 for i in range(1000)]
    exact = torch.tensor([math.cos(a) ** 2 / math.cos(angle[0]) ** 2 for a in angle[1:]])
    torch.testing.assert_close(kept[:999], exact.double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
@pytest.mark.parametrize(
    ("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")]
)
def test_the_published_tables_are_diffusers(name: str, theirs: str, T: int) -> None:
    scheduler = DDPMScheduler(num_train_timesteps=T, beta_schedule=theirs)
    expected = scheduler.alphas_cumprod.double()
    torch.testing.assert_close(bars(name, T), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(bars(name, T), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(betas(name, T), scheduler.betas.double(), rtol=1e-4, atol=2e-7)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_published_tables_are_not_the_originals(name: str) -> None:
    apart = bars(name, 1000) / bars(f"original-{name}", 1000) - 1
    assert (apart.abs() > 5e-5).all()
    assert apart.abs().max() > 1e-3


def test_from_betas_multiplies_one_minus_beta() -> None:
    schedule = Table.from_betas(times(0.1, 0.2, 0.5))
    level = schedule.level(times(0, 1, 2, 3) / 3)
    torch.testing.assert_close(level.alpha.square(), times(1, 0.9, 0.72, 0.36))
    torch.testing.assert_close(level.sigma.square(), times(0, 0.1, 0.28, 0.64))
    assert schedule.timesteps == 3


def test_between_knots_the_logarithm_of_alpha_bar_is_linear() -> None:
    schedule = Table.from_betas(times(0.1, 0.2))
    level = schedule.level(times(0.25, 0.75))
    expected = times(0.9**0.5, 0.9 * 0.8**0.5)
    torch.testing.assert_close(level.alpha.square(), expected)


def test_schedules_are_tables_or_a_flow() -> None:
    assert set(SCHEDULES) == {*TABLES, "flow"}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 10, 1000])
def test_every_schedule_is_clean_at_0_falls_strictly_and_inverts(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T)
    assert schedule.timesteps == T

    clean = schedule.level(times(0)[0])
    assert clean.alpha.shape == clean.sigma.shape == ()
    assert clean.alpha == 1
    assert clean.sigma == 0
    assert clean.log_snr == math.inf

    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    level = schedule.level(t)
    assert level.alpha.dtype == level.sigma.dtype == torch.float64
    assert (level.alpha.diff() < 0).all()
    assert (level.sigma.diff() > 0).all()
    assert (level.log_snr[1:].diff() < 0).all()
    torch.testing.assert_close(schedule.log_snr(t), level.log_snr)
    total = level.alpha + level.sigma
    if name != "flow":
        total = level.alpha.square() + level.sigma.square()
    torch.testing.assert_close(total, torch.ones_like(t), rtol=0, atol=1e-14)

    torch.testing.assert_close(schedule.time_of(level.log_snr), t, rtol=1e-9, atol=1e-12)
    # One time at a time is the same as many.
    one = schedule.level(t[700])
    assert (one.alpha, one.sigma) == (level.alpha[700], level.sigma[700])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_last_level_of_1000_steps_is_noise(name: str) -> None:
    last = SCHEDULES[name](1000).level(times(1)[0])
    assert last.alpha < 0.01
    assert last.sigma > 0.99


def test_time_of_refuses_to_leave_the_unit_interval() -> None:
    far = times(-math.inf, -1000, 1000, math.inf)
    for name in SCHEDULES:
        schedule = SCHEDULES[name](1000)
        torch.testing.assert_close(schedule.time_of(far), times(1, 1, 0, 0), rtol=0, atol=1e-12)


def test_snap_moves_up_to_the_next_step_and_leaves_continuous_time_alone() -> None:
    t = times(1e-9, 0.05, 0.1, 0.1000001, 0.29, 0.95, 1)
    snapped = SCHEDULES["linear"](10).snap(t)
    torch.testing.assert_close(snapped, times(1, 1, 1, 2, 3, 10, 10) / 10)
    assert torch.equal(Flow().snap(t), t)
    hundredths = torch.arange(1, 101) / torch.tensor(100, dtype=torch.float64)
    assert torch.equal(SCHEDULES["linear"](100).snap(hundredths), hundredths)
    assert SCHEDULES["linear"](10).snap(torch.tensor(0.0).double()).item() == 0.1


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("timesteps", [None, 0, -1])
def test_tables_need_a_number_of_steps(name: str, timesteps: int | None) -> None:
    with pytest.raises(ValueError, match=f"timesteps >= 1, not {timesteps}"):
        SCHEDULES[name](timesteps)


def test_tables_are_of_1000_steps_if_no_number_is_given() -> None:
    for name in set(SCHEDULES) - {"flow"}:
        assert SCHEDULES[name]().timesteps == 1000


def test_flow_needs_none() -> None:
    assert SCHEDULES["flow"](None).timesteps is None


@pytest.mark.parametrize(
    "bars",
    [
        [],
        [0.5, 0.5],
        [0.5, 0.6],
        [1.0, 0.5],
        [0.5, 0.0],
        [0.5, -0.1],
        [math.nan, 0.5],
        [0.5, math.nan],
    ],
)
def test_bad_tables_are_refused(bars: list[float]) -> None:
    with pytest.raises(ValueError, match="alphas_bar must"):
        Table(torch.tensor(bars))


@pytest.mark.parametrize("betas", [[0.1, 0.0], [0.0, 0.1], [1.0], [0.1, 1.5], [-0.1, 0.2]])
def test_betas_that_add_no_noise_or_too_much_are_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="must fall strictly and lie inside"):
        Table.from_betas(torch.tensor(betas))
