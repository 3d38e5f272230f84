"""Refinement of a few-step model by adversarial training.

The prediction of a distilled model is an image, not an average over images, so a critic D can judge how
real it looks. Model and critic are trained together, by the relativistic loss (Jolicoeur-Martineau
2019, "The relativistic discriminator"; Huang et al. 2024, "The GAN is dead; long live the GAN!";
docs/mathematics.md, eq. 17)::

    generator   softplus( D(x + s n) - D(f(x_t, t) + s n') )
    critic      softplus( D(f(x_t, t) + s n') - D(x + s n) ) + gamma / 2 |grad D|^2

f jumps to the end from any time of a path: from pure noise for a share of the images (a quarter), from real
images with noise for the others, as in sampling with several steps (Kim et al. 2024, "Consistency
Trajectory Models", whose distillation has a critic too). The images of a batch are paired: a generated
image is compared with the real image of its partner, not with the one that it was made from.

The critic judges by features that it learns from pixels, or by those that the model to begin from finds in
images with that noise, which stay as they are (Sauer et al. 2024, "Fast High-Resolution Image Synthesis with
Latent Adversarial Diffusion Distillation"). Then it knows from its first steps what a digit is.

Noise is added to both inputs of the critic (Arjovsky and Bottou 2017); otherwise the critic would respond
to the finest differences only. Its gradient is penalized at real and at generated images
(Mescheder et al. 2018, "Which training methods for GANs do actually converge?"), and estimated by a small
step in a random direction::

    |grad D|^2  ~  (D(x + h m) - D(x))^2 / h^2,      m ~ N(0, 1), h = 0.05.

A share of the generated images can be replaced, for the critic, by real ones with a wrong label (Reed et al.
2016), so that it learns what belongs to a class.

The two losses are added, and the gradient of each reaches the weights of its own network only, so that one
backward pass and one optimizer serve both networks. For the first ``head_start`` of a run only the critic
learns.
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
from ..utils.randomness import Stream, seeded
from .base import Context, Draws, Noise, Objective
from .critics import make_critic
from .times import Uniforms, stratified, uniforms

Directions = Float[Tensor, "twice_batch channels height width"]

FINITE_DIFFERENCE_STEP = 0.05
GENERATOR_BETAS = (0.5, 0.99)
CRITIC_BETAS = (0.0, 0.99)
"""Betas of Adam. Network and critic change together, so past gradients carry little information."""


@dataclass(frozen=True)
class AdversarialDraws(Draws):
    """Draws of images, and of what the critic is given in the place of some generated ones.

    Args:
        critic_only: whether only the critic learns.
        wrong_label_u: uniform numbers (batch,) in [0, 1); if one is below
            ``AdversarialTuning.wrong_labels``, the critic is given a real image with a wrong label.
        shift_u: uniform numbers (batch,) in [0, 1), which choose that label.
    """

    critic_only: bool
    wrong_label_u: Uniforms
    shift_u: Uniforms


@dataclass(frozen=True, kw_only=True)
class AdversarialTuning(Objective[AdversarialDraws]):
    """Training against a critic.

    The gradient of each of the two losses reaches the parameters of its own network only.

    Args:
        critic: module called as (images, labels) that returns one score for each image.
        critic_rate: the critic's learning rate, as a multiple of the network's.
        instance_noise: s, the standard deviation of the noise added to the critic's inputs.
        gradient_penalty: gamma.
        head_start: share of the run, at its beginning, in which only the critic learns.
        pure_noise: share of a batch that starts from pure noise, as one evaluation of sampling does.
        classes: number of classes; 0 for none.
        wrong_labels: share of the generated images that, for the critic, are replaced by real ones with a
            wrong label, so that it learns what belongs to a class. With fewer than two classes it must be 0.
    """

    noises: ClassVar[int] = 5  # n of the images; of the critic's inputs, n and n'; two directions m
    group: ClassVar[int] = 2

    critic: nn.Module
    critic_rate: float = 1.0
    instance_noise: float = 0.4
    gradient_penalty: float = 0.005
    head_start: float = 0.6
    pure_noise: float = 0.25
    classes: int = 0
    wrong_labels: float = 0.0

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> AdversarialDraws:
        """Draw times in random order, the share ``pure_noise`` of them 1.

        Args:
            count: images in the batch, over all processes; even.
            schedule: the noise schedule, to whose times the times are rounded up.
            generator: source of all random numbers, on the CPU.
            progress: share of the training steps that are done, in [0, 1].

        Returns:
            the draws of ``count`` images.

        Raises:
            ValueError: if ``count`` is odd.
        """
        if count % self.group:
            raise ValueError(f"a batch of {count} images cannot be paired: it must be even")
        times = stratified(uniforms(count, generator))
        t = schedule.snap(times[torch.randperm(count, generator=generator)])
        t[: round(self.pure_noise * count)] = 1.0
        # Not drawn where there is no use for them, so that such runs keep the noise that they always had.
        u = torch.ones(2, count, dtype=torch.float64)
        wrong_label_u, shift_u = u.uniform_(generator=generator) if self.wrong_labels else u
        return AdversarialDraws(t, progress < self.head_start, wrong_label_u, shift_u)

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Images,
        labels: Labels | None,
        draws: AdversarialDraws,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """The sum of both losses of each image. Images 2k and 2k + 1 are partners.

        Args:
            denoiser: the network that is trained.
            x0: real images (batch, channels, height, width) in [-1, 1].
            labels: their classes (batch,), or None.
            draws: from :meth:`draw`, for these images.
            noise: standard normal (batch, 5, channels, height, width).

        Returns:
            the losses (batch,); those of the critic only during its head start.
        """
        eps, real_noise, fake_noise, *directions = noise.unbind(1)
        x_t = diffuse(x0, eps, denoiser.schedule.level(draws.t))
        # No gradient, not one of 0: zeros would enter Adam's averages and make its first steps too long.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not draws.critic_only):
            fake = denoiser(x_t, draws.t, labels).x0
        real = x0 + self.instance_noise * real_noise
        fake = fake + self.instance_noise * fake_noise
        negative, negative_labels = self._negatives(real, fake.detach(), labels, draws)
        critic_loss = self._critic_loss(
            real, negative, labels, negative_labels, torch.cat(directions)
        )
        if draws.critic_only:
            return critic_loss
        with torch.no_grad():
            score = _swap_partners(self.critic(real, labels))
        return critic_loss + F.softplus(score - self._frozen_critic(fake, labels))

    def _frozen_critic(self, images: Images, labels: Labels | None) -> Float[Tensor, " batch"]:
        """The critic's scores, whose gradients reach the images but not the critic."""
        weights = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        scores: Tensor = torch.func.functional_call(self.critic, weights, (images, labels))
        return scores

    def _negatives(
        self, real: Images, fake: Images, labels: Labels | None, draws: AdversarialDraws
    ) -> tuple[Images, Labels | None]:
        """What the critic is to score low: generated images, or real ones with a wrong label."""
        if labels is None or not self.wrong_labels:
            return fake, labels
        # Computed on the CPU, in float64, which not every device has.
        shift = 1 + (draws.shift_u * (self.classes - 1)).long()
        wrong_labels = (labels + shift.to(labels.device)) % self.classes
        use_wrong_label = (draws.wrong_label_u < self.wrong_labels).to(labels.device)
        images = torch.where(use_wrong_label[:, None, None, None], real, fake)
        return images, torch.where(use_wrong_label, wrong_labels, labels)

    def _critic_loss(
        self,
        real: Images,
        negative: Images,
        labels: Labels | None,
        negative_labels: Labels | None,
        directions: Directions,
    ) -> Float[Tensor, " batch"]:
        """The critic's loss, with its gradient penalty at real images and at negatives."""
        images = torch.cat([real, negative])
        neighbours = images + FINITE_DIFFERENCE_STEP * directions
        if labels is not None and negative_labels is not None:
            labels = torch.cat([labels, negative_labels]).repeat(2)
        scores = self.critic(torch.cat([images, neighbours]), labels)
        real_score, negative_score, near_real_score, near_negative_score = scores.chunk(4)
        difference = (near_real_score - real_score).square()
        difference = difference + (near_negative_score - negative_score).square()
        penalty = self.gradient_penalty / 2 * difference / FINITE_DIFFERENCE_STEP**2
        return F.softplus(negative_score - _swap_partners(real_score)) + penalty

    def modules(self) -> dict[str, nn.Module]:
        """The critic, as ``critic``."""
        return {"critic": self.critic}

    def param_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Two groups, with different betas: the parameters of the network and those of the critic."""
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

    Args:
        section: of the recipe.
        context: the images' size and classes, the seed, and the model to start from.

    Returns:
        the objective.

    Raises:
        ValueError: if there is no model to start from, or labels are to be wrong where none can be.
    """
    if section.wrong_labels and context.classes < 2:
        raise ValueError(
            f"objective.wrong_labels = {section.wrong_labels}: without two classes no label is wrong; say 0"
        )
    with seeded(context.seed, Stream.INIT, 1):
        critic = make_critic(section, context)
    return AdversarialTuning(
        critic=critic,
        critic_rate=section.critic_rate,
        instance_noise=section.instance_noise,
        gradient_penalty=section.gradient_penalty,
        head_start=section.head_start,
        pure_noise=section.pure_noise,
        classes=context.classes,
        wrong_labels=section.wrong_labels,
    )
