"""The forward process, its reversal, and the original's own steps."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mezzotint import classic
from mezzotint.diffusion.level import NoiseLevel
from mezzotint.diffusion.process import diffuse, posterior, transition_variance
from mezzotint.diffusion.schedules import Schedule, Table, cosine_betas, linear_betas
from mezzotint.registry import SCHEDULES


class Answer(nn.Module):
    """A network that always says the same, and remembers what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer, requires_grad=False)
        self.asked: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((t, labels))
        return self.answer


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, Tensor]:
    return load_file(reference / "process_vectors.safetensors")


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def at(*t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def test_sample_q_gives_the_originals_noisy_images(golden: dict[str, Tensor]) -> None:
    close(classic.sample_q(golden["x0"], golden["t"], golden["eps"]), golden["x_t"])


def textbook_step(golden: dict[str, Tensor], t: int, clipping: bool) -> Tensor:
    """Ho et al. 2020, eq. 7 and 15, in float64."""
    beta = torch.linspace(1e-4, 0.02, 1001).double()
    bar = (1 - beta).cumprod(0)
    x_t, eps, z = (golden[name].double() for name in ("x_t", "predicted_eps", "z"))
    x0 = (x_t - (1 - bar[t]).sqrt() * eps) / bar[t].sqrt()
    if clipping:
        x0 = x0.clamp(-1, 1)
    mean = bar[t - 1].sqrt() * beta[t] * x0 + (1 - beta[t]).sqrt() * (1 - bar[t - 1]) * x_t
    variance = (1 - bar[t - 1]) * beta[t] / (1 - bar[t])
    return mean / (1 - bar[t]) + variance.sqrt() * z * (t > 1)


@pytest.mark.parametrize("clipping", [True, False])
@pytest.mark.parametrize("t", [1, 2, 500, 1000])
def test_sample_p_takes_the_originals_reverse_step(
    golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, t: int, clipping: bool
) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda x: golden["z"])
    steps, net = torch.full((3,), t), Answer(golden["predicted_eps"])
    previous = classic.sample_p(net, golden["x_t"], steps, clipping=clipping)
    kind = "clipped" if clipping else "unclipped"
    # The original kept 1 - alpha_bar in float32: at the first steps, where it is 2e-4, that is
    # right to three digits only. The textbook's formula in float64 settles what is right.
    close(previous, golden[f"prev_{kind}_t{t}"], 5e-4 if clipping and t <= 2 else 1e-5)
    close(previous, textbook_step(golden, t, clipping).float(), 2e-6)


def test_the_step_to_0_of_the_original_adds_no_noise(
    golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(x: Tensor) -> Tensor:
        raise AssertionError("noise was drawn")

    monkeypatch.setattr(torch, "randn_like", forbidden)
    net = Answer(golden["predicted_eps"])
    out = classic.sample_p(net, golden["x_t"], torch.ones(3, dtype=torch.long))
    close(out, textbook_step(golden, 1, clipping=True).float(), 2e-6)
    with pytest.raises(AssertionError, match="noise was drawn"):
        classic.sample_p(net, golden["x_t"], torch.full((3,), 2))


def test_compute_loss_is_the_originals_and_hands_over_time_and_labels(
    golden: dict[str, Tensor],
) -> None:
    net, labels = Answer(golden["predicted_eps"]), torch.tensor([3, 1, 4])
    loss = classic.compute_loss(net, golden["x0"], golden["t"], labels, golden["eps"])
    close(loss, golden["l1_loss"][0])
    ((steps, given),) = net.asked
    assert steps.tolist() == [1, 500, 1000]
    assert given is labels


def test_classic_sampling_visits_every_step_and_keeps_the_last_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic, "num_timesteps", 8)
    net, labels = Answer(torch.zeros(2, 1, 4, 4)), torch.tensor([3, 7])
    torch.manual_seed(0)
    kept = classic.sampling(net, (2, 1, 4, 4), labels, image_noise_steps_to_keep=3)
    assert [t.tolist() for t, _ in net.asked] == [[i, i] for i in range(7, 0, -1)]
    assert all(torch.equal(given, labels) for _, given in net.asked)
    assert len(kept) == 3
    torch.manual_seed(0)
    (image,) = classic.sampling(net, (2, 1, 4, 4), labels)
    assert torch.equal(image, kept[-1])
    assert not torch.equal(kept[0], kept[-1])


def test_the_originals_network_can_be_sampled_and_trained_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic, "num_timesteps", 4)
    net = classic.GabiDiffUnet(in_channels=1, resnet_depth=1, image_size=4, time_emb_dim=16)
    labels = torch.arange(10)
    (images,) = classic.sampling(net, (10, 1, 4, 4), labels=labels)
    assert images.shape == (10, 1, 4, 4)
    assert images.isfinite().all()
    loss = classic.compute_loss(net, images, torch.arange(1, 11), labels)
    loss.backward()
    assert net.label_emb.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_noisy_images_have_the_mean_and_spread_of_their_level(name: str) -> None:
    source = torch.Generator().manual_seed(0)
    level = SCHEDULES[name](1000).level(at(0, 0.1, 0.5, 1))
    eps = torch.randn(4, 1, 300, 300, generator=source, dtype=torch.float64)
    x_t = diffuse(torch.full_like(eps, 0.7), eps, level)
    pixels = x_t.flatten(1)
    # Five standard errors of 90,000 pixels.
    error = 5 * level.sigma / 300 + 1e-12
    assert ((pixels.mean(1) - 0.7 * level.alpha).abs() <= error).all()
    assert ((pixels.std(1) - level.sigma).abs() <= error / 2**0.5).all()
    assert torch.equal(x_t[0], torch.full_like(x_t[0], 0.7))


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_transitions_in_a_row_are_one(name: str) -> None:
    r, s, t = (SCHEDULES[name](1000).level(at(u)[0]) for u in (0.1, 0.3, 0.8))
    through = (t.alpha / s.alpha).square() * transition_variance(s, r) + transition_variance(t, s)
    close(through, transition_variance(t, r), 1e-12)
    # From the clean image, the noise added is all the noise there is.
    clean = SCHEDULES[name](1000).level(at(0)[0])
    close(transition_variance(t, clean), t.sigma.square(), 1e-12)


