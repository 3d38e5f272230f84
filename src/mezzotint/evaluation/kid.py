"""The kernel distance (KID): the squared maximum mean discrepancy with k(x, y) = (x.y / d + 1)^3,
unbiased (Binkowski et al. 2018, section 4), over all pairs instead of random subsets, so that it is
a function of the images alone."""

import torch
from torch import Tensor

from .requirements import Features, require_samples


def _kernel_sum(x: Tensor, y: Tensor, chunk: int = 1000) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for part in x.split(chunk):
        total += (part @ y.T / x.shape[1] + 1).pow(3).double().sum()
    return total


def kernel_distance(a: Features, b: Features) -> float:
    """The KID between two sets of features; around 0, also below, for sets of one distribution.

    Raises TooFewImages for sets of fewer than 2.
    """
    for features in (a, b):
        require_samples(features, 2, "KID")
    x, y = a.float(), b.float()
    n, m = len(x), len(y)
    own_x = (x.square().sum(1).double() / x.shape[1] + 1).pow(3).sum()
    own_y = (y.square().sum(1).double() / y.shape[1] + 1).pow(3).sum()
    within = (_kernel_sum(x, x) - own_x) / (n * (n - 1)) + (_kernel_sum(y, y) - own_y) / (
        m * (m - 1)
    )
    return (within - 2 * _kernel_sum(x, y) / (n * m)).item()
