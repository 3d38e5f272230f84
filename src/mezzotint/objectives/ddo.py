"""Refinement: a trained model learns to discriminate real images from its earlier samples.

Denoising objectives penalize a model for images of the data that it misses, but hardly for samples outside
the data, so a small network covers more than the data. Direct discriminative optimization (Zheng et al. 2025,
"Direct Discriminative Optimization: Your Likelihood-Based Visual Generative Model is Secretly a GAN
Discriminator", arXiv 2503.01103) starts from such a model, the reference. The log-likelihood ratio of the
trained model and the reference classifies an image as real or as a sample (docs/mathematics.md, eq. 16)::

    z(x, y) = beta [ E_ref(x, y; t, eps) - E(x, y; t, eps) ]  ~  log p(x | y) - log p_ref(x | y)
    loss    = - log sigmoid(z(x, y)) - alpha log sigmoid(-z(x', y'))

E is the squared error of the denoising objective, summed over pixels; x is real and x' is a sample of
the reference, drawn before training starts. No other network is trained, and the result is an ordinary
denoiser. At the start z = 0, and the gradient is that of E on real images minus that of E on samples.

Some of the samples are replaced by the real image with a wrong label. The model learns that label and image
do not match, so that images fit their labels without guidance and its second pass (Chen et al.
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
from ..registry import WEIGHTINGS
from .base import Context, Noise, Objective
from .denoising import DenoisingDraws, DenoisingObjective
from .times import Uniforms, make_times


@dataclass(frozen=True)
class PairDraws(DenoisingDraws):
    """Draws of pairs of an image and its negative, which share time and noise.

    Args:
        sample_u: uniform numbers (batch,) in [0, 1), which choose the negative among the samples.
        wrong_label_u: uniform numbers (batch,) in [0, 1); if one is below ``DDO.wrong_labels``, the negative
            is the image itself with a wrong label.
    """

    sample_u: Uniforms
    wrong_label_u: Uniforms


@dataclass(frozen=True, kw_only=True)
class DDO(Objective[PairDraws]):
    """Direct discriminative optimization with a reference model.

    Args:
        denoising: the objective that defines the error E, the times and the label dropout.
        reference: the model to improve on.
        samples: samples of the reference (n, channels, height, width) in [-1, 1], row k of class
            ``k % classes``, so that an image and its negative have the same class.
        classes: number of classes; 0 for none.
        beta: weight of the summed squared error inside the sigmoid.
        alpha: weight of the negatives against the real images.
        wrong_labels: share of negatives that are the image itself with a wrong label.
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
        """Draw times, label dropout and the choice of negatives.

        Args:
            count: images in the batch, over all processes.
            schedule: the noise schedule; times are rounded up to its discrete times, if it has them.
            generator: source of all random numbers, on the CPU.
            progress: share of the training steps that are done, in [0, 1].

        Returns:
            the draws of ``count`` images.
        """
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
        """The loss of each image and its negative; ``(1 + alpha) log 2`` if z = 0 for both.

        Args:
            denoiser: the network that is trained.
            x0: real images (batch, channels, height, width) in [-1, 1].
            labels: their classes (batch,), or None.
            draws: from :meth:`draw`, for these images.
            noise: standard normal (batch, 1, channels, height, width).

        Returns:
            the losses (batch,).
        """
        negatives, negative_labels = self._negatives(x0, labels, draws)
        images = torch.cat([x0, negatives])
        if labels is not None and negative_labels is not None:
            labels = torch.cat([labels, negative_labels])
        pair_draws = DenoisingDraws(draws.t.repeat(2), draws.label_u.repeat(2))
        noise = noise.repeat(2, 1, 1, 1, 1)
        error = self.denoising.loss(denoiser, images, labels, pair_draws, noise)
        with torch.no_grad():
            reference_error = self.denoising.loss(self.reference, images, labels, pair_draws, noise)
        log_ratio = self.beta * x0[0].numel() * (reference_error - error)
        real, negative = log_ratio.chunk(2)
        return F.softplus(-real) + self.alpha * F.softplus(negative)

    def _negatives(
        self, x0: Images, labels: Labels | None, draws: PairDraws
    ) -> tuple[Images, Labels | None]:
        """A negative for each image, and its label."""
        # Rows are computed on the CPU, in float64, which not every device has.
        classes = max(1, self.classes)
        rows = classes * (draws.sample_u * (len(self.samples) // classes)).long()
        if labels is None:
            return self.samples[rows.to(self.samples.device)].to(x0), None
        rows = rows.to(self.samples.device) + labels.to(self.samples.device)
        samples = self.samples[rows].to(x0)
        shift = 1 + (draws.sample_u * (self.classes - 1)).long()
        wrong_labels = (labels + shift.to(labels.device)) % self.classes
        use_wrong_label = (draws.wrong_label_u < self.wrong_labels).to(labels.device)
        negatives = torch.where(use_wrong_label[:, None, None, None], x0, samples)
        return negatives, torch.where(use_wrong_label, wrong_labels, labels)


def from_section(section: Any, context: Context) -> DDO:
    """The objective of a section ``refinement``.

    Args:
        section: of the recipe.
        context: the number of classes, the reference and its samples.

    Returns:
        the objective.

    Raises:
        ValueError: if there is no reference, or there are no samples of it.
    """
    reference = context.require_initial(section.name)
    if context.samples is None:
        raise ValueError("objective 'refinement' needs images of the model that it names")
    denoising = DenoisingObjective(
        null_label=context.classes,
        weighting=WEIGHTINGS[section.weighting],
        times=make_times(section.times),
        label_dropout=section.label_dropout,
    )
    return DDO(
        denoising=denoising,
        reference=reference,
        samples=context.samples,
        classes=context.classes,
        beta=section.beta,
        alpha=section.alpha,
        # With a single class no label is wrong.
        wrong_labels=section.wrong_labels if context.classes > 1 else 0.0,
    )
