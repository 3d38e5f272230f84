"""Refinement of a few-step model, whose jumps a critic learns to tell from real images.

What a distilled model answers is an image, not an average over images, so how real it looks can be asked
of it directly. A critic D is trained beside it, and both by the relativistic loss (Jolicoeur-Martineau
2019, "The relativistic discriminator"; Huang et al. 2024, "The GAN is dead; long live the GAN!")::

    generator   softplus( D(x + s n) - D(f(x_t, t) + s n') )
    critic      softplus( D(f(x_t, t) + s n') - D(x + s n) ) + gamma / 2 |grad D|^2

f jumps to the end from any moment of a path: pure noise for a quarter of the images, for the others real
images under noise, which is what sampling in several steps asks of it (Kim et al. 2024, "Consistency
Trajectory Models", whose distillation has a critic too). The images of a batch
are paired, and a generated image is compared with the real one of its partner, not with the one that it was
made from. The critic sees both through noise
(Arjovsky and Bottou 2017), or it would find the finest differences and nothing else, and its slope is
held down at real and at drawn images (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?"), measured by a small step in a random direction::

    |grad D|^2  ~  (D(x + h m) - D(x))^2 / h^2,      m ~ N(0, 1), h = 0.05.

Both losses are added up and each reaches its own weights alone, so that one backward pass and one optimizer
serve two networks. For the first ``head_start`` of a run the critic learns alone.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..diffusion.denoiser import Labels, NetworkDenoiser
from ..diffusion.level import Images
from ..diffusion.process import diffuse
from ..diffusion.schedules import Schedule
from ..nets import Critic
from ..utils.randomness import Stream, seeded
from .base import Context, Draws, Noise, Objective
from .times import stratified, uniforms

Directions = Float[Tensor, "twice_batch channels height width"]

FINITE_DIFFERENCE_STEP = 0.05
PURE_NOISE_SHARE = 0.25
"""Share of a batch that is pure noise."""

GENERATOR_BETAS = (0.5, 0.99)
CRITIC_BETAS = (0.0, 0.99)
"""Adam's. A network and its critic change together, so that past gradients say little."""


@dataclass(frozen=True)
class AdversarialDraws(Draws):
    """``critic_only``: whether the critic learns alone."""

    critic_only: bool


@dataclass(frozen=True, kw_only=True)
class AdversarialTuning(Objective[AdversarialDraws]):
    """Training against a critic. Each of the two losses reaches the parameters of its own network alone.

    Args:
        critic: a module called as (images, labels) that gives one number for each image.
        critic_rate: the critic's learning rate, as a multiple of the network's.
        instance_noise: s, the standard deviation of the noise added to the critic's inputs.
        gradient_penalty: gamma.
        head_start: share of the run in which the critic learns alone.
    """

    noises: ClassVar[int] = 5  # n of the images; of the critic's inputs, n and n'; two directions m
    group: ClassVar[int] = 2

    critic: nn.Module
    critic_rate: float = 1.0
    instance_noise: float = 0.4
    gradient_penalty: float = 0.005
    head_start: float = 0.6

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> AdversarialDraws:
        """Draw times in random order, a quarter of them 1.

        Raises:
            ValueError: where the images cannot be paired.
        """
        if count % self.group:
            raise ValueError(f"a batch of {count} images cannot be paired: it must be even")
        times = stratified(uniforms(count, generator))
        t = schedule.snap(times[torch.randperm(count, generator=generator)])
        t[: round(PURE_NOISE_SHARE * count)] = 1.0
        return AdversarialDraws(t, progress < self.head_start)

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Images,
        labels: Labels | None,
        draws: AdversarialDraws,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """Both losses of each image, added up. Images 2k and 2k + 1 are partners."""
        eps, real_noise, generated_noise, *directions = noise.unbind(1)
        x_t = diffuse(x0, eps, denoiser.schedule.level(draws.t))
        # No gradient rather than one of 0, which Adam would remember: its first real steps would be long.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not draws.critic_only):
            generated = denoiser(x_t, draws.t, labels).x0
        real = x0 + self.instance_noise * real_noise
        generated = generated + self.instance_noise * generated_noise
        critic_loss = self._critic_loss(real, generated.detach(), labels, torch.cat(directions))
        if draws.critic_only:
            return critic_loss
        with torch.no_grad():
            score = _swap_partners(self.critic(real, labels))
        return critic_loss + F.softplus(score - self._frozen_critic(generated, labels))

    def _frozen_critic(self, images: Images, labels: Labels | None) -> Float[Tensor, " batch"]:
        """The critic's answer, from which gradients reach the images alone."""
        weights = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        answer: Tensor = torch.func.functional_call(self.critic, weights, (images, labels))
        return answer

    def _critic_loss(
        self, real: Images, generated: Images, labels: Labels | None, directions: Directions
    ) -> Float[Tensor, " batch"]:
        """The critic's own loss, with its gradient penalty at real and at generated images."""
        images = torch.cat([real, generated])
        moved = images + FINITE_DIFFERENCE_STEP * directions
        repeated = None if labels is None else labels.repeat(4)
        scores = self.critic(torch.cat([images, moved]), repeated)
        at_real, at_generated, near_real, near_generated = scores.chunk(4)
        slope = (near_real - at_real).square() + (near_generated - at_generated).square()
        penalty = self.gradient_penalty / 2 * slope / FINITE_DIFFERENCE_STEP**2
        return F.softplus(at_generated - _swap_partners(at_real)) + penalty

    def modules(self) -> dict[str, nn.Module]:
        return {"critic": self.critic}

    def param_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """The network's parameters and the critic's, each with betas of its own."""
        return [
            {"params": list(network.parameters()), "betas": GENERATOR_BETAS},
            {
                "params": list(self.critic.parameters()),
                "betas": CRITIC_BETAS,
                "lr_scale": self.critic_rate,
            },
        ]


def _swap_partners(scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """The score of each image's partner."""
    return scores.view(-1, 2).flip(1).flatten()


def from_section(section: Any, context: Context) -> AdversarialTuning:
    """The objective of a section ``adversarial``, with a critic initialized from the run's seed.

    Raises:
        ValueError: where there is no model to begin from.
    """
    context.require_initial(section.name)
    with seeded(context.seed, Stream.INIT, 1):
        critic = Critic(
            size=context.size,
            channels=context.channels,
            num_classes=context.classes,
            width=section.critic,
        )
    return AdversarialTuning(
        critic=critic,
        critic_rate=section.critic_rate,
        instance_noise=section.instance_noise,
        gradient_penalty=section.gradient_penalty,
        head_start=section.head_start,
    )
