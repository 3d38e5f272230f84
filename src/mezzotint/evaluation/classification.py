"""What a classifier says of generated images: are they what was asked for, and are they varied?"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .requirements import require_samples

Logits = Float[Tensor, "n classes"]


def confusion_matrix(
    logits: Logits, labels: Int64[Tensor, " n"]
) -> Int64[Tensor, "classes classes"]:
    """How often label (row) was seen as class (column)."""
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def accuracy(logits: Logits, labels: Int64[Tensor, " n"]) -> float:
    """The share of images seen as what their label says. Raises TooFewImages for none."""
    require_samples(logits, 1, "accuracy")
    return (logits.argmax(1) == labels).double().mean().item()


def inception_score(logits: Logits) -> float:
    """``exp E_x KL(p(y | x) || p(y))``, from 1 to the number of classes (Salimans et al. 2016,
    section 4), over all images at once, so that their order does not matter.

    Raises TooFewImages for fewer than 2.
    """
    require_samples(logits, 2, "the Inception Score")
    log_p = logits.double().log_softmax(1)
    p = log_p.exp()
    marginal = p.mean(0, keepdim=True)
    divergence = torch.xlogy(p, p) - torch.xlogy(p, marginal)
    return divergence.sum(1).mean().exp().item()
