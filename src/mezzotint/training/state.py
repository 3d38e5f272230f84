"""Everything that training changes, as one object; a checkpoint saves all of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .ema import Ema
from .sharding import all_whole, load_whole, spread


@dataclass
class TrainingState:
    """The state of a training run.

    Args:
        network: the network itself, without a distributed wrapper.
        optimizer: optimizer of all networks.
        ema: moving average of the weights, or None.
        scaler: loss scaler of fp16, or None.
        beside: further networks that are trained, by name, such as a critic.
        step: number of optimizer steps done.
        images: number of images of these steps, over all epochs and processes.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    scaler: torch.amp.GradScaler | None = None
    beside: dict[str, nn.Module] = field(default_factory=dict)
    step: int = 0
    images: int = 0

    def _parameters(self) -> dict[str, nn.Parameter]:
        """All parameters of the optimizer, by name."""
        parameters = dict(self.network.named_parameters())
        for prefix, module in self.beside.items():
            parameters |= dict(module.named_parameters(prefix=prefix))
        return parameters

    @property
    def sampling_network(self) -> nn.Module:
        """The network to sample from: the moving average, or the network if there is none."""
        return self.ema.network if self.ema else self.network

    def tensors(self, keep: bool = True) -> dict[str, Tensor]:
        """Everything except the weights of the sampling network, as full tensors by name.

        Names are ``optimizer.PARAMETER.MOMENT``, ``network.NAME`` (if there is a moving average), the name of
        a further network with that of its weight, such as ``critic.NAME``, ``scaler.scale``,
        ``scaler.growth`` and ``images``. All processes must call this; for ``keep`` see
        :func:`sharding.all_whole`.
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
        """Restore a state.

        Args:
            weights: full tensors of the sampling network.
            tensors: from :meth:`tensors`.
            step: number of optimizer steps done.

        Raises:
            RuntimeError: if they do not fit the networks.
        """
        load_whole(self.sampling_network, weights)
        load_whole(self.network, _strip_prefix("network.", tensors) or weights)
        for prefix, module in self.beside.items():
            load_whole(module, _strip_prefix(f"{prefix}.", tensors))
        self.optimizer.state.clear()
        parameters = self._parameters()
        for name, value in _strip_prefix("optimizer.", tensors).items():
            parameter_name, key = name.rsplit(".", 1)
            parameter = parameters[parameter_name]
            if value.shape == parameter.shape:
                # Fused Adam needs moments in the memory format of their weights.
                moment = torch.empty_like(parameter, dtype=value.dtype)
                value = moment.copy_(spread(value, parameter))
            elif self.optimizer.defaults.get("fused"):
                value = value.to(parameter.device)  # the step count, which fused kernels read
            self.optimizer.state[parameter][key] = value
        if self.scaler is not None and "scaler.scale" in tensors:
            scaler = self.scaler.state_dict()
            scaler["scale"] = tensors["scaler.scale"].item()
            scaler["_growth_tracker"] = int(tensors["scaler.growth"])
            self.scaler.load_state_dict(scaler)
        self.step = step
        self.images = int(tensors["images"])


@dataclass(frozen=True)
class Hook:
    """A function that is called after every ``every`` steps.

    It runs on the main process only; if weights are sharded, on all, since no process has the full weights.

    Args:
        every: number of steps between calls; 0 for never.
        run: called with the state.
    """

    every: int
    run: Callable[[TrainingState], None]


def _strip_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
