"""All that training changes, as one object: what is in it is in the checkpoint."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .ema import Ema
from .sharding import all_whole, load_whole, spread


@dataclass
class TrainingState:
    """``network`` (bare, never a distributed wrapper), its ``optimizer``, its moving average if one
    is kept, the fp16 loss scaler if one is used, ``step``, the number of steps done, and the critic that is
    trained beside it, if one is."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    scaler: torch.amp.GradScaler | None = None
    step: int = 0
    critic: nn.Module | None = None

    def _parameters(self) -> dict[str, nn.Parameter]:
        """All that the optimizer moves, by name."""
        critic = self.critic.named_parameters(prefix="critic") if self.critic else ()
        return dict(self.network.named_parameters()) | dict(critic)

    @property
    def released(self) -> nn.Module:
        """The network to sample from: the average, or the network where none is kept."""
        return self.ema.network if self.ema else self.network

    def tensors(self, keep: bool = True) -> dict[str, Tensor]:
        """Everything but the released weights, flat, by name, and whole; see :func:`sharding.all_whole`."""
        found = {f"optimizer.{name}.{key}": torch.as_tensor(value)
                 for name, parameter in self._parameters().items()
                 for key, value in self.optimizer.state.get(parameter, {}).items()}  # fmt: skip
        if self.ema:
            found |= {f"network.{k}": v for k, v in self.network.state_dict().items()}
        if self.critic:
            found |= {f"critic.{k}": v for k, v in self.critic.state_dict().items()}
        if self.scaler is not None and (scaler := self.scaler.state_dict()):
            found["scaler.scale"] = torch.tensor(scaler["scale"], dtype=torch.float64)
            found["scaler.growth"] = torch.tensor(scaler["_growth_tracker"])
        return all_whole(found, keep)

    def load(self, released: dict[str, Tensor], tensors: dict[str, Tensor], step: int) -> None:
        """Become the state that :meth:`tensors` and the released weights were taken from."""
        load_whole(self.released, released)
        load_whole(self.network, _under("network.", tensors) or released)
        if self.critic:
            load_whole(self.critic, _under("critic.", tensors))
        self.optimizer.state.clear()
        parameters = self._parameters()
        for name, value in _under("optimizer.", tensors).items():
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


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
