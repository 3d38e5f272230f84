"""Sharding of weights, gradients and optimizer state over processes.

Every process stores a part of each weight, of its gradient and of the optimizer's moments, and gathers the
weights of a block only while it computes with them (Rajbhandari et al. 2020, "ZeRO", stage 3; PyTorch's
FSDP2). The result is that of a single process. Full tensors are saved, so that a run can continue with any
number of processes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def shard(network: nn.Module, device: torch.device, processes: int) -> None:
    """Shard the weights of a network over all processes, in place.

    The entries of each ModuleList are gathered one by one, all other weights together.

    Args:
        network: the network, on any device.
        device: device of this process.
        processes: number of processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # FSDP2 supports no other memory format.
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = init_device_mesh(device.type, (processes,))
    for blocks in [m for m in network.modules() if isinstance(m, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    # By default the root's weights are freed after backward, which the moving average never runs.
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, which is all of it if it is not sharded."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def whole(tensor: Tensor) -> Tensor:
    """The full tensor, gathered from all processes if it is sharded; all of them must call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def all_whole(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """The full tensors, gathered one at a time; all processes must call this.

    Args:
        tensors: tensors by name, sharded or not.
        keep: whether this process needs the result.

    Returns:
        the full tensors by name, or an empty dict without ``keep``. Those that were sharded are on the CPU,
        because they may not fit on a device.
    """
    full_tensors: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            full_tensors[name] = tensor if full is tensor else full.cpu()
    return full_tensors


def spread(tensor: Tensor, example: Tensor) -> Tensor:
    """Shard a full tensor like another one.

    Args:
        tensor: full tensor, the same on all processes.
        example: tensor of the same shape, sharded or not.

    Returns:
        ``tensor``, sharded if ``example`` is.
    """
    if not hasattr(example, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    layout: Any = example
    # With None each process takes its part of its own copy, and nothing is sent.
    return distribute_tensor(
        tensor.to(example.device), layout.device_mesh, layout.placements, src_data_rank=None
    )


def load_whole(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a state dict of full tensors, sharded if the network is.

    Args:
        network: the network, sharded or not.
        tensors: full tensors by name.

    Raises:
        RuntimeError: if they do not fit.
    """
    state = network.state_dict()
    network.load_state_dict(
        {k: spread(v, state[k]) if k in state else v for k, v in tensors.items()}
    )
