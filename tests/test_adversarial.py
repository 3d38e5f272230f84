"""The critic, and a few-step model against it: which loss reaches whose weights, and that both learn."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.diffusion.adversarial import Adversarial, Trial
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.objectives import Question
from mezzotint.diffusion.parametrizations import PARAMETRIZATIONS
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import SCHEDULES
from mezzotint.nets import Critic
from mezzotint.training.trainer import Trainer

FLOW = SCHEDULES["flow"]()


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


def ask(objective: Adversarial, count: int, progress: float = 0.5) -> Trial:
    source = torch.Generator().manual_seed(3)
    return objective.ask(torch.Size((count, 1, 4, 4)), FLOW, source, progress)


def parts(progress: float, penalty: float = 0.0) -> tuple[Shift, Slope, Tensor, Tensor]:
    """The two networks after a backward pass; real images and drawn ones, as the critic saw them."""
    network, critic = Shift(), Slope()
    denoiser = NetworkDenoiser(network, FLOW, PARAMETRIZATIONS["x0"])
    objective = Adversarial(critic=critic, noise=0.4, penalty=penalty)
    x0, question = images(32), ask(objective, 32, progress)
    objective(denoiser, x0, None, question).mean().backward()
    x_t = diffuse(x0, question.eps.to(x0), FLOW.level(question.t))
    veil, other = (0.4 * question.veils).unbind(1)
    return network, critic, x0 + veil, x_t + 0.1 + other


def test_each_loss_reaches_its_own_weights_alone() -> None:
    network, critic, x0, drawn = parts(progress=0.7)
    by, weight = torch.tensor(0.0, dtype=torch.float64, requires_grad=True), critic.weight.detach()
    F.softplus((x0.roll(1, 0) - drawn - by).flatten(1) @ weight).mean().backward()
    assert network.by.grad is not None
    assert by.grad is not None
    torch.testing.assert_close(network.by.grad, by.grad)
    weight = weight.clone().requires_grad_()
    F.softplus((drawn - x0.roll(1, 0)).flatten(1) @ weight).mean().backward()
    torch.testing.assert_close(critic.weight.grad, weight.grad)


def test_the_critic_learns_alone_at_first() -> None:
    network, critic, *_ = parts(progress=0.1)
    assert network.by.grad is None  # rather than 0, which an optimizer would remember
    assert critic.weight.grad is not None
    assert critic.weight.grad.abs().max() > 0


def test_the_penalty_is_the_slope_at_real_and_at_drawn_images() -> None:
    """For a linear critic (w n)^2 averages to |w|^2, once for each kind of image."""
    critic = Slope()
    objective = Adversarial(critic=critic, penalty=0.3)
    x0 = images(20_000)
    question = ask(objective, 20_000)
    weight = critic.weight.detach()
    with torch.no_grad():
        found = objective._learning(x0, x0, None, question.strides.to(x0)).mean()
    apart = (x0 - x0.roll(1, 0)).flatten(1) @ weight
    expected = F.softplus(apart).mean() + 0.3 / 2 * 2 * weight.square().sum()
    assert found.item() == pytest.approx(expected.item(), rel=0.03)


def test_a_quarter_is_pure_noise_and_the_rest_at_all_times() -> None:
    question = ask(Adversarial(critic=Slope()), 400)
    assert (question.t == 1).sum() == 100
    rest = question.t[100:].sort().values
    torch.testing.assert_close(rest, torch.linspace(0, 1, 300).double(), atol=0.1, rtol=0)


def test_a_part_of_a_trial_is_that_part_of_all_its_tensors() -> None:
    question = ask(Adversarial(critic=Slope()), 12)
    part = question.part(slice(3, 7))
    for name in ("t", "eps", "hidden", "veils", "strides"):
        assert torch.equal(getattr(part, name), getattr(question, name)[3:7])
    assert part.alone == question.alone


def test_a_question_of_another_objective_is_refused() -> None:
    question = Question(torch.ones(2).double(), images(2), torch.ones(2))
    with pytest.raises(AssertionError):
        Adversarial(critic=Slope())(
            NetworkDenoiser(Shift(), FLOW, PARAMETRIZATIONS["x0"]), images(2), None, question
        )


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (4, 4), (8, 20)])
@pytest.mark.parametrize("classes", [0, 10])
def test_a_critic_answers_each_image_by_itself(size: tuple[int, int], classes: int) -> None:
    torch.manual_seed(0)
    critic = Critic(size=size, channels=3, num_classes=classes, width=8)
    x, labels = torch.randn(4, 3, *size), torch.tensor([0, 3, 9, 3])
    answers = critic(x, labels if classes else None)
    assert answers.shape == (4,)
    assert answers.std() > 0
    alone = critic(x[2:3], labels[2:3] if classes else None)
    torch.testing.assert_close(alone, answers[2:3], rtol=1e-4, atol=1e-5)
    if classes:
        assert not torch.allclose(critic(x, (labels + 1) % 10), answers)


def few_step_recipe(**training: object):  # type: ignore[no-untyped-def]
    return tiny_recipe(
        training={"steps": 6, "optimizer": "adam", "learning_rate": 1e-3, **training},
        refinement={"reference": "someone", "critic": 8},
        sampling={"sampler": "consistency", "steps": 2, "guidance": 1.0},
    )


def make_trainer(recipe, classes: int = 10) -> Trainer:  # type: ignore[no-untyped-def]
    data = tiny_data(classes=classes)
    torch.manual_seed(0)
    earlier = build.make_denoiser(recipe, build.make_network(recipe, build.spec_of(data)).eval())
    return Trainer(recipe, data, earlier=earlier)


@pytest.mark.parametrize("classes", [0, 10])
def test_training_moves_the_critic_first_and_then_both(classes: int) -> None:
    trainer = make_trainer(few_step_recipe(), classes)
    critic = trainer.state.critic
    assert isinstance(critic, Critic)
    rates = {group["lr"] for group in trainer.state.optimizer.param_groups}
    network = trainer.state.network

    def weights(module: nn.Module) -> Tensor:
        return torch.cat([p.detach().flatten().clone() for p in module.parameters()])

    before = weights(network), weights(critic)
    trainer._step(0)
    assert torch.equal(weights(network), before[0])
    assert not torch.equal(weights(critic), before[1])
    trainer._step(5)
    assert not torch.equal(weights(network), before[0])
    slow, fast = (group["lr"] for group in trainer.state.optimizer.param_groups)
    assert fast == pytest.approx(trainer.recipe.refinement.critic_rate * slow)
    assert rates == {1e-3}


def test_the_critic_is_in_the_state_and_comes_back() -> None:
    first, second = make_trainer(few_step_recipe()), make_trainer(few_step_recipe())
    for step in range(3):
        first._step(step)
    released = {k: v.clone() for k, v in first.state.released.state_dict().items()}
    tensors = {k: v.clone() for k, v in first.state.tensors().items()}
    assert any(name.startswith("optimizer.critic.") for name in tensors)
    second.state.load(released, tensors, 3)
    for step in range(3, 6):
        first._step(step)
        second._step(step)
    for one, two in zip(first.state.tensors().items(), second.state.tensors().items(), strict=True):
        assert one[0] == two[0]
        assert torch.equal(one[1], two[1]), one[0]
