"""Muon, against the singular value decomposition, against its own formula, and against AdamW."""

import pytest
import torch
from torch import Tensor, nn

from mezzotint.recipe.schema import Training
from mezzotint.registry import OPTIMIZERS
from mezzotint.training.muon import MOMENTUM, Muon, orthogonalize
from mezzotint.training.optimizers import ADAMW_SCALE


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 144), (96, 24), (1, 7)])
def test_orthogonalizing_keeps_the_singular_vectors_and_evens_the_values(
    rows: int, columns: int
) -> None:
    matrices = random(3, rows, columns)
    (made,) = orthogonalize([matrices])
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
    torch.testing.assert_close(orthogonalize([1e3 * x]), orthogonalize([x]), rtol=1e-3, atol=1e-4)
    assert (orthogonalize([torch.zeros(1, 8, 20)])[0] == 0).all()


def one_by_one(matrix: Tensor) -> Tensor:
    """The steps as they are published, on the whole matrix."""
    x = (matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix).double()
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x - (4.7750 * gram - 2.0315 * gram @ gram) @ x
    return (x.mT if matrix.shape[0] > matrix.shape[1] else x).float()


def test_matrices_of_all_shapes_at_once_are_those_of_the_published_steps() -> None:
    """Tall, wide and square ones."""
    shapes = [(3, 16, 16), (2, 16, 144), (1, 96, 16), (2, 16, 24)]
    stacks = [random(*shape, seed=k) for k, shape in enumerate(shapes)]
    for stack, made in zip(stacks, orthogonalize(stacks), strict=True):
        expected = torch.stack([one_by_one(matrix) for matrix in stack])
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=2e-4)


def test_small_singular_values_are_raised_as_the_published_steps_raise_them() -> None:
    """Squared, a value of 1e-3 is 1e-6, near the precision of the sum that the square matrix holds."""
    left, _, right = torch.linalg.svd(random(1, 24, 60), full_matrices=False)
    matrix = left @ torch.diag_embed(torch.logspace(0, -3, 24))[None] @ right
    torch.testing.assert_close(
        orthogonalize([matrix])[0][0], one_by_one(matrix[0]), rtol=1e-3, atol=1e-3
    )


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
    optimizer = OPTIMIZERS["muon"](network, Training(learning_rate=0.02, weight_decay=0.1))
    assert isinstance(optimizer, Muon)
    for group in optimizer.param_groups:
        group["lr"] = 0.02 * group.get("lr_scale", 1.0)
    rest = ("conv.bias", "tall.bias", "table.weight", "norm.weight", "norm.bias")
    theirs = dict(twin.named_parameters())
    adamw = torch.optim.AdamW([theirs[n] for n in rest], lr=0.02 * ADAMW_SCALE, weight_decay=0)
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
            update = orthogonalize([u.flatten(1)[None]])[0].view(p.shape)
            with torch.no_grad():
                p.mul_(1 - 0.02 * 0.1).sub_(0.02 * factor * update)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], msg=lambda m, name=name: f"{name}: {m}")
        assert parameter.grad is not None, name  # whoever looks at gradients afterwards finds them


def test_parameters_without_gradients_stay() -> None:
    network = Small()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = OPTIMIZERS["muon"](network, Training(weight_decay=0.1))
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_weights_decay_by_a_hundredth_of_the_rate_unless_told_otherwise() -> None:
    for given, decay in [(None, 0.01), (0.0, 0.0), (0.1, 0.1)]:
        groups = OPTIMIZERS["muon"](Small(), Training(weight_decay=given)).param_groups
        matrices, rest = (group["weight_decay"] for group in groups)
        assert (matrices, rest) == (decay, 0)


def begun() -> tuple[Small, Muon]:
    """A network after two steps, with gradients for a third."""
    torch.manual_seed(0)
    network = Small()
    optimizer = OPTIMIZERS["muon"](network, Training(learning_rate=0.02, weight_decay=0.1))
    assert isinstance(optimizer, Muon)
    for step in range(2):
        gradients(network, step)
        optimizer.step()
    gradients(network, 2)
    return network, optimizer


def everything(network: Small, optimizer: Muon) -> dict[str, Tensor]:
    """Weights and moments."""
    tensors = {name: p.detach().clone() for name, p in network.named_parameters()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{name}.{key}"] = value.clone()
    assert sum(name.endswith("momentum") for name in tensors) == 2
    return tensors


def not_finite(network: Small) -> None:
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)


def test_a_step_to_skip_changes_neither_weights_nor_moments() -> None:
    network, optimizer = begun()
    before = everything(network, optimizer)
    not_finite(network)
    optimizer.found_inf = torch.tensor(1.0)  # as torch's gradient scaler says it
    optimizer.step()
    for name, value in everything(network, optimizer).items():
        assert torch.equal(value, before[name]), name
    optimizer.found_inf = torch.tensor(0.0)
    gradients(network, 2)
    optimizer.step()
    plain, twin = begun()
    twin.step()
    expected = everything(plain, twin)
    for name, value in everything(network, optimizer).items():
        assert torch.equal(value, expected[name]), name


def test_matrices_are_skipped_by_a_number_that_the_host_does_not_look_at() -> None:
    """As on a GPU, where it is a tensor there."""
    network, optimizer = begun()
    before = everything(network, optimizer)
    (matrices,) = (group for group in optimizer.param_groups if group.get("use_muon"))
    not_finite(network)
    with torch.no_grad():
        optimizer._step_matrices(matrices, torch.tensor(1.0))
    for name, value in everything(network, optimizer).items():
        assert torch.equal(value, before[name]), name
    gradients(network, 2)
    plain, twin = begun()
    with torch.no_grad():
        optimizer._step_matrices(matrices, torch.tensor(0.0))
        twin._step_matrices(twin.param_groups[0])
    expected = everything(plain, twin)
    for name, value in everything(network, optimizer).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-8)
    assert not torch.equal(network.conv.weight, before["conv.weight"])