@pytest.mark.parametrize(
    ("schedule", "betas"),
    [
        (SCHEDULES["linear"](1000), linear_betas(1000, dtype=torch.float64)),
        (SCHEDULES["cosine"](1000), cosine_betas(1000, lowest=0, dtype=torch.float64)),
        (Table.from_betas(cosine_betas(1000)), cosine_betas(1000)),
    ],
    ids=["linear", "cosine", "clipped cosine"],
)
def test_between_neighbours_of_a_table_the_noise_added_is_beta(
    schedule: Schedule, betas: Tensor
) -> None:
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    now, before = schedule.level(t), schedule.level((t * 1000 - 1).round() / 1000)
    close(transition_variance(now, before), betas.double(), 1e-12)
    x = torch.zeros(1000, 1, 1, 1, dtype=torch.float64)
    _, large = posterior(x, x, now, before, "large")
    close(large[1:].square(), betas[1:].double(), 1e-12)
    # Beta tilde (Ho et al. 2020, eq. 7).
    bars = (1 - betas.double()).cumprod(0)
    _, small = posterior(x, x, now, before, "small")
    tilde = (1 - bars[:-1]) / (1 - bars[1:]) * betas[1:].double()
    close(small[1:].square(), tilde, 1e-12)


TIMES = [(0.5, 0.499), (0.002, 0.001), (0.9, 0.2), (1.0, 0.5), (1.0, 0.999), (0.3, 0.01)]


@pytest.mark.parametrize(("t", "s"), TIMES)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_posterior_is_bayes_rule(name: str, t: float, s: float) -> None:
    """q(x_s | x_t, x0) is proportional to q(x_t | x_s) q(x_s | x0): here by sums on a fine line."""
    schedule = SCHEDULES[name](1000)
    now, then = schedule.level(at(t)[0]), schedule.level(at(s)[0])
    x0, x_t = 0.4, (now.alpha * 0.4 + now.sigma * 0.7).item()
    # A line wide enough for the narrower of the two factors, around its peak.
    ratio = now.alpha / then.alpha
    added = (now.sigma.square() - (ratio * then.sigma).square()).sqrt()
    narrow, peak = then.sigma, then.alpha * x0
    if ratio > 0 and added / ratio < narrow:
        narrow, peak = added / ratio, x_t / ratio
    line = peak + narrow * torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    log_prior = -0.5 * ((line - then.alpha * x0) / then.sigma).square()
    log_likelihood = -0.5 * ((x_t - ratio * line) / added).square()
    weights = (log_prior + log_likelihood).softmax(0)
    mean = (weights * line).sum()
    std = (weights * (line - mean).square()).sum().sqrt()

    pixel = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    own_mean, own_std = posterior(x_t * pixel, x0 * pixel, now, then)
    close(own_mean.squeeze(), mean, 1e-8)
    close(own_std, std, 1e-8)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("t", [0.001, 0.5, 1.0])
def test_the_posterior_at_0_is_exactly_the_clean_image(name: str, t: float, variance: str) -> None:
    schedule = SCHEDULES[name](1000)
    source = torch.Generator().manual_seed(0)
    x_t, x0 = torch.randn(2, 3, 1, 4, 4, generator=source)
    mean, std = posterior(x_t, x0, schedule.level(at(t)[0]), schedule.level(at(0)[0]), variance)
    assert torch.equal(mean, x0)
    assert std == 0


def test_levels_per_image_are_used_image_by_image() -> None:
    schedule = SCHEDULES["linear"](1000)
    source = torch.Generator().manual_seed(0)
    x_t, x0 = torch.randn(2, 3, 1, 4, 4, generator=source)
    t, s = at(0.2, 0.5, 0.9), at(0, 0.4, 0.8)
    mean, std = posterior(x_t, x0, schedule.level(t), schedule.level(s))
    for i in range(3):
        one = posterior(x_t[i : i + 1], x0[i : i + 1], schedule.level(t[i]), schedule.level(s[i]))
        close(mean[i : i + 1], one[0], 1e-6)
        assert std[i] == one[1]


def test_diffusing_mixes_image_and_noise() -> None:
    x0, eps = torch.full((2, 1, 2, 2), 2.0), torch.full((2, 1, 2, 2), 3.0)
    x_t = diffuse(x0, eps, NoiseLevel(at(0.5, 1), at(0.25, 0)))
    assert x_t.dtype == torch.float32
    assert x_t[:, 0, 0, 0].tolist() == [1.75, 2.0]
