"""Scores from a classifier's logits: conditional accuracy, confusion matrix and Inception Score."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .requirements import require_samples

Logits = Float[Tensor, "n classes"]


def confusion_matrix(
    logits: Logits, labels: Int64[Tensor, " n"]
) -> Int64[Tensor, "classes classes"]:
    """Count how often each label (row) is classified as each class (column).

    Args:
        logits: (n, classes) outputs of the classifier.
        labels: (n,) int64 labels, 0 to classes - 1.

    Returns:
        (classes, classes) int64 counts with sum n.
    """
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def accuracy(logits: Logits, labels: Int64[Tensor, " n"]) -> float:
    """Return the share of images that are classified as their label.

    Args:
        logits: (n, classes) outputs of the classifier, n >= 1.
        labels: (n,) int64 labels, 0 to classes - 1.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        TooFewImages: If there are no images.
        ValueError: If a logit is NaN or infinite.
    """
    require_samples(logits, 1, "accuracy")
    return (logits.argmax(1) == labels).double().mean().item()


def inception_score(logits: Logits) -> float:
    """Return the Inception Score, ``exp E_x KL(p(y | x) || p(y))`` (Salimans et al. 2016, section 4).

    The marginal p(y) is that of all images at once, so that their order does not matter.

    Args:
        logits: (n, classes) outputs of the classifier, n >= 2.

    Returns:
        The score, from 1 to the number of classes.

    Raises:
        TooFewImages: If there are fewer than 2 images.
        ValueError: If a logit is NaN or infinite.
    """
    require_samples(logits, 2, "the Inception Score")
    log_p = logits.double().log_softmax(1)
    p = log_p.exp()
    marginal = p.mean(0, keepdim=True)
    divergence = torch.xlogy(p, p) - torch.xlogy(p, marginal)
    return divergence.sum(1).mean().exp().item()
