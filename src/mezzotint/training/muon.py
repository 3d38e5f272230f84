"""Muon: orthogonalized momentum (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

The update of a weight matrix W (outputs, inputs; a convolution's kernel is flattened to one) is
(docs/mathematics.md, eq. 25)::

    M <- mu M + G,        U = (1 - mu) G + mu M  ~  A S B^T (its singular value decomposition),
    W <- W - eta sqrt(max(1, outputs / inputs)) A B^T

so that a matrix moves equally far in all its singular directions, also those of small gradients.
A B^T is computed by a few Newton-Schulz steps, which need matrix products only::

    X <- p(X X^T) X,   p(G) = a I + b G + c G^2,   X_0 = U / |U|_F,   (a, b, c) = (3.4445, -4.7750, 2.0315).

Each step multiplies X from the left by a polynomial of X X^T, so all of them are polynomials of
G_0 = X_0 X_0^T and commute. It is enough, therefore, to follow the small square matrices::

    P = p(G),   Q <- P Q,   G <- P G P,   Q_0 = I,   and in the end A B^T = Q X_0.

A kernel of 128 x 1152 takes 2.7 times less arithmetic in this way, and the square matrices of all
parameters whose shorter sides are equal are multiplied together.

AdamW updates embedding tables and all parameters that are not matrices.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .sharding import spread, whole

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5

Matrices = Float[Tensor, "_count _rows _columns"]


def orthogonalize(stacks: Sequence[Matrices]) -> list[Matrices]:
    """Bring all singular values of each matrix near 1 (0.7 to 1.2) and keep its singular vectors.

    Args:
        stacks: matrices of one shape each, (count, rows, columns); the shorter side is the same in all.

    Returns:
        stacks of the same shapes.
    """
    wide = [x.mT if x.shape[1] > x.shape[2] else x for x in stacks]
    wide = [x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7) for x in wide]
    factors = _newton_schulz(torch.cat([x @ x.mT for x in wide]))
    products = [f @ x for f, x in zip(factors.split([len(x) for x in wide]), wide, strict=True)]
    return [y if y.shape == x.shape else y.mT for x, y in zip(stacks, products, strict=True)]


def _newton_schulz(gram: Float[Tensor, "count rows rows"]) -> Float[Tensor, "count rows rows"]:
    """The matrices Q that bring all singular values of X near 1, from ``gram`` = X X^T."""
    factor = _polynomial(gram)
    product = factor
    for _ in range(STEPS - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram)
        product = factor @ product
    return product


def _polynomial(gram: Float[Tensor, "count rows rows"]) -> Float[Tensor, "count rows rows"]:
    """``a I + b G + c G^2``."""
    a, b, c = NEWTON_SCHULZ
    polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    polynomial.diagonal(dim1=1, dim2=2).add_(a)
    return polynomial


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
        """Update by Muon, for all matrices with the same shorter side at a time.

        ``skip`` is a number on the device; if it is not 0, nothing changes.
        """
        by_side: dict[int, dict[tuple[int, int], list[nn.Parameter]]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                shape = (parameter.shape[0], parameter.numel() // parameter.shape[0])
                by_side.setdefault(min(shape), {}).setdefault(shape, []).append(parameter)
        for by_shape in by_side.values():
            momenta = [
                torch.stack([whole(u).reshape(shape) for u in self._advance(parameters, skip)])
                for shape, parameters in by_shape.items()
            ]
            for parameters, updates in zip(by_shape.values(), orthogonalize(momenta), strict=True):
                self._move(parameters, updates, group, skip)

    def _move(
        self,
        parameters: list[nn.Parameter],
        updates: Matrices,
        group: dict[str, Any],
        skip: Tensor | None,
    ) -> None:
        """Decay parameters of one shape, and subtract their updates."""
        _, rows, columns = updates.shape
        decay = 1 - group["lr"] * group["weight_decay"]
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
