"""Muon, against the singular value decomposition, against its own formula, and against AdamW."""

import pytest
import torch
from torch import Tensor, nn

from mezzotint.config import Training
from mezzotint.training.muon import MOMENTUM, Muon, orthogonalize
from mezzotint.training.optimizer import ADAM_SHARE, make_optimizer


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 144), (96, 24), (1, 7)])
def test_orthogonalizing_keeps_the_singular_vectors_and_evens_the_values(
    rows: int, columns: int
) -> None:
    matrices = random(3, rows, columns)
    made = orthogonalize(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ made @ right.mT  # diagonal, were it exact
    values = inside.diagonal(dim1=1, dim2=2)
    assert (values > 0.3).all()  # the smallest of a square matrix start near 0
    assert (values < 1.25).all()
    if rows != columns:
        assert (values > 0.65).all()
    off = inside - torch.diag_embed(values)
    assert off.abs().max() < 1e-4


def test_scale_does_not_matter_and_zero_stays_zero() -> None:
    x = random(1, 8, 20)
    torch.testing.assert_close(orthogonalize(1e3 * x), orthogonalize(x), rtol=1e-3, atol=1e-4)
    assert (orthogonalize(torch.zeros(1, 8, 20)) == 0).all()


class Small(nn.Module):
    """One of each kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.tall = nn.Linear(4, 16)
        self.table = nn.Embedding(5, 4)
        self.norm = nn.GroupNorm(2, 8)


def gradients(network: nn.Module, seed: int) -> None:
    for k, parameter in enumerate(network.parameters()):
        parameter.grad = random(*parameter.shape, seed=100 * seed + k)


def test_matrices_move_by_the_formula_and_the_rest_as_under_adamw() -> None:
    torch.manual_seed(0)
    network, twin = Small(), Small()
    twin.load_state_dict(network.state_dict())
    optimizer = make_optimizer(
        network, Training(optimizer="muon", learning_rate=0.02, weight_decay=0.1)
    )
    assert isinstance(optimizer, Muon)
    for group in optimizer.param_groups:
        group["lr"] = 0.02 * group.get("share", 1.0)
    rest = ("conv.bias", "tall.bias", "table.weight", "norm.weight", "norm.bias")
    theirs = dict(twin.named_parameters())
    adamw = torch.optim.AdamW([theirs[n] for n in rest], lr=0.02 * ADAM_SHARE, weight_decay=0)
    moments = {name: torch.zeros_like(theirs[name]) for name in ("conv.weight", "tall.weight")}
    for step in range(3):
        gradients(network, step)
        gradients(twin, step)
        optimizer.step()
        adamw.step()
        for name, factor in (("conv.weight", 1.0), ("tall.weight", 2.0)):
            p = theirs[name]
            moments[name] = MOMENTUM * moments[name] + p.grad
            u = (1 - MOMENTUM) * p.grad + MOMENTUM * moments[name]
            update = orthogonalize(u.flatten(1)[None])[0].view(p.shape)
            with torch.no_grad():
                p.mul_(1 - 0.02 * 0.1).sub_(0.02 * factor * update)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], msg=lambda m, name=name: f"{name}: {m}")
        assert parameter.grad is not None, name  # whoever looks at gradients afterwards finds them


def test_parameters_without_gradients_stay() -> None:
    network = Small()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, Training(optimizer="muon", weight_decay=0.1))
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]), name
