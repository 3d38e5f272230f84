"""Muon: orthogonalized momentum (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

The update of a weight matrix W (outputs, inputs; a convolution's kernel is flattened to one) is
(docs/mathematics.md, eq. 25)::

    M <- mu M + G,        U = (1 - mu) G + mu M  ~  A S B^T (its singular value decomposition),
    W <- W - eta sqrt(max(1, outputs / inputs)) A B^T

so that a matrix moves equally far in all its singular directions, also those of small gradients.
A B^T is computed by a few Newton-Schulz steps, which need matrix products only::

    X <- a X + (b X X^T + c (X X^T)^2) X,   X_0 = U / |U|_F,   (a, b, c) = (3.4445, -4.7750, 2.0315).

AdamW updates embedding tables and all parameters that are not matrices.
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
    """Bring all singular values of each matrix near 1 (0.7 to 1.2) and keep its singular vectors.

    Args:
        matrices: (count, rows, columns).
        steps: number of Newton-Schulz steps.

    Returns:
        matrices of the same shape.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon(torch.optim.AdamW):
    """AdamW with Muon for the groups that have ``use_muon=True``.

    Both methods take ``lr`` and decoupled ``weight_decay`` from the group. ``torch.optim.Muon`` does not
    serve here: it takes matrices only, neither convolution kernels nor parameters for AdamW.

    Args:
        groups: parameter groups.
        lr: default learning rate.
        fused: whether AdamW uses torch's fused kernel.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, fused: bool) -> None:
        super().__init__(groups, lr=lr, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have gradients.

        If the attribute ``found_inf``, which torch's gradient scaler and the trainer set, is not 0, nothing
        changes.

        Args:
            closure: not supported.
        """
        skip: Tensor | None = getattr(self, "found_inf", None)
        if skip is not None and skip.device.type == "cpu":
            if skip:
                return
            skip = None
        matrices = [group for group in self.param_groups if group.get("use_muon")]
        for group in matrices:
            self._step_matrices(group, skip)
        gradients = [(p, p.grad) for group in matrices for p in group["params"]]
        for parameter, _ in gradients:
            parameter.grad = None  # so that AdamW skips it
        super().step()
        for parameter, gradient in gradients:
            parameter.grad = gradient

    def _step_matrices(self, group: dict[str, Any], skip: Tensor | None = None) -> None:
        """Update by Muon, for all matrices of one shape at a time.

        ``skip`` is a number on the device; if it is not 0, nothing changes.
        """
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                shape = (parameter.shape[0], parameter.numel() // parameter.shape[0])
                by_shape.setdefault(shape, []).append(parameter)
        decay = 1 - group["lr"] * group["weight_decay"]
        for (rows, columns), parameters in by_shape.items():
            updates = orthogonalize(
                torch.stack(
                    [whole(u).reshape(rows, columns) for u in self._advance(parameters, skip)]
                )
            )
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(parameters, updates, strict=True):
                update = spread(update.view(parameter.shape), parameter)
                if skip is None:
                    parameter.mul_(decay)
                else:
                    parameter.mul_(torch.where(skip != 0, 1.0, decay))
                    update = update.masked_fill(skip != 0, 0.0)
                parameter.add_(update, alpha=-rate)

    def _advance(self, parameters: list[nn.Parameter], skip: Tensor | None) -> list[Tensor]:
        """Update the momentum M of each parameter; returns ``(1 - mu) G + mu M``."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        moments = [self._moment(p) for p in parameters]
        old_moments = None if skip is None else [moment.clone() for moment in moments]
        torch._foreach_mul_(moments, MOMENTUM)
        torch._foreach_add_(moments, gradients)
        averages = list(torch._foreach_lerp(gradients, moments, MOMENTUM))
        if old_moments is not None and skip is not None:
            for moment, old_moment in zip(moments, old_moments, strict=True):
                moment.copy_(torch.where(skip != 0, old_moment, moment))
        return averages

    def _moment(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        moment: Tensor = state["momentum"]
        return moment
