"""The critic, and a few-step model against it: which loss reaches whose weights, and that both learn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.process import diffuse
from mezzotint.nets import Critic, FeatureCritic
from mezzotint.nets.critic import Scorer
from mezzotint.objectives.adversarial import AdversarialDraws, AdversarialTuning
from mezzotint.objectives.base import Context
from mezzotint.objectives.critics import features_of, make_critic
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.objectives import AdversarialRefinement
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import override
from mezzotint.registry import PARAMETRIZATIONS, SCHEDULES
from mezzotint.runs.initial import InitialModel
from mezzotint.runs.train import make_trainer
from mezzotint.training.trainer import Trainer

FLOW = SCHEDULES["flow"]()
FEATURES = ["own", "model"]


class Shift(nn.Module):
    """An x0 network whose image is a shift of what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        return x + self.by


class Slope(nn.Module):
    """A critic that is linear, so that its slope is its weight's norm everywhere."""

    def __init__(self, pixels: int = 16) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(pixels, generator=source, dtype=torch.float64))

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        return x.flatten(1) @ self.weight


def images(count: int) -> Tensor:
    source = torch.Generator().manual_seed(2)
    return torch.randn(count, 1, 4, 4, generator=source, dtype=torch.float64)


def noise(count: int) -> Tensor:
    source = torch.Generator().manual_seed(4)
    return torch.randn(count, 5, 1, 4, 4, generator=source, dtype=torch.float64)


def draw(objective: AdversarialTuning, count: int, progress: float = 0.5) -> AdversarialDraws:
    return objective.draw(count, FLOW, torch.Generator().manual_seed(3), progress)


