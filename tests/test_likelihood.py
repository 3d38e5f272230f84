"""Likelihoods against a Gaussian's, which is known."""

import math

import pytest
import torch

from common import Gaussian
from mezzotint.diffusion.likelihood import (
    bits_per_dimension,
    flow_bits,
    flow_log_likelihood,
    variational_bound,
)
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule, flow, linear
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


@every_schedule
def test_both_bounds_are_a_gaussians_bits_when_the_denoiser_is_exact(schedule: Schedule) -> None:
    x, exact = pixels_of_the_gaussian(400), Gaussian(schedule, MEAN, STD)
    width = 36 * math.log(2 / 255)
    want = bits_per_dimension(-log_density(x) - width, x).mean().item()
    bound = variational_bound(exact, x, None, torch.Generator().manual_seed(0), times=64)
    assert bits_per_dimension(bound, x).mean().item() == pytest.approx(want, abs=0.06)
    ode = flow_bits(exact, x, None, torch.Generator().manual_seed(0), steps=100)
    assert ode.mean().item() == pytest.approx(want, abs=0.01)


def test_a_wrong_model_needs_more_bits() -> None:
    x = pixels_of_the_gaussian(200)
    right, wrong = (
        variational_bound(
            Gaussian(linear(1000), MEAN, std), x, None, torch.Generator().manual_seed(0)
        )
        for std in (STD, 3 * STD)
    )
    assert wrong.mean() > right.mean() + 36 * 0.2


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
