"""Refinement: a trained model that learns to tell real images from those it used to draw.

Denoising objectives punish a model for whatever image it leaves out, and hardly for what it draws besides,
so a small network spreads over more than the data. Direct discriminative optimization (Zheng et al. 2025,
"Direct Discriminative Optimization: Your Likelihood-Based Visual Generative Model is Secretly a GAN
Discriminator", arXiv 2503.01103) goes on from such a model, the reference, and lets the logarithm of how
much likelier it has made an image than the reference did, decide whether that image is real::

    z(x, y) = beta [ E_ref(x, y; t, eps) - E(x, y; t, eps) ]  ~  log p(x | y) - log p_ref(x | y)
    loss    = - log sigmoid(z(x, y)) - alpha log sigmoid(-z(x', y'))

E is the denoising objective's squared error, summed over pixels; x is real and x' is a sample of
the reference, drawn before training begins. Nothing else is trained, and what comes out is a denoiser
like any other: at the beginning z = 0, and the gradient is that of E on real images, less that of E on
samples.

Some of the samples are replaced by the real image under a wrong label: what a label must not mean is
learnt in the same way, so that images fit their labels without guidance and its second pass (Chen et al.
2024, "Toward Guidance-Free AR Visual Generation via Condition Contrastive Alignment", arXiv 2410.09347).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..diffusion.denoiser import Labels, NetworkDenoiser
from ..diffusion.level import Images
from ..diffusion.schedules import Schedule
from ..registry import TIMES, WEIGHTINGS
from .base import Context, Noise, Objective
from .denoising import DenoisingDraws, DenoisingObjective
from .times import Uniforms


@dataclass(frozen=True)
class PairDraws(DenoisingDraws):
    """An image and its negative share time and noise. ``sample_u`` (batch,) decides which sample of the
    reference is the negative, ``wrong_label_u`` whether it is the image itself under a wrong label; both
    are uniform in [0, 1)."""

    sample_u: Uniforms
    wrong_label_u: Uniforms


@dataclass(frozen=True, kw_only=True)
class DDO(Objective[PairDraws]):
    """Direct discriminative optimization after a reference model.

    Args:
        denoising: whose error E is, and its times and label dropout.
        reference: the model to surpass.
        samples: what it draws, (n, channels, height, width) in [-1, 1], row k of class ``k % classes``,
            so that an image and its negative are of one class.
        classes: number of classes; 0 for none.
        beta: weight of the summed squared error inside the sigmoid.
        alpha: weight of the negatives against the real images.
        wrong_labels: share of negatives that are the image itself under a wrong label.
    """

    denoising: DenoisingObjective
    reference: NetworkDenoiser
    samples: Images
    classes: int
    beta: float = 0.1
    alpha: float = 1.0
    wrong_labels: float = 0.125

    def draw(
        self, count: int, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> PairDraws:
        draws = self.denoising.draw(count, schedule, generator, progress)
        sample_u, wrong_label_u = torch.rand(2, count, generator=generator, dtype=torch.float64)
        return PairDraws(draws.t, draws.label_u, sample_u, wrong_label_u)

    def loss(
        self,
        denoiser: NetworkDenoiser,
        x0: Images,
        labels: Labels | None,
        draws: PairDraws,
        noise: Noise,
    ) -> Float[Tensor, " batch"]:
        """The loss of each image and its negative: ``(1 + alpha) log 2`` where nothing is told apart."""
        negatives, wrong = self._negatives(x0, labels, draws)
        images = torch.cat([x0, negatives])
        both = None if labels is None or wrong is None else torch.cat([labels, wrong])
        twice = DenoisingDraws(draws.t.repeat(2), draws.label_u.repeat(2))
        noise = noise.repeat(2, 1, 1, 1, 1)
        error = self.denoising.loss(denoiser, images, both, twice, noise)
        with torch.no_grad():
            reference_error = self.denoising.loss(self.reference, images, both, twice, noise)
        log_ratio = self.beta * x0[0].numel() * (reference_error - error)
        real, negative = log_ratio.chunk(2)
        return F.softplus(-real) + self.alpha * F.softplus(negative)

    def _negatives(
        self, x0: Images, labels: Labels | None, draws: PairDraws
    ) -> tuple[Images, Labels | None]:
        """A negative for each image, and its label.

        The rows are worked out on the CPU, in float64, which not every device has.
        """
        each = max(1, self.classes)
        rows = each * (draws.sample_u * (len(self.samples) // each)).long()
        if labels is None:
            return self.samples[rows.to(self.samples.device)].to(x0), None
        rows = rows.to(self.samples.device) + labels.to(self.samples.device)
        drawn = self.samples[rows].to(x0)
        shift = 1 + (draws.sample_u * (self.classes - 1)).long()
        wrong = (labels + shift.to(labels.device)) % self.classes
        mislabelled = (draws.wrong_label_u < self.wrong_labels).to(labels.device)
        negatives = torch.where(mislabelled[:, None, None, None], x0, drawn)
        return negatives, torch.where(mislabelled, wrong, labels)


def from_section(section: Any, context: Context) -> DDO:
    """The objective of a section ``refinement``.

    Raises:
        ValueError: where there is no reference, or no images of it.
    """
    reference = context.require_initial(section.name)
    if context.samples is None:
        raise ValueError("objective 'refinement' needs images of the model that it names")
    denoising = DenoisingObjective(
        null_label=context.classes,
        weighting=WEIGHTINGS[section.weighting],
        times=TIMES[section.times],
        label_dropout=section.label_dropout,
    )
    return DDO(
        denoising=denoising,
        reference=reference,
        samples=context.samples,
        classes=context.classes,
        beta=section.beta,
        alpha=section.alpha,
        # Of one class no label is wrong.
        wrong_labels=section.wrong_labels if context.classes > 1 else 0.0,
    )