def partners(values: Tensor) -> Tensor:
    """0 and 1 change places, 2 and 3, and so on."""
    return values[torch.arange(len(values)) + torch.tensor([1, -1]).repeat(len(values) // 2)]


def after_backward(progress: float) -> tuple[Shift, Slope, Tensor, Tensor]:
    """The two networks after a backward pass; real and generated images, as the critic saw them."""
    network, critic = Shift(), Slope()
    denoiser = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["x0"])
    objective = AdversarialTuning(critic=critic, instance_noise=0.4, gradient_penalty=0.0)
    x0, draws = images(32), draw(objective, 32, progress)
    objective.loss(denoiser, x0, None, draws, noise(32)).mean().backward()
    eps, real_noise, generated_noise, *_ = noise(32).unbind(1)
    x_t = diffuse(x0, eps, FLOW.level(draws.t))
    return network, critic, x0 + 0.4 * real_noise, x_t + 0.1 + 0.4 * generated_noise


def test_each_loss_reaches_its_own_weights_alone() -> None:
    network, critic, real, generated = after_backward(progress=0.7)
    by, weight = torch.tensor(0.0, dtype=torch.float64, requires_grad=True), critic.weight.detach()
    F.softplus((partners(real) - generated - by).flatten(1) @ weight).mean().backward()
    assert network.by.grad is not None
    assert by.grad is not None
    torch.testing.assert_close(network.by.grad, by.grad)
    weight = weight.clone().requires_grad_()
    F.softplus((generated - partners(real)).flatten(1) @ weight).mean().backward()
    torch.testing.assert_close(critic.weight.grad, weight.grad)


def test_the_critic_learns_alone_at_first() -> None:
    network, critic, real, generated = after_backward(progress=0.1)
    assert network.by.grad is None  # rather than 0, which an optimizer would remember
    weight = critic.weight.detach().clone().requires_grad_()
    F.softplus((generated - partners(real)).flatten(1) @ weight).mean().backward()
    torch.testing.assert_close(critic.weight.grad, weight.grad)
    assert critic.weight.grad is not None
    assert critic.weight.grad.abs().max() > 0


def test_the_penalty_is_the_slope_at_real_and_at_generated_images() -> None:
    """For a linear critic (w n)^2 averages to |w|^2, once for each kind of image."""
    critic = Slope()
    objective = AdversarialTuning(critic=critic, gradient_penalty=0.3)
    x0 = images(20_000)
    weight = critic.weight.detach()
    *_, one, other = noise(20_000).unbind(1)
    with torch.no_grad():
        found = objective._critic_loss(x0, x0, None, None, torch.cat([one, other])).mean()
    apart = (x0 - partners(x0)).flatten(1) @ weight
    expected = F.softplus(apart).mean() + 0.3 / 2 * 2 * weight.square().sum()
    assert found.item() == pytest.approx(expected.item(), rel=0.03)


@pytest.mark.parametrize(("options", "pure"), [({}, 100), ({"pure_noise": 0.7}, 280)])
def test_a_share_is_pure_noise_and_the_rest_at_all_times(
    options: dict[str, float], pure: int
) -> None:
    draws = draw(AdversarialTuning(critic=Slope(), **options), 400)
    assert (draws.t == 1).sum() == pure
    rest = draws.t[pure:].sort().values
    expected = torch.linspace(0, 1, 400 - pure).double()
    torch.testing.assert_close(rest, expected, atol=0.1, rtol=0)


def test_all_may_be_pure_noise() -> None:
    assert (draw(AdversarialTuning(critic=Slope(), pure_noise=1.0), 400).t == 1).all()


@pytest.mark.parametrize("rows", [slice(2, 8), torch.tensor([8, 9, 0, 1])], ids=["slice", "rows"])
def test_a_part_of_draws_is_those_rows_of_all_its_tensors(rows: slice | Tensor) -> None:
    objective = AdversarialTuning(critic=Slope(), head_start=0.5)
    for progress in (0.2, 0.7):
        draws = draw(objective, 12, progress)
        part = draws.part(rows)
        assert isinstance(part, AdversarialDraws)
        assert torch.equal(part.t, draws.t[rows])
        assert part.critic_only == draws.critic_only == (progress < 0.5)


class Curved(nn.Module):
    """A critic that is neither linear nor blind to labels."""

    def __init__(self) -> None:
        super().__init__()
        self.slope, self.table = Slope(), nn.Embedding(10, 16, dtype=torch.float64)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        bent = self.slope(x.tanh(), None)
        return bent if labels is None else bent + (x.sin().flatten(1) * self.table(labels)).sum(1)


@pytest.mark.parametrize("progress", [0.1, 0.7])
@pytest.mark.parametrize("classes", [0, 10])
def test_the_loss_of_a_batch_is_that_of_its_parts_in_whole_pairs(
    classes: int, progress: float
) -> None:
    torch.manual_seed(0)
    objective = AdversarialTuning(
        critic=Curved(), gradient_penalty=0.3, classes=classes, wrong_labels=0.5
    )
    denoiser = NetworkDenoiser(Shift(), FLOW, PARAMETRIZATIONS["x0"])
    draws, x0, eps = draw(objective, 12, progress), images(12), noise(12)
    labels = torch.arange(12) % 10 if classes else None

    def loss(rows: slice | Tensor) -> Tensor:
        own = None if labels is None else labels[rows]
        return objective.loss(denoiser, x0[rows], own, draws.part(rows), eps[rows])

    whole = loss(slice(None))
    assert len(whole.unique()) == 12
    # As parts of one process, or as the pairs of every second and third one.
    for rows in (slice(0, 2), slice(2, 8), slice(8, 12), torch.tensor([2, 3, 6, 7, 10, 11])):
        torch.testing.assert_close(loss(rows), whole[rows])
    # What is compared with what matters: other pairs, other losses.
    others = torch.tensor([0, 2, 1, 3])
    assert (loss(others) - whole[others]).abs().min() > 1e-6


@pytest.mark.parametrize("progress", [0.1, 0.7])
def test_each_of_the_five_noises_matters(progress: float) -> None:
    objective = AdversarialTuning(critic=Curved(), gradient_penalty=0.3)
    assert objective.noises == 5
    denoiser = NetworkDenoiser(Shift(), FLOW, PARAMETRIZATIONS["x0"])
    draws = draw(objective, 4, progress)
    losses = objective.loss(denoiser, images(4), None, draws, noise(4))
    for k in range(5):
        changed = noise(4)
        changed[:, k] *= -1
        other = objective.loss(denoiser, images(4), None, draws, changed)
        assert (other != losses).all(), k


class Recorder(Curved):
    """A critic that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        self.calls.append((x.detach().clone(), labels))
        return super().forward(x, labels)


def test_a_share_of_what_the_critic_is_to_refuse_is_real_with_a_wrong_label() -> None:
    torch.manual_seed(0)
    critic, count = Recorder(), 4000
    objective = AdversarialTuning(
        critic=critic, classes=10, wrong_labels=0.3, instance_noise=0.4, gradient_penalty=0.0
    )
    denoiser = NetworkDenoiser(Shift(), FLOW, PARAMETRIZATIONS["x0"])
    x0, eps, labels = images(count), noise(count), torch.arange(count) % 10
    draws = draw(objective, count, progress=0.9)
    objective.loss(denoiser, x0, labels, draws, eps)
    of_the_critic, real_again, of_the_generator = critic.calls
    assert of_the_critic[1] is not None
    real, negative, *_ = of_the_critic[0].chunk(4)
    real_labels, negative_labels, *_ = of_the_critic[1].chunk(4)
    assert torch.equal(real, x0 + 0.4 * eps[:, 1])
    assert torch.equal(real_labels, labels)
    wrong = negative_labels != labels
    assert wrong.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(negative[wrong], real[wrong])
    generated = diffuse(x0, eps[:, 0], FLOW.level(draws.t)) + 0.1 + 0.4 * eps[:, 2]
    torch.testing.assert_close(negative[~wrong], generated[~wrong])
    shifts = torch.bincount((negative_labels - labels)[wrong] % 10, minlength=10)
    assert shifts[1:].min() > 0.7 * shifts[1:].double().mean()
    # What teaches the generator is as without wrong labels.
    torch.testing.assert_close(of_the_generator[0], generated)
    assert torch.equal(real_again[0], real)
    assert of_the_generator[1] is labels
    assert real_again[1] is labels


def test_without_wrong_labels_draws_and_noise_are_what_they_were() -> None:
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    AdversarialTuning(critic=Slope()).draw(8, FLOW, one, 0.5)
    torch.rand(8, generator=other, dtype=torch.float64)
    torch.randperm(8, generator=other)
    assert torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=other))


@pytest.mark.parametrize("classes", [0, 1])
def test_labels_are_not_to_be_wrong_where_none_can_be(classes: int) -> None:
    recipe = adversarial_recipe()
    data = tiny_data(classes=classes)
    initial = build.new_denoiser(recipe, data.spec)
    build.make_objective(recipe.objective, data.spec, initial=initial)
    section = replace(recipe.objective, wrong_labels=0.5)
    with pytest.raises(ValueError, match=r"objective\.wrong_labels = 0\.5: .* say 0"):
        build.make_objective(section, data.spec, initial=initial)


def test_a_critic_that_learns_alone_to_the_end_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"objective\.head_start = 1: .* less than 1"):
        override(adversarial_recipe(), {"objective": {"head_start": 1.0}})


@pytest.mark.parametrize("count", [1, 7])
def test_images_that_cannot_be_paired_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=rf"a batch of {count} images cannot be paired"):
        draw(AdversarialTuning(critic=Slope()), count)
    with pytest.raises(RecipeError, match=rf"training\.batch = {count}: .* must be even"):
        adversarial_recipe(batch=count)
    data, recipe = tiny_data(), adversarial_recipe()
    denoiser = build.new_denoiser(recipe, data.spec)
    with pytest.raises(ValueError, match=rf"training\.batch = {count} .* in groups of 2"):
        Trainer(
            denoiser,
            build.make_objective(recipe.objective, data.spec, initial=denoiser),
            data,
            replace(recipe.training, batch=count),
        )


def check_answers(critic: Scorer, x: Tensor, classes: int) -> None:
    """Each image has an answer of its own, which its neighbours do not change and its class does."""
    labels = torch.tensor([0, 3, 9, 3])
    answers = critic(x, labels if classes else None)
    assert answers.shape == (4,)
    assert answers.std() > 0
    alone = critic(x[2:3], labels[2:3] if classes else None)
    torch.testing.assert_close(alone, answers[2:3], rtol=1e-4, atol=1e-5)
    if classes:
        assert not torch.allclose(critic(x, (labels + 1) % 10), answers)


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (4, 4), (8, 20)])
@pytest.mark.parametrize("classes", [0, 10])
def test_a_critic_answers_each_image_by_itself(size: tuple[int, int], classes: int) -> None:
    torch.manual_seed(0)
    critic = Critic(size=size, channels=3, num_classes=classes, width=8)
    check_answers(critic, torch.randn(4, 3, *size), classes)


def feature_critic(net: dict[str, Any], classes: int = 10, size: int = 16) -> FeatureCritic:
    """A critic that judges by the features of a network with random weights."""
    recipe = tiny_recipe(net=net)
    data = tiny_data(classes=classes, size=size)
    torch.manual_seed(0)
    denoiser = build.new_denoiser(recipe, data.spec)
    context = Context(classes, data.spec.size, data.spec.channels, initial=denoiser)
    critic = make_critic(adversarial_recipe("model").objective, context)
    assert isinstance(critic, FeatureCritic)
    return critic


NETS = [
    {"name": "lean", "width": 8, "heads": 2, "groups": 2, "embedding": 16, "blocks": 1},
    {"name": "unet", "width": 8, "depth": 2, "groups": 2, "embedding": 16},
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net["name"])
@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("size", [16, 48])
def test_a_critic_of_features_answers_each_image_by_itself(
    net: dict[str, Any], classes: int, size: int
) -> None:
    critic = feature_critic(net, classes, size)
    check_answers(critic, torch.randn(4, 1, size, size), classes)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net["name"])
def test_the_features_are_no_part_of_the_critic_and_lead_to_the_image(net: dict[str, Any]) -> None:
    critic = feature_critic(net)
    x = torch.randn(2, 1, 16, 16, requires_grad=True)
    critic(x, torch.tensor([1, 2])).sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).norm(dim=1) > 0).all()
    assert all(name.split(".")[0] in PARTS for name, _ in critic.named_parameters())
    assert all(p.grad is not None for p in critic.parameters())


PARTS = {"levels", "gather", "answer", "label"}


class Recorded(nn.Module):
    """A network whose only feature is what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.steps: list[Tensor] = []

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> Tensor:
        return x

    def features(self, x: Tensor, steps: Tensor, labels: Tensor | None) -> tuple[Tensor]:
        self.steps.append(steps)
        return (x,)


@pytest.mark.parametrize(
    ("schedule", "timesteps"), [("flow", None), ("linear", 1000), ("cosine", 1000), ("flow", 8)]
)
@pytest.mark.parametrize("noise", [0.0, 0.4, 3.0])
def test_features_are_those_at_the_time_of_the_noise(
    schedule: str, timesteps: int | None, noise: float
) -> None:
    """x + s n, scaled by alpha, is the noisy image of the time at which sigma / alpha is s."""
    network, made = Recorded(), SCHEDULES[schedule](timesteps)
    denoiser = NetworkDenoiser(network, made, PARAMETRIZATIONS["x0"])
    x = torch.ones(3, 1, 2, 2)
    (found,) = features_of(denoiser, noise)(x, None)
    (steps,) = network.steps
    assert steps.shape == (3,)
    alpha = found[0, 0, 0, 0].double()
    level = made.level(steps[0].double() / (timesteps or 1000))
    torch.testing.assert_close(alpha, level.alpha, rtol=1e-6, atol=1e-6)
    sigma = float(level.sigma / level.alpha)
    before = made.level((steps[0].double() - 1).clamp(min=0) / (timesteps or 1000))
    if timesteps is None:
        assert sigma == pytest.approx(noise, abs=1e-6)
    else:  # the discrete time at it or next after it
        assert float(before.sigma / before.alpha) <= noise + 1e-6
        assert sigma >= noise - 1e-6


class Layered(Shift):
    """A network of somebody's, with layers of this name."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()


@pytest.mark.parametrize("network", [Shift(), Layered()], ids=["nothing", "layers"])
def test_a_network_without_the_method_is_refused_in_words(network: nn.Module) -> None:
    denoiser = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["x0"])
    context = Context(10, (8, 8), 1, initial=denoiser)
    with pytest.raises(ValueError, match=r"critic_features = 'model': .* no method features; say"):
        make_critic(adversarial_recipe("model").objective, context)


def test_features_that_do_not_fold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"7x7 cannot be folded .* 3x3"):
        FeatureCritic(lambda x, labels: [], shapes=[(4, 7, 7), (8, 3, 3)])


def adversarial_recipe(features: str = "own", **training: Any) -> Recipe:
    return tiny_recipe(
        training={"steps": 6, "optimizer": "adam", "learning_rate": 1e-3, **training},
        objective={
            "name": "adversarial",
            "reference": "someone",
            "critic": 8,
            "critic_features": features,
        },
        sampling={"sampler": "consistency", "steps": 2, "guidance": 1.0},
    )


def new_trainer(recipe: Recipe, classes: int = 10) -> Trainer:
    data = tiny_data(classes=classes)
    torch.manual_seed(0)
    network = build.make_network(recipe.net, data.spec).eval()
    with torch.no_grad():
        for (
            parameter
        ) in network.parameters():  # some begin at zero, and hold the others' gradients up
            parameter.add_(0.1 * torch.randn_like(parameter))
    initial = InitialModel(Path("nowhere"), build.make_denoiser(recipe.diffusion, network))
    trainer = make_trainer(recipe, data, initial)
    for name, value in trainer.state.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    return trainer


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


@pytest.mark.parametrize(("features", "kind"), [("own", Critic), ("model", FeatureCritic)])
@pytest.mark.parametrize("classes", [0, 10])
def test_training_moves_the_critic_first_and_then_both(
    classes: int, features: str, kind: type[Scorer]
) -> None:
    trainer = new_trainer(adversarial_recipe(features), classes)
    critic, network = trainer.state.beside["critic"], trainer.state.network
    assert isinstance(critic, kind)
    rates = {group["lr"] for group in trainer.state.optimizer.param_groups}
    begun = weights(network)
    for step in range(6):
        before = weights(network), weights(critic)
        result = trainer.step()
        assert not torch.equal(weights(critic), before[1]), step
        if step < 4:  # until 0.6 of the run
            assert torch.equal(weights(network), begun), step
            assert result.gradient_norm == 0
        else:
            assert not torch.equal(weights(network), before[0]), step
            assert result.gradient_norm > 0
        assert result.beside_norm > 0
    slow, fast = (group["lr"] for group in trainer.state.optimizer.param_groups)
    objective = adversarial_recipe().objective
    assert isinstance(objective, AdversarialRefinement)
    assert fast == pytest.approx(objective.critic_rate * slow)
    assert rates == {1e-3}


@pytest.mark.parametrize("features", FEATURES)
def test_training_does_not_depend_on_the_parts_a_batch_is_computed_in(features: str) -> None:
    losses, gradients = [], list[Tensor]()

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients.append(torch.cat([p.grad.flatten().clone() for p in parameters]))

    for accumulate in (1, 2, 3, 8):
        trainer = new_trainer(adversarial_recipe(features, accumulate=accumulate))
        trainer.state.optimizer.register_step_pre_hook(remember)
        trainer.state.step = 4  # both learn
        losses.append(trainer.step().loss)
    assert (gradients[0].abs() > 1e-5).double().mean() > 0.9
    for loss, gradient in zip(losses[1:], gradients[1:], strict=True):
        torch.testing.assert_close(loss, losses[0])
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("features", FEATURES)
def test_the_critic_is_in_the_state_and_comes_back(features: str) -> None:
    first, second = (new_trainer(adversarial_recipe(features)) for _ in range(2))
    for _ in range(3):
        first.step()
    saved = {k: v.clone() for k, v in first.state.sampling_network.state_dict().items()}
    tensors = {k: v.clone() for k, v in first.state.tensors().items()}
    assert any(name.startswith("optimizer.critic.") for name in tensors)
    assert any(name.startswith("critic.") for name in tensors)
    second.state.load(saved, tensors, first.state.step)
    assert (second.state.step, second.state.images) == (3, 24)
    for _ in range(3, 6):
        first.step()
        second.step()
    for one, two in zip(first.state.tensors().items(), second.state.tensors().items(), strict=True):
        assert one[0] == two[0]
        assert torch.equal(one[1], two[1]), one[0]
