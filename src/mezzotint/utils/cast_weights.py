"""Networks whose weights are converted to bf16 once, instead of in each evaluation.

Under autocast, products and convolutions convert their fp32 weights every time. Here each of these layers
also has its weights in bf16, and computes with them within autocast only. So the results are those of
autocast, whatever a network does besides.
"""

from typing import Any

import torch
from torch import nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""The layers that compute with converted weights; classes derived from them may do more, and are left out."""


def has_plain_weights(network: nn.Module) -> bool:
    """Whether all weights are ordinary ones: neither spread over processes nor without a shape yet."""
    return all(type(parameter) is nn.Parameter for parameter in network.parameters())


def with_weights_in(network: nn.Module, precision: torch.dtype) -> nn.Module:
    """A network that shares everything with another, and has the weights of its layers in a number type too.

    It is for sampling. It follows the network as it is now: make another one after a change of its weights.

    Args:
        network: the network; it does not change.
        precision: the number type.

    Returns:
        A shallow copy of the network; the network itself if its weights are not plain ones.
    """
    if not has_plain_weights(network):
        return network
    return _copied(network, precision, {})


def _copied(module: nn.Module, precision: torch.dtype, made: dict[int, nn.Module]) -> nn.Module:
    """A shallow copy of a module and of those in it. ``made`` has the copies, by the module's id."""
    if isinstance(module, torch.jit.ScriptModule):
        return module
    if id(module) not in made:
        made[id(module)] = copied = _shallow_copy(module)
        if _computes_with_its_weights(module):
            _convert(copied, module, precision)
        children = {
            name: None if child is None else _copied(child, precision, made)
            for name, child in module._modules.items()
        }
        copied.__dict__["_modules"] = children
    return made[id(module)]


def _shallow_copy(module: nn.Module) -> nn.Module:
    """A module with the same attributes; some modules refuse ``copy.copy``, as they would be pickled."""
    copied: nn.Module = object.__new__(type(module))
    copied.__dict__.update(module.__dict__)
    return copied


def _computes_with_its_weights(module: nn.Module) -> bool:
    """Whether a module is a layer whose result depends on its weights in the usual way alone."""
    return (
        type(module) in LAYERS
        and module._parameters.keys() == {"weight", "bias"}
        and not module._forward_pre_hooks  # they may make new weights
        and "forward" not in module.__dict__
    )


def _convert(copied: nn.Module, module: nn.Module, precision: torch.dtype) -> None:
    """Make a copy of a layer compute with converted weights where autocast would convert them."""
    converted = _shallow_copy(module)
    converted.__dict__["_parameters"] = {
        name: None if weight is None else weight.detach().to(precision)
        for name, weight in module._parameters.items()
    }
    device = next(module.parameters()).device.type

    def forward(*inputs: Any, **options: Any) -> Any:
        autocast = torch.is_autocast_enabled(device)
        same = autocast and torch.get_autocast_dtype(device) == precision
        return (converted if same else module).forward(*inputs, **options)

    copied.forward = forward
