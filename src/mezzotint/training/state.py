"""All that training changes, as one object: what is in it is in the checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .ema import Ema
from .sharding import all_whole, load_whole, spread


@dataclass
class TrainingState:
    """Everything that a checkpoint holds.

    Args:
        network: bare, never a distributed wrapper.
        optimizer: of the network and of those beside it.
        ema: the weights' moving average, if one is kept.
        scaler: of fp16's losses, if one is used.
        beside: networks that are trained beside it, by name, such as a critic.
        step: optimizer steps done.
        images: images seen, over all epochs and processes.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    scaler: torch.amp.GradScaler | None = None
    beside: dict[str, nn.Module] = field(default_factory=dict)
    step: int = 0
    images: int = 0

    def _parameters(self) -> dict[str, nn.Parameter]:
        """All that the optimizer moves, by name."""
        named = dict(self.network.named_parameters())
        for prefix, module in self.beside.items():
            named |= dict(module.named_parameters(prefix=prefix))
        return named

    @property
    def sampling_network(self) -> nn.Module:
        """The network to sample from: the average, or the network where none is kept."""
        return self.ema.network if self.ema else self.network

    def tensors(self, keep: bool = True) -> dict[str, Tensor]:
        """Everything but the sampling network's weights, flat and whole.

        Names are ``optimizer.PARAMETER.MOMENT``, ``network.NAME`` (where an average is kept), the name of a
        network beside it and then its own, such as ``critic.NAME``, ``scaler.scale``, ``scaler.growth`` and
        ``images``. All processes have to ask; see :func:`sharding.all_whole` for ``keep``.
        """
        tensors = {
            f"optimizer.{name}.{key}": torch.as_tensor(value)
            for name, parameter in self._parameters().items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
        if self.ema:
            tensors |= {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for prefix, module in self.beside.items():
            tensors |= {f"{prefix}.{k}": v for k, v in module.state_dict().items()}
        if self.scaler is not None and (scaler := self.scaler.state_dict()):
            tensors["scaler.scale"] = torch.tensor(scaler["scale"], dtype=torch.float64)
            tensors["scaler.growth"] = torch.tensor(scaler["_growth_tracker"])
        tensors["images"] = torch.tensor(self.images)
        return all_whole(tensors, keep)

    def load(self, weights: dict[str, Tensor], tensors: dict[str, Tensor], step: int) -> None:
        """Become the state that :meth:`tensors` and the sampling network's ``weights`` were taken from."""
        load_whole(self.sampling_network, weights)
        load_whole(self.network, _strip_prefix("network.", tensors) or weights)
        for prefix, module in self.beside.items():
            load_whole(module, _strip_prefix(f"{prefix}.", tensors))
        self.optimizer.state.clear()
        parameters = self._parameters()
        for name, value in _strip_prefix("optimizer.", tensors).items():
            owner, key = name.rsplit(".", 1)
            parameter = parameters[owner]
            if value.shape == parameter.shape:
                # Fused Adam walks memory: moments have to lie in it as their weights do.
                moment = torch.empty_like(parameter, dtype=value.dtype)
                value = moment.copy_(spread(value, parameter))
            elif self.optimizer.defaults.get("fused"):
                value = value.to(parameter.device)  # the count of steps, which a fused kernel reads
            self.optimizer.state[parameter][key] = value
        if self.scaler is not None and "scaler.scale" in tensors:
            saved = self.scaler.state_dict()
            saved["scale"] = tensors["scaler.scale"].item()
            saved["_growth_tracker"] = int(tensors["scaler.growth"])
            self.scaler.load_state_dict(saved)
        self.step = step
        self.images = int(tensors["images"])


@dataclass(frozen=True)
class Hook:
    """``run(state)`` after every ``every`` steps; 0 is never. On the main process alone, or on all where
    weights are sharded, since then no one has them whole."""

    every: int
    run: Callable[[TrainingState], None]


def _strip_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
