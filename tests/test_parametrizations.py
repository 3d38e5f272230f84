"""Parametrizations: what the network says and what it stands for."""

import pytest
import torch
from torch import Tensor

from mezzotint.diffusion.level import NoiseLevel
from mezzotint.diffusion.parametrizations import determinant, invert, target, with_noise
from mezzotint.diffusion.process import diffuse
from mezzotint.registry import PARAMETRIZATIONS, SCHEDULES

PAIRS = [(p, s) for p in PARAMETRIZATIONS for s in SCHEDULES]


def images(seed: int, count: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 3, 4, generator=source, dtype=torch.float64)


def levels(parametrization: str, schedule: str) -> NoiseLevel:
    """Five levels, one per image, to both ends; eps says nothing of the image where alpha is 0."""
    last = 0.999 if (parametrization, schedule) == ("eps", "flow") else 1.0
    t = torch.tensor([1e-3, 0.25, 0.5, 0.9, last], dtype=torch.float64)
    return SCHEDULES[schedule](1000).level(t)


def column(coefficient: Tensor) -> Tensor:
    return coefficient[:, None, None, None]


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "schedule"), PAIRS)
def test_inverting_the_target_gives_image_and_noise_back(name: str, schedule: str) -> None:
    level, own = levels(name, schedule), PARAMETRIZATIONS[name]
    x0, eps = images(1), images(2)
    seen = invert(own, level, diffuse(x0, eps, level), target(own, level, x0, eps))
    close(seen.x0, x0)
    close(seen.eps, eps)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_noise_of_a_clean_image_is_what_else_is_in_x_t(schedule: str) -> None:
    level = levels("v", schedule)
    x0, eps = images(1), images(2)
    prediction = with_noise(x0, diffuse(x0, eps, level), level)
    close(prediction.x0, x0)
    close(prediction.eps, eps)


@pytest.mark.parametrize(("name", "schedule"), PAIRS)
def test_any_output_stands_for_an_image_and_noise_that_make_x_t(name: str, schedule: str) -> None:
    level, own = levels(name, schedule), PARAMETRIZATIONS[name]
    x_t, output = images(3), images(4)
    seen = invert(own, level, x_t, output)
    torch.testing.assert_close(diffuse(seen.x0, seen.eps, level), x_t, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(target(own, level, seen.x0, seen.eps), output, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("name", "schedule"), PAIRS)
def test_an_error_of_the_target_is_sigma_over_det_times_as_large_in_x0(
    name: str, schedule: str
) -> None:
    level, own = levels(name, schedule), PARAMETRIZATIONS[name]
    x_t, output, error = images(3), images(4), images(5)
    right, wrong = invert(own, level, x_t, output), invert(own, level, x_t, output + error)
    ratio = column(level.sigma / determinant(own, level)).abs()
    torch.testing.assert_close((wrong.x0 - right.x0).abs(), ratio * error.abs(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_one_level_for_the_batch_is_the_same_as_one_per_image(name: str) -> None:
    own, schedule = PARAMETRIZATIONS[name], SCHEDULES["cosine"](1000)
    one = schedule.level(torch.tensor(0.4, dtype=torch.float64))
    many = schedule.level(torch.full((5,), 0.4, dtype=torch.float64))
    x, y = images(6), images(7)
    assert torch.equal(target(own, one, x, y), target(own, many, x, y))
    assert torch.equal(invert(own, one, x, y).x0, invert(own, many, x, y).x0)
    assert torch.equal(invert(own, one, x, y).eps, invert(own, many, x, y).eps)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_targets_are_the_published_ones(schedule: str) -> None:
    level = levels("eps", schedule)
    alpha, sigma = column(level.alpha), column(level.sigma)
    x0, eps = images(1), images(2)
    published = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "flow": eps - x0}
    assert set(published) == set(PARAMETRIZATIONS)
    for name, expected in published.items():
        close(target(PARAMETRIZATIONS[name], level, x0, eps), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_predicted_noise_is_inverted_as_ddpm_does(schedule: str) -> None:
    level = levels("eps", schedule)
    alpha, sigma = column(level.alpha), column(level.sigma)
    x_t, output = images(3), images(4)
    seen = invert(PARAMETRIZATIONS["eps"], level, x_t, output)
    close(seen.x0, (x_t - sigma * output) / alpha)
    assert torch.equal(seen.eps, output)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "flow"])
def test_predicted_velocity_is_inverted_as_a_rotation(schedule: str) -> None:
    level = levels("v", schedule)
    alpha, sigma = column(level.alpha), column(level.sigma)
    x_t, output = images(3), images(4)
    seen = invert(PARAMETRIZATIONS["v"], level, x_t, output)
    close(seen.x0, alpha * x_t - sigma * output)
    close(seen.eps, sigma * x_t + alpha * output)


def test_predicted_flow_is_inverted_along_the_straight_path() -> None:
    level = levels("flow", "flow")
    t = column(level.sigma)
    x_t, output = images(3), images(4)
    seen = invert(PARAMETRIZATIONS["flow"], level, x_t, output)
    close(seen.x0, x_t - t * output)
    close(seen.eps, x_t + (1 - t) * output)


def test_a_predicted_image_is_taken_at_its_word() -> None:
    level = levels("x0", "linear")
    seen = invert(PARAMETRIZATIONS["x0"], level, images(3), images(4))
    close(seen.x0, images(4))
