"""Likelihoods against a Gaussian's, which is known."""

import math

import pytest
import torch

from common import Gaussian
from mezzotint.diffusion.level import NoiseLevel
from mezzotint.diffusion.likelihood import (
    _cleanest,
    _discrete_log_likelihood,
    bits_per_dimension,
    dequantized,
    flow_bits,
    flow_log_likelihood,
    variational_bound,
)
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule, Table, flow, linear
from mezzotint.evaluation.denoising_classifier import denoising_errors
from mezzotint.registry import SCHEDULES

MEAN, STD = 0.1, 0.3

every_schedule = pytest.mark.parametrize(
    "schedule",
    [make(None if name == "flow" else 1000) for name, make in SCHEDULES.items()],
    ids=SCHEDULES,
)


def log_density(x: torch.Tensor) -> torch.Tensor:
    each = -0.5 * ((x - MEAN) / STD).square() - math.log(STD) - 0.5 * math.log(2 * math.pi)
    return each.flatten(1).sum(1)


def pixels_of_the_gaussian(count: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    x = MEAN + STD * torch.randn(count, 1, 6, 6, generator=source, dtype=torch.float64)
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


@every_schedule
def test_probability_flow_gives_a_gaussians_log_density(schedule: Schedule) -> None:
    x = MEAN + STD * torch.randn(
        8, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    found = flow_log_likelihood(
        Gaussian(schedule, MEAN, STD), x, None, torch.Generator().manual_seed(0), steps=400
    )
    # The flow starts at the cleanest step of a table, where the data are a little wider.
    torch.testing.assert_close(found, log_density(x), rtol=0, atol=0.25)
    start = schedule.level(schedule.time_of(_cleanest(schedule, 2 * math.log(1 / 1e-3 - 1))))
    std = (start.alpha.square() * STD**2 + start.sigma.square()).sqrt()
    wider = torch.distributions.Normal(start.alpha * MEAN, std).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(found, wider, rtol=0, atol=0.02)


@every_schedule
def test_both_bounds_are_a_gaussians_bits_when_the_denoiser_is_exact(schedule: Schedule) -> None:
    x, exact = pixels_of_the_gaussian(400), Gaussian(schedule, MEAN, STD)
    width = 36 * math.log(2 / 255)
    want = bits_per_dimension(-log_density(x) - width, x).mean().item()
    bound = variational_bound(exact, x, None, torch.Generator().manual_seed(0), times=64)
    assert bits_per_dimension(bound, x).mean().item() == pytest.approx(want, abs=0.06)
    ode = flow_bits(exact, x, None, torch.Generator().manual_seed(0), steps=100)
    assert ode.mean().item() == pytest.approx(want, abs=0.01)


def test_a_table_that_ends_before_the_noise_pays_for_what_is_left_of_the_image() -> None:
    """An exact denoiser's bound is loose by KL(q(x_1) || N(0, 1)) alone."""
    table = Table(linear(1000).alphas_bar[:100])
    last = table.level(torch.tensor(1.0).double())
    variance = (last.alpha.square() * STD**2 + last.sigma.square()).item()
    divergence = 0.5 * ((last.alpha.item() * MEAN) ** 2 + variance - 1 - math.log(variance))
    x = pixels_of_the_gaussian(400)
    exact = bits_per_dimension(-log_density(x) - 36 * math.log(2 / 255), x).mean().item()
    source = torch.Generator().manual_seed(0)
    bound = variational_bound(Gaussian(table, MEAN, STD), x, None, source, times=64)
    loose = bits_per_dimension(bound, x).mean().item() - exact
    assert loose == pytest.approx(divergence / math.log(2), abs=0.08)
    assert loose > 0.5


def test_the_flow_of_pixels_that_depend_on_each_other_has_their_log_density() -> None:
    """The divergence is the sum of each pixel's own slope, without those across pixels."""
    covariance = STD**2 * torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double()

    class Correlated:
        schedule = flow()

        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: None) -> Prediction:
            level = self.schedule.level(t)
            noisy = level.alpha.square() * covariance + level.sigma.square() * torch.eye(2)
            gain = level.alpha * covariance @ torch.linalg.inv(noisy)
            x0 = (x_t.flatten(1) @ gain.T).view_as(x_t)
            return Prediction(x0, (x_t - level.alpha * x0) / level.sigma)

    density = torch.distributions.MultivariateNormal(torch.zeros(2).double(), covariance)
    torch.manual_seed(0)
    x = density.sample((64,))
    source = torch.Generator().manual_seed(0)
    log_p = flow_log_likelihood(Correlated(), x.view(64, 1, 1, 2), None, source, steps=400)
    assert (log_p - density.log_prob(x)).mean().item() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_flow_is_followed_in_as_many_steps_as_asked_from_its_start(steps: int) -> None:
    times = []

    class Recorder(Gaussian):
        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: None) -> Prediction:
            times.append(t.item())
            return super().__call__(x_t, t, labels)

    image = pixels_of_the_gaussian(1)
    source = torch.Generator().manual_seed(0)
    flow_log_likelihood(Recorder(flow(), MEAN, STD), image, None, source, steps=steps, start=0.01)
    assert len(times) == 2 * steps
    # Of the straight path, u = sigma / (alpha + sigma) is the time itself.
    assert times[0] == pytest.approx(0.01)
    assert times[-1] == pytest.approx(1 - 1e-4)
    times.clear()
    flow_bits(Recorder(flow(), MEAN, STD), image, None, source)
    assert len(times) == 100


