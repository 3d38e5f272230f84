"""The original system's vocabulary, and its quick start as written."""

import pytest
import torch

from mezzotint import classic
from mezzotint.classic import GabiDiffUnet, sampling


class Oracle(torch.nn.Module):
    """Answers the noise by which ``x0`` became x_t, and remembers at which steps it was asked."""

    def __init__(self, x0):
        super().__init__()
        self.x0 = torch.nn.Parameter(x0)
        self.steps = []

    def forward(self, x_t, t, labels=None):
        self.steps.append(t.tolist())
        bar = classic.alphas_bar_t[t].float()[:, None, None, None]
        return (x_t - bar.sqrt() * self.x0) / (1 - bar).sqrt()


@pytest.fixture
def few_steps(monkeypatch):
    """Only the last 6 of the 1000 steps, so that it is quick."""
    monkeypatch.setattr(classic, "num_timesteps", 7)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return GabiDiffUnet(in_channels=1, resnet_depth=2, image_size=8)


def test_the_quick_start_runs_as_written(monkeypatch):
    monkeypatch.setattr(classic, "num_timesteps", 3)  # at the original's 32x32 steps take long
    torch.manual_seed(0)
    model = GabiDiffUnet(in_channels=1, resnet_depth=2)
    samples = sampling(model, (10, 1, 32, 32), labels=torch.arange(10))
    assert isinstance(samples, list)
    assert samples[-1].shape == (10, 1, 32, 32)
    assert samples[-1].isfinite().all()
    assert samples[-1].std() > 0


def test_the_originals_names_are_there():
    for name in [
        "linear_schedule",
        "cosine_schedule",
        "sample_q",
        "sample_p",
        "sampling",
        "compute_loss",
        "GabiDiffUnet",
    ]:
        assert callable(getattr(classic, name)), name


def test_the_default_network_is_the_originals():
    model = GabiDiffUnet(in_channels=1)
    assert sum(p.numel() for p in model.parameters()) == 51_067_777


@pytest.mark.parametrize("schedule", ["linear_schedule", "cosine_schedule"])
def test_schedules_give_a_beta_for_each_of_1001_steps(schedule):
    betas = getattr(classic, schedule)(1001)
    assert betas.shape == (1001,)
    assert betas.dtype == torch.float32
    assert (betas.diff() >= 0).all()
    assert betas[0].item() == pytest.approx(1e-4)
    assert betas[-1].item() == pytest.approx({"l": 0.02, "c": 0.999}[schedule[0]])


def test_sampling_visits_steps_1000_to_1_and_finds_the_image_that_the_network_knows():
    x0 = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    oracle = Oracle(x0)
    (image,) = sampling(oracle, (1, 1, 4, 4))
    assert oracle.steps == [[step] for step in range(1000, 0, -1)]
    # Step 0 is not quite clean: a hundredth, alphas_bar_0's root, is left of the noise.
    assert (image - x0).abs().max() < 0.05


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_of_the_last_steps_are_kept_as_asked_for(keep, few_steps, small):
    samples = sampling(small, (2, 1, 8, 8), torch.arange(2), image_noise_steps_to_keep=keep)
    assert len(samples) == keep
    assert all(sample.shape == (2, 1, 8, 8) for sample in samples)


def test_the_states_kept_end_with_the_image(few_steps, small):
    torch.manual_seed(1)
    image = sampling(small, (1, 1, 8, 8))[-1]
    torch.manual_seed(1)
    states = sampling(small, (1, 1, 8, 8), image_noise_steps_to_keep=4)
    assert torch.equal(states[-1], image)
    assert not torch.equal(states[0], image)


def test_sampling_leaves_the_network_as_it_was(few_steps, small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    kinds = [type(module) for module in small.modules()]
    sampling(small.train(), (1, 1, 8, 8), torch.tensor([3]))
    assert [type(module) for module in small.modules()] == kinds
    assert small.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert all(module.training for module in small.modules())
    assert all(p.requires_grad for p in small.parameters())


def test_labels_are_optional_and_matter(few_steps, small):
    images = []
    for labels in [None, torch.tensor([3]), torch.tensor([7])]:
        torch.manual_seed(2)
        images.append(sampling(small, (1, 1, 8, 8), labels)[-1])
    assert all(image.isfinite().all() for image in images)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_forward_steps_mix_image_and_noise_by_the_table():
    x0, eps = torch.ones(3, 1, 2, 2), torch.full((3, 1, 2, 2), -2.0)
    t = torch.tensor([0, 500, 1000])
    bar = (1 - classic.linear_schedule(1001).double()).cumprod(0)[t].float()[:, None, None, None]
    expected = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
    torch.testing.assert_close(classic.sample_q(x0, t, eps), expected)


def test_a_reverse_step_clips_the_image_it_sees_only_if_told_to():
    oracle = Oracle(torch.full((1, 1, 2, 2), 5.0))
    x_t, t = torch.zeros(1, 1, 2, 2), torch.tensor([1])
    clipped = classic.sample_p(oracle, x_t, t)
    free = classic.sample_p(oracle, x_t, t, clipping=False)
    assert clipped.max() < 1.01
    assert free.max() > 2


def test_the_last_step_adds_no_noise(small):
    x_t, t = torch.zeros(1, 1, 8, 8), torch.tensor([1])
    first, second = (classic.sample_p(small, x_t, t) for _ in range(2))
    assert torch.equal(first, second)


def test_the_loss_of_random_weights_is_a_finite_scalar_that_has_gradients(small):
    torch.manual_seed(3)
    x0, t = torch.zeros(16, 1, 8, 8), torch.randint(1, 1001, (16,))
    loss = classic.compute_loss(small, x0, t, torch.zeros(16, dtype=torch.int64))
    assert loss.shape == ()
    # About as far from unit noise as another random image is, sqrt(4 / pi) = 1.13 for Gaussians.
    assert 0.5 < loss.item() < 2
    loss.backward()
    gradients = [p.grad for p in small.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    small.zero_grad()


def test_the_loss_is_the_mean_absolute_difference_of_the_noise(small):
    x0, eps = torch.full((4, 1, 8, 8), 0.5), torch.randn(4, 1, 8, 8)
    t = torch.tensor([1, 10, 100, 1000])
    oracle = Oracle(x0)
    assert classic.compute_loss(oracle, x0, t, noise=eps).item() < 1e-3
    bar = classic.alphas_bar_t[t].float()[:, None, None, None]
    guess = small(bar.sqrt() * x0 + (1 - bar).sqrt() * eps, t)
    expected = (guess - eps).abs().mean()
    torch.testing.assert_close(classic.compute_loss(small, x0, t, noise=eps), expected)
