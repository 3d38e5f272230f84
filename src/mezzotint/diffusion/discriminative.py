"""Refinement: a trained model that learns to tell real images from those it used to draw.

Denoising objectives punish a model for whatever image it leaves out, and hardly for what it draws besides,
so a small network spreads over more than the data. Direct discriminative optimization (Zheng et al. 2025,
"Direct Discriminative Optimization: Your Likelihood-Based Visual Generative Model is Secretly a GAN
Discriminator", arXiv 2503.01103) goes on from such a model, the reference, and lets the logarithm of how
much likelier it has made an image than the reference did, decide whether that image is real::

    z(x, y) = beta [ E_ref(x, y; t, eps) - E(x, y; t, eps) ]  ~  log p(x | y) - log p_ref(x | y)
    loss    = - log sigmoid(z(x, y)) - alpha log sigmoid(-z(x', y'))

E is the denoising objective's squared error, summed over pixels; x is real and x' is its rival, drawn from
the reference before training begins. Nothing else is trained, and what comes out is a denoiser like any
other: at the beginning z = 0, and the gradient is that of E on real images, less that of E on drawn ones.

Some rivals are the real image itself under a wrong label: what a label must not mean is told apart in
the same way, so that images fit their labels without guidance and its second pass (Chen et al. 2024,
"Toward Guidance-Free AR Visual Generation via Condition Contrastive Alignment", arXiv 2410.09347).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .denoiser import Labels, NetworkDenoiser
from .level import Images
from .objectives import Objective, Question, Uniforms
from .schedules import Schedule


@dataclass(frozen=True)
class Contest(Question):
    """A question about a batch and its rivals, which share time and noise: which rival each image has,
    and whether that is the image itself under a wrong label; both uniform in [0, 1)."""

    pick: Uniforms
    confuse: Uniforms


@dataclass(frozen=True, kw_only=True)
class Discriminative:
    """Direct discriminative optimization after ``reference``.

    ``denoising``: whose error E is, and its times and label dropout. ``rivals`` (n, channels, height,
    width), in [-1, 1]: what the reference draws, row k of class ``k % classes``, so that an
    image and its rival are of one class. ``beta``, ``alpha``: as above. ``confused``: share of rivals that
    are the image itself under a wrong label.
    """

    denoising: Objective
    reference: NetworkDenoiser
    rivals: Images
    classes: int
    beta: float = 0.1
    alpha: float = 1.0
    confused: float = 0.125

    def ask(
        self, shape: torch.Size, schedule: Schedule, generator: torch.Generator, progress: float
    ) -> Contest:
        """Draw times, noise, hidden labels and rivals for a batch of ``shape``, from ``generator``."""
        asked = self.denoising.ask(shape, schedule, generator, progress)
        pick, confuse = torch.rand(2, shape[0], generator=generator, dtype=torch.float64)
        return Contest(asked.t, asked.eps, asked.hidden, pick, confuse)

    def __call__(
        self, denoiser: NetworkDenoiser, x0: Images, labels: Labels | None, question: Question
    ) -> Float[Tensor, " batch"]:
        """The loss of each image and its rival: ``(1 + alpha) log 2`` where nothing is told apart."""
        assert isinstance(question, Contest)
        rivals, their_labels = self._rivals(x0, labels, question)
        images = torch.cat([x0, rivals])
        both = None if labels is None or their_labels is None else torch.cat([labels, their_labels])
        twice = Question(
            question.t.repeat(2), question.eps.repeat(2, 1, 1, 1), question.hidden.repeat(2)
        )
        ours = self.denoising(denoiser, images, both, twice)
        with torch.no_grad():
            before = self.denoising(self.reference, images, both, twice)
        evidence = self.beta * x0[0].numel() * (before - ours)
        real, drawn = evidence.chunk(2)
        return F.softplus(-real) + self.alpha * F.softplus(drawn)

    def _rivals(
        self, x0: Images, labels: Labels | None, contest: Contest
    ) -> tuple[Images, Labels | None]:
        """A rival for each image, and what it is called."""
        pick, each = contest.pick.to(x0.device), max(1, self.classes)
        rows = each * (pick * (len(self.rivals) // each)).long()
        if labels is None:
            return self.rivals[rows.to(self.rivals.device)].to(x0), None
        drawn = self.rivals[(rows + labels).to(self.rivals.device)].to(x0)
        wrong = (labels + 1 + (pick * (self.classes - 1)).long()) % self.classes
        confused = contest.confuse.to(x0.device) < self.confused
        rivals = torch.where(confused[:, None, None, None], x0, drawn)
        return rivals, torch.where(confused, wrong, labels)