def test_a_wrong_model_needs_more_bits() -> None:
    x = pixels_of_the_gaussian(200)
    right, wrong = (
        variational_bound(
            Gaussian(linear(1000), MEAN, std), x, None, torch.Generator().manual_seed(0)
        )
        for std in (STD, 3 * STD)
    )
    assert wrong.mean() > right.mean() + 36 * 0.2


def test_pixels_are_as_likely_as_their_share_of_the_256_values_near_by() -> None:
    """Also where much of the image is gone, which would make a loose bound but a clear test."""
    level = NoiseLevel(torch.tensor(0.6).double(), torch.tensor(0.03).double())
    x0 = torch.tensor([0.0, 17.0, 255.0]).double() / 127.5 - 1
    z = 0.6 * x0 + torch.tensor([0.01, -0.02, 0.03]).double()
    values = torch.arange(256).double() / 127.5 - 1
    expected = 0.0
    for right, seen in zip(x0.tolist(), z.tolist(), strict=True):
        near = (-((seen - 0.6 * values) / 0.03).square() / 2).exp()
        expected += math.log(math.exp(-(((seen - 0.6 * right) / 0.03) ** 2) / 2) / near.sum())
    found = _discrete_log_likelihood(x0.view(1, 1, 1, 3), level, z.view(1, 1, 1, 3))
    assert found.item() == pytest.approx(expected)


def test_no_bound_begins_before_the_first_step_of_a_table() -> None:
    first = linear(10).log_snr(torch.tensor(0.1).double()).item()
    assert _cleanest(linear(10), 100.0).item() == pytest.approx(first)
    assert _cleanest(linear(10), first - 1).item() == pytest.approx(first - 1)
    assert _cleanest(flow(), 100.0).item() == 100


def test_images_are_spread_over_the_width_of_a_pixel_value() -> None:
    image = torch.zeros(1, 1, 200, 200, dtype=torch.float64)
    off = dequantized(image, torch.Generator().manual_seed(0)).abs().max().item()
    assert 0.999 / 255 < off <= 1 / 255


def test_bits_of_pixels_are_those_of_the_density_over_the_width_of_a_value() -> None:
    image = pixels_of_the_gaussian(2)
    exact = Gaussian(flow(), MEAN, STD)
    bits = flow_bits(exact, image, None, torch.Generator().manual_seed(0), steps=3)
    source = torch.Generator().manual_seed(0)
    log_p = flow_log_likelihood(exact, dequantized(image, source), None, source, steps=3)
    torch.testing.assert_close(bits, -(log_p / 36 + math.log(2 / 255)) / math.log(2))


def test_a_bound_takes_16_evaluations() -> None:
    calls = []

    class Recorder(Gaussian):
        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: None) -> Prediction:
            calls.append(t)
            return super().__call__(x_t, t, labels)

    image = pixels_of_the_gaussian(1)
    variational_bound(Recorder(flow(), MEAN, STD), image, None, torch.Generator().manual_seed(0))
    assert len(calls) == 16


def test_labels_are_compared_at_times_all_over_from_3_to_9_tenths() -> None:
    times = []

    class Recorder(Gaussian):
        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> Prediction:
            times.append(t)
            return super().__call__(x_t, t, labels)

    image = pixels_of_the_gaussian(1)
    source = torch.Generator().manual_seed(0)
    denoising_errors(Recorder(flow(), MEAN, STD), image, 1, source)
    parts = (torch.cat(times) - 0.3) / 0.6 * 8
    assert parts.floor().tolist() == list(range(8))


def test_errors_under_a_label_are_mean_squares() -> None:
    class Off:
        """Wrong by half of the label in every pixel."""

        schedule = flow()

        def __init__(self, images: torch.Tensor) -> None:
            self.images = images

        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> Prediction:
            x0 = self.images + labels[:, None, None, None] / 2
            return Prediction(x0, x0)

    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    errors = denoising_errors(Off(images), images, 4, torch.Generator().manual_seed(0), draws=3)
    torch.testing.assert_close(errors, torch.tensor([0.0, 0.25, 1.0, 2.25]).expand(3, 4))


def test_the_label_that_denoises_best_is_the_images_own() -> None:
    class ByLabel:
        """Class k is a flat image of grey k/4 - 1/2, nearly."""

        schedule = flow()

        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> Prediction:
            means = [Gaussian(self.schedule, k / 4 - 0.5, 0.1)(x_t, t, None).x0 for k in range(5)]
            x0 = torch.stack([means[label][row] for row, label in enumerate(labels.tolist())])
            return Prediction(x0, x0)

    truth = torch.tensor([4, 0, 2, 1, 3])
    images = (truth / 4 - 0.5)[:, None, None, None].expand(5, 1, 4, 4).clone()
    errors = denoising_errors(ByLabel(), images, 5, torch.Generator().manual_seed(0))
    assert errors.argmin(1).tolist() == truth.tolist()
