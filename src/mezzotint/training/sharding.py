"""Sharding: every process keeps a part of each weight, of its gradient and of the optimizer's moments,
and gathers a block's weights only while it computes with them (Rajbhandari et al. 2020, "ZeRO", stage 3;
PyTorch's FSDP2).

What is computed is what one process would compute; what is saved are whole tensors, which any number of
processes can go on from.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def shard(network: nn.Module, device: torch.device, processes: int) -> None:
    """Spread the weights of ``network``, wherever they are, over the devices of all processes, in place.

    Each entry of a ModuleList is gathered alone when it computes, all the rest together.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # FSDP2 knows no other format.
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = init_device_mesh(device.type, (processes,))
    for blocks in [m for m in network.modules() if isinstance(m, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    # The root as well gives its weights back: an average is never run backward, which would do it.
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def whole(tensor: Tensor) -> Tensor:
    """The tensor, gathered from all processes if it is sharded. All of them have to ask."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def all_whole(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """All of them whole, gathered one at a time; sharded ones in the main memory, which a device's is too
    small for. All processes have to ask; those that do not ``keep`` them get nothing."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if keep:
            found[name] = tensor if gathered is tensor else gathered.cpu()
    return found


def spread(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole ``tensor``, the same on all processes, spread over them as ``example`` is, if it is."""
    if not hasattr(example, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    layout: Any = example
    place = layout.device_mesh, layout.placements
    # None: each takes its part of what it has, and nothing is sent.
    return distribute_tensor(tensor.to(example.device), *place, src_data_rank=None)


def load_whole(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """``network.load_state_dict`` of whole tensors. Raises RuntimeError where they do not fit."""
    own = network.state_dict()
    network.load_state_dict({k: spread(v, own[k]) if k in own else v for k, v in tensors.items()})
