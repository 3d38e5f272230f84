"""What steps gave: read some at a time, logged, and watched for numbers that are none."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..recipe.schema import Training
from ..utils.console import warn
from .optimizers import learning_rate
from .state import TrainingState

MAX_BAD_STEPS = 10


class Diverged(RuntimeError):
    """The loss is not a number any more, step after step."""


def report_bad_step(step: int, bad: int) -> None:
    """Say that ``step`` was skipped, the last of ``bad`` in a row. Raises Diverged after too many."""
    warn(f"step {step}: loss or gradient is not finite; the step is skipped")
    if bad >= MAX_BAD_STEPS:
        raise Diverged(
            f"{bad} steps in a row without a finite loss, up to step {step}: training has"
            " diverged. The last good checkpoint is kept; resume it with a lower"
            " training.learning_rate or with training.clip_gradient, and look for broken images"
        )


@dataclass(frozen=True)
class StepResult:
    """What a step gave, as tensors on the device: the mean loss of the batch, and the norms of the gradients
    of the network and of those beside it (0 where there is none)."""

    loss: Tensor
    gradient_norm: Tensor
    beside_norm: Tensor

    @property
    def finite(self) -> Tensor:
        """Whether all three are."""
        norms = self.gradient_norm.isfinite() & self.beside_norm.isfinite()
        return self.loss.isfinite() & norms


class Monitor:
    """Reads what steps gave, and says what is wrong with them.

    Args:
        state: of the training; its step is that of the next step.
        settings: of the training.
        deferred: whether results are to be read some at a time; see :attr:`Trainer.deferred`.
        log: takes the entries of the metrics, if anything does.

    ``pending``: results that were not read yet.
    """

    def __init__(
        self,
        state: TrainingState,
        settings: Training,
        deferred: bool,
        log: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.state = state
        self.settings = settings
        self.deferred = deferred
        self.log = log
        self.pending: list[StepResult] = []
        self.bad_in_a_row = 0
        self._losses: list[float] = []
        self._skipped = 0
        self._norms = (0.0, 0.0)
        self._since = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether results should be read: at once, unless the host would have to wait for the device."""
        return not self.deferred or len(self.pending) % MAX_BAD_STEPS == 0

    def read(self) -> None:
        """Read all pending results. Raises Diverged after too many bad steps in a row."""
        first = self.state.step - len(self.pending)
        values = [torch.stack([r.loss, r.gradient_norm, r.beside_norm]) for r in self.pending]
        self.pending = []
        for step, (loss, norm, beside) in enumerate(torch.stack(values).tolist(), first):
            if all(map(math.isfinite, (loss, norm, beside))):
                self.bad_in_a_row = 0
                self._losses.append(loss)
                self._norms = norm, beside
                continue
            self.bad_in_a_row += 1
            self._skipped += 1
            # fp16's scaler overflows now and then, by design.
            if self.state.scaler is None or not math.isfinite(loss):
                report_bad_step(step, self.bad_in_a_row)

    def write(self) -> str:
        """Log what was read since the last time, if any of it was finite. Returns a few words of it."""
        if not self._losses:
            return "no finite loss"
        seconds = time.perf_counter() - self._since
        self._since = time.perf_counter()
        mean = sum(self._losses) / len(self._losses)
        rate = (len(self._losses) + self._skipped) * self.settings.batch / seconds
        if self.log is not None:
            self.log(self._entry(mean, rate))
        self._losses = []
        self._skipped = 0
        return f"loss {mean:.4f}, {rate:.0f} images/s"

    def _entry(self, mean: float, rate: float) -> dict[str, Any]:
        # The norms are those of the last step; there are none where it was skipped.
        norm, beside = (None, None) if self.bad_in_a_row else self._norms
        entry: dict[str, Any] = {
            "step": self.state.step,
            "loss": mean,
            "learning_rate": learning_rate(self.state.step - 1, self.settings),
            "gradient_norm": norm,
            "images_per_second": rate,
        }
        entry |= {f"{name}_gradient_norm": beside for name in self.state.beside}
        if self._skipped:
            entry["skipped_steps"] = self._skipped
        return entry

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A block whose time does not count."""
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start
