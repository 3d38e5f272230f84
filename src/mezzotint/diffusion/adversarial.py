"""Refinement of a few-step model, whose jumps a critic learns to tell from real images.

What a distilled model answers is an image, not an average over images, so how real it looks can be asked
of it directly. A critic D is trained beside it, and both by the relativistic loss (Jolicoeur-Martineau
2019, "The relativistic discriminator"; Huang et al. 2024, "The GAN is dead; long live the GAN!")::

    generator   softplus( D(x + s n) - D(f(x_t, t) + s n') )
    critic      softplus( D(f(x_t, t) + s n') - D(x + s n) ) + gamma / 2 |grad D|^2

f jumps to the end from any moment of a path: pure noise for a quarter of the images, for the others real
images under noise, which is what sampling in several steps asks of it (Kim et al. 2024, "Consistency
Trajectory Models", whose distillation has a critic too). A drawn image is compared with the
next real one of its batch, not with the one that it was made from. The critic sees both through noise
(Arjovsky and Bottou 2017), or it would find the finest differences and nothing else, and its slope is
held down at real and at drawn images (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?"), measured by a small step in a random direction::

    |grad D|^2  ~  (D(x + h m) - D(x))^2 / h^2,      m ~ N(0, 1), h = 0.05.

Both losses are added up and each reaches its own weights alone, so that one backward pass and one optimizer
serve two networks. For the first ``head_start`` of a run the critic learns alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .denoiser import Labels, NetworkDenoiser
from .level import Images
from .objectives import Question, Uniforms, stratified
from .process import diffuse
from .schedules import Schedule

STRIDE = 0.05
NOISE_SHARE = 0.25
"""Of a batch, how much is pure noise."""


@dataclass(frozen=True)
class Trial(Question):
    """A question about a batch, with the noises n, n' and two directions m, ``veils`` and ``strides``
    (batch, 2, ...); ``alone``: whether the critic learns alone."""

    veils: Float[Tensor, "batch two channels height width"]
    strides: Float[Tensor, "batch two channels height width"]
    alone: bool


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Training against ``critic``, a module called as (images, labels), in the generator's own parameters
    and the critic's. ``noise``: s above; ``penalty``: gamma."""

    critic: nn.Module
    noise: float = 0.4
    penalty: float = 0.005
    head_start: float = 0.6
    times: Callable[[Uniforms], Uniforms] = stratified

    def ask(
        self, shape: torch.Size, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> Trial:
        """Draw times, noise and directions for a batch of ``shape``, all from ``generator``."""
        u = torch.rand(shape[0], generator=generator, dtype=torch.float64).clamp(min=1e-9)
        t = schedule.snap(self.times(u)[torch.randperm(shape[0], generator=generator)])
        t[: round(NOISE_SHARE * shape[0])] = 1.0
        eps, *noises = torch.randn(5, *shape, generator=generator)
        veils, strides = torch.stack(noises, dim=1).chunk(2, dim=1)
        alone = progress < self.head_start
        return Trial(t, eps, torch.ones(shape[0]), veils, strides, alone)

    def __call__(
        self, denoiser: NetworkDenoiser, x0: Images, labels: Labels | None, question: Question
    ) -> Float[Tensor, " batch"]:
        """Both losses of each image, added up."""
        assert isinstance(question, Trial)
        x_t = diffuse(x0, question.eps.to(x0), denoiser.schedule.level(question.t))
        # No gradient rather than one of 0, which Adam would remember: its first real steps would be long.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not question.alone):
            drawn = denoiser(x_t, question.t, labels).x0
        veil, other = (self.noise * question.veils.to(x0)).unbind(1)
        x0, drawn = x0 + veil, drawn + other
        theirs = self._learning(x0, drawn.detach(), labels, question.strides.to(x0))
        if question.alone:
            return theirs
        with torch.no_grad():
            real = self.critic(x0, labels).roll(1)
        return theirs + F.softplus(real - self._fixed(drawn, labels))

    def _fixed(self, images: Images, labels: Labels | None) -> Float[Tensor, " batch"]:
        """The critic's answer, from which gradients reach the images alone."""
        weights = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        answer: Tensor = torch.func.functional_call(self.critic, weights, (images, labels))
        return answer

    def _learning(
        self, x0: Images, drawn: Images, labels: Labels | None, strides: Tensor
    ) -> Float[Tensor, " batch"]:
        """The critic's own loss."""
        images = torch.cat([x0, drawn])
        moved = images + STRIDE * torch.cat(strides.unbind(1))
        four = None if labels is None else labels.repeat(4)
        real, fake, *around = self.critic(torch.cat([images, moved]), four).chunk(4)
        slope = (around[0] - real).square() + (around[1] - fake).square()
        return F.softplus(fake - real.roll(1)) + self.penalty / 2 * slope / STRIDE**2
