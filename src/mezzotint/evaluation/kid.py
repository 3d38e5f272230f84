"""Kernel Inception Distance (KID): the unbiased squared maximum mean discrepancy of two sets of features.

The kernel is k(x, y) = (x.y / d + 1)^3 (Binkowski et al. 2018, section 4). The estimate is over all pairs,
not over random subsets, so that it depends on the images alone.
"""

import torch
from torch import Tensor

from .requirements import Features, require_samples


def _kernel_sum(x: Tensor, y: Tensor, chunk: int = 1000) -> Tensor:
    """The sum of k over all pairs of rows of x (n, d) and y (m, d), as a float64 scalar."""
    total = torch.zeros((), dtype=torch.float64)
    for part in x.split(chunk):
        total += (part @ y.T / x.shape[1] + 1).pow(3).double().sum()
    return total


def _mean_within(x: Tensor) -> Tensor:
    """The mean of k over pairs of distinct rows of x (n, d), as a float64 scalar."""
    n = len(x)
    diagonal = (x.square().sum(1).double() / x.shape[1] + 1).pow(3).sum()
    return (_kernel_sum(x, x) - diagonal) / (n * (n - 1))


def kernel_distance(a: Features, b: Features) -> float:
    """Return the KID of two sets of features.

    Args:
        a: (n, d) features of one set, n >= 2.
        b: (m, d) features of the other, m >= 2.

    Returns:
        The KID, not multiplied by 1000. For two sets of one distribution it scatters around 0 and can be
        negative.

    Raises:
        TooFewImages: If a set has fewer than 2 rows.
        ValueError: If a feature is NaN or infinite.
    """
    for features in (a, b):
        require_samples(features, 2, "KID")
    x = a.float()
    y = b.float()
    between = _kernel_sum(x, y) / (len(x) * len(y))
    return (_mean_within(x) + _mean_within(y) - 2 * between).item()
