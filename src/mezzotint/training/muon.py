"""Muon: momentum, made orthogonal (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

The update of a weight matrix W (outputs, inputs; a convolution's kernel is flattened to one) is::

    M <- mu M + G,        U = (1 - mu) G + mu M  ~  A S B^T (its singular value decomposition),
    W <- W - eta sqrt(max(1, outputs / inputs)) A B^T

so that every direction a matrix can move in moves equally far, also those whose gradients are small.
A B^T comes from a few Newton-Schulz steps, which need nothing but products::

    X <- a X + (b X X^T + c (X X^T)^2) X,   X_0 = U / |U|_F,   (a, b, c) = (3.4445, -4.7750, 2.0315).

Everything that is no matrix, and the embedding tables, are AdamW's.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .sharding import spread, whole

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(
    matrices: Float[Tensor, "count rows columns"], steps: int = 5
) -> Float[Tensor, "count rows columns"]:
    """Bring all singular values of each matrix near 1 (0.7 to 1.2), keeping its singular vectors."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.mT if tall else x


class Muon(torch.optim.AdamW):
    """AdamW whose groups with ``orthogonal=True`` are updated by Muon instead.

    Both kinds take ``lr`` and decoupled ``weight_decay`` from their group.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, fused: bool) -> None:
        super().__init__(groups, lr=lr, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have gradients."""
        matrices = [group for group in self.param_groups if group.get("orthogonal")]
        for group in matrices:
            self._step_matrices(group)
        kept = [(p, p.grad) for group in matrices for p in group["params"]]
        for parameter, _ in kept:
            parameter.grad = None  # so that AdamW passes it by
        super().step()
        for parameter, gradient in kept:
            parameter.grad = gradient

    def _step_matrices(self, group: dict[str, Any]) -> None:
        """Muon's update, matrices of one shape at a time."""
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                shape = (parameter.shape[0], parameter.numel() // parameter.shape[0])
                by_shape.setdefault(shape, []).append(parameter)
        for (rows, columns), parameters in by_shape.items():
            gradients = [p.grad for p in parameters if p.grad is not None]
            moments = [self._moment(p) for p in parameters]
            torch._foreach_mul_(moments, MOMENTUM)
            torch._foreach_add_(moments, gradients)
            looked_ahead = torch._foreach_lerp(gradients, moments, MOMENTUM)
            stacked = torch.stack([whole(u).reshape(rows, columns) for u in looked_ahead])
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(parameters, orthogonalize(stacked), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(spread(update.view(parameter.shape), parameter), alpha=-rate)

    def _moment(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        moment: Tensor = state["momentum"]
        return moment
