"""Guidance and clipping: denoisers around a denoiser."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from common import Gaussian
from mezzotint.build import make_network
from mezzotint.data import ImageSpec
from mezzotint.diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule
from mezzotint.registry import NETS, PARAMETRIZATIONS, SCHEDULES


@dataclass(frozen=True)
class Constant:
    """Says 2 with labels and 1 without (noise: 20 and 10), and counts the questions."""

    schedule: Schedule = field(default_factory=SCHEDULES["flow"])
    asked: list[Tensor | None] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        self.asked.append(labels)
        value = torch.ones_like(x_t) * (1 if labels is None else 2)
        return Prediction(value, 10 * value)


def time(*t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


X = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, 7, 3])
HALF = time(0.5)[0]


def network(name: str) -> NetworkDenoiser:
    torch.manual_seed(0)
    depth = {"depth": 2} if name == "unet" else {}
    section = NETS[name](width=8, embedding=16, **depth)
    net = make_network(section, ImageSpec((8, 8), 1, tuple("0123456789")))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return NetworkDenoiser(net.eval(), SCHEDULES["flow"](), PARAMETRIZATIONS["flow"])


@pytest.mark.parametrize(("guidance", "expected"), [(0, 1), (1, 2), (3, 4), (1.5, 2.5)])
def test_scale_0_ignores_the_label_1_is_plain_and_more_exaggerates(
    guidance: float, expected: float
) -> None:
    seen = Guided(Constant(), guidance)(X, HALF, LABELS)
    assert torch.equal(seen.x0, torch.full_like(X, expected))
    assert torch.equal(seen.eps, torch.full_like(X, 10 * expected))


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_the_unconditional_pass_does_not_see_the_label(name: str) -> None:
    denoiser = network(name)
    threes, sevens = torch.full((3,), 3), torch.full((3,), 7)

    ignored = [Guided(denoiser, 0.0)(X, HALF, labels) for labels in (threes, sevens, None)]
    for other in ignored[1:]:
        assert torch.equal(ignored[0].x0, other.x0)
        assert torch.equal(ignored[0].eps, other.eps)

    for guidance in (0.5, 1.0, 3.0):
        three, seven = (Guided(denoiser, guidance)(X, HALF, y).x0 for y in (threes, sevens))
        assert ((three - seven).flatten(1).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_guidance_extrapolates_what_the_network_says(name: str) -> None:
    denoiser = network(name)
    c, u = denoiser(X, HALF, LABELS), denoiser(X, HALF, None)
    seen = Guided(denoiser, 2.5)(X, HALF, LABELS)
    torch.testing.assert_close(seen.x0, 2.5 * c.x0 - 1.5 * u.x0, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.eps, 2.5 * c.eps - 1.5 * u.eps, rtol=1e-4, atol=1e-5)
    # What was a consistent pair stays one: x_t = alpha x0 + sigma eps.
    torch.testing.assert_close(0.5 * seen.x0 + 0.5 * seen.eps, X, rtol=1e-4, atol=1e-5)


def test_the_scale_is_not_rounded_to_the_precision_of_images() -> None:
    denoiser = Constant()
    seen = Guided(denoiser, 1.1)(X.double(), HALF, LABELS)
    torch.testing.assert_close(
        seen.x0, torch.full_like(X, 2.1, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_a_second_pass_is_made_only_where_it_is_needed() -> None:
    calls = {}
    for guidance in (0.0, 1.0, 1.5):
        denoiser = Constant()
        Guided(denoiser, guidance)(X, HALF, LABELS)
        calls[guidance] = denoiser.asked
    assert len(calls[1.0]) == 1
    assert calls[1.0][0] is LABELS
    for guidance in (0.0, 1.5):
        assert len(calls[guidance]) == 2
        assert any(labels is None for labels in calls[guidance])
        assert any(labels is LABELS for labels in calls[guidance])


def test_without_labels_there_is_nothing_to_guide() -> None:
    denoiser = Constant()
    seen = Guided(denoiser, 3.0)(X, HALF, None)
    assert torch.equal(seen.x0, torch.ones_like(X))
    assert denoiser.asked == [None]


@pytest.mark.parametrize(
    ("t", "guided"), [(0.1, False), (0.2, False), (0.21, True), (0.8, True), (0.81, False)]
)
def test_guidance_acts_inside_its_interval_alone(t: float, guided: bool) -> None:
    denoiser = Constant()
    seen = Guided(denoiser, 3.0, interval=(0.2, 0.8))(X, time(t)[0], LABELS)
    assert torch.equal(seen.x0, torch.full_like(X, 4.0 if guided else 2.0))
    assert len(denoiser.asked) == (2 if guided else 1)


def test_the_interval_holds_image_by_image() -> None:
    seen = Guided(Constant(), 3.0, interval=(0.2, 0.8))(X, time(0.1, 0.5, 0.9), LABELS)
    assert seen.x0[:, 0, 0, 0].tolist() == [2, 4, 2]
    assert seen.eps[:, 0, 0, 0].tolist() == [20, 40, 20]


@pytest.mark.parametrize("t", [1e-3, 0.3, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_clipping_bounds_the_image_and_keeps_the_pair_consistent(name: str, t: float) -> None:
    schedule = SCHEDULES[name](1000)
    source = torch.Generator().manual_seed(0)
    x_t = 3 * torch.randn(4, 1, 8, 8, generator=source, dtype=torch.float64)
    plain = Gaussian(schedule, 0.5, 1.0)
    level, seen = schedule.level(time(t)[0]), Clipped(plain)(x_t, time(t)[0], None)
    assert seen.x0.abs().max() <= 1
    assert torch.equal(seen.x0, plain(x_t, time(t)[0], None).x0.clamp(-1, 1))
    again = level.alpha * seen.x0 + level.sigma * seen.eps
    torch.testing.assert_close(again, x_t, rtol=0, atol=1e-12)


def test_clipping_changes_nothing_inside_the_range() -> None:
    schedule = SCHEDULES["linear"](1000)
    plain = Gaussian(schedule, 0.0, 0.1)
    x_t, t = 0.5 * X.double(), time(0.5, 0.7, 0.9)
    seen, expected = Clipped(plain)(x_t, t, None), plain(x_t, t, None)
    assert torch.equal(seen.x0, expected.x0)
    torch.testing.assert_close(seen.eps, expected.eps)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.0])
def test_wrappers_nest_in_any_order(guidance: float) -> None:
    inner = Constant()
    outside = Clipped(Guided(inner, guidance))
    inside = Guided(Clipped(inner), guidance)
    for denoiser in (outside, inside):
        assert isinstance(denoiser, Denoiser)
        assert denoiser.schedule is inner.schedule
    assert outside(X, HALF, LABELS).x0.abs().max() <= 1
    # Clipped first, both passes say 1, whatever the scale.
    assert torch.equal(inside(X, HALF, LABELS).x0, torch.ones_like(X))


def test_a_network_is_asked_with_steps_from_1_to_T() -> None:
    asked = []

    class Network(torch.nn.Module):
        def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
            asked.append(steps)
            return torch.zeros_like(x)

    for name, T in [("linear", 1000), ("cosine", 10), ("flow", None)]:
        denoiser = NetworkDenoiser(Network(), SCHEDULES[name](T), PARAMETRIZATIONS["v"])
        seen = denoiser(X, time(0.1)[0], None)
        assert seen.x0.dtype == X.dtype
        denoiser(X, time(0.1, 0.2, 1), None)
    assert all(steps.dtype == torch.float32 for steps in asked)
    assert [steps.tolist() for steps in asked] == [
        [100, 100, 100],
        [100, 200, 1000],
        [1, 1, 1],
        [1, 2, 10],
        [100, 100, 100],
        [100, 200, 1000],
    ]
