"""The results of training steps: read, logged and checked for non-finite numbers."""

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

MAX_OVERFLOWS = 48
"""Overflows of fp16 in a row that are more than a search for the scale: it is halved at each."""


class Diverged(RuntimeError):
    """The loss or gradient was not finite for many steps in a row, or the weights are not."""


def report_bad_step(step: int, bad: int, rate: float) -> None:
    """Report on standard error that a step was skipped.

    Args:
        step: number of the step.
        bad: number of skipped steps in a row, up to this one.
        rate: the learning rate of the step.

    Raises:
        Diverged: if there were ``MAX_BAD_STEPS`` or more.
    """
    warn(f"step {step}: loss or gradient is not finite; the step is skipped")
    if bad >= MAX_BAD_STEPS:
        raise Diverged(
            f"training has diverged: {bad} steps in a row without a finite loss or gradient, up to step"
            f" {step}, at a learning rate of {rate:.3g}"
        )


@dataclass(frozen=True)
class StepResult:
    """The result of a step, as scalars on the device.

    Args:
        loss: mean loss of the batch.
        gradient_norm: norm of the network's gradients.
        beside_norm: norm of the gradients of all further networks; 0 if there are none.
    """

    loss: Tensor
    gradient_norm: Tensor
    beside_norm: Tensor

    @property
    def finite(self) -> Tensor:
        """Whether all three are finite, as a tensor on the device."""
        norms = self.gradient_norm.isfinite() & self.beside_norm.isfinite()
        return self.loss.isfinite() & norms


class Monitor:
    """Reads the results of steps, logs them and reports bad steps.

    The attribute ``pending`` holds the results that are not read yet.

    Args:
        state: state of the training; ``state.step`` is the number of the next step.
        settings: settings of the training.
        deferred: whether several results are read at a time; see :attr:`Trainer.deferred`.
        log: called with each entry of the metrics, or None.
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
        self._largest_norm = 0.0
        self._skip_count = 0
        self._norms = (0.0, 0.0)
        self._start_time = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether results should be read now: after each step, or after several if ``deferred``."""
        return not self.deferred or len(self.pending) % MAX_BAD_STEPS == 0

    def read(self) -> None:
        """Read all pending results.

        Raises:
            Diverged: if there were too many bad steps in a row.
        """
        first_step = self.state.step - len(self.pending)
        values = [torch.stack([r.loss, r.gradient_norm, r.beside_norm]) for r in self.pending]
        self.pending = []
        for step, (loss, norm, beside) in enumerate(torch.stack(values).tolist(), first_step):
            if all(map(math.isfinite, (loss, norm, beside))):
                self.bad_in_a_row = 0
                self._losses.append(loss)
                self._norms = (norm, beside)
                self._largest_norm = max(self._largest_norm, norm)
                continue
            self.bad_in_a_row += 1
            self._skip_count += 1
            # With the loss scaler of fp16, gradients overflow now and then by design.
            overflow = self.state.scaler is not None and math.isfinite(loss)
            if not overflow or self.bad_in_a_row >= MAX_OVERFLOWS:
                report_bad_step(step, self.bad_in_a_row, learning_rate(step, self.settings))

    def write(self) -> str:
        """Log the results since the last call, if any was finite, and return a short summary."""
        if not self._losses:
            return "no finite loss"
        seconds = time.perf_counter() - self._start_time
        self._start_time = time.perf_counter()
        rate = (len(self._losses) + self._skip_count) * self.settings.batch / seconds
        if self.log is not None:
            self.log(self._entry(rate))
        mean = self._mean_loss
        self._losses = []
        self._largest_norm = 0.0
        self._skip_count = 0
        return f"loss {mean:.4f}, {rate:.0f} images/s"

    @property
    def _mean_loss(self) -> float:
        return sum(self._losses) / len(self._losses)

    def _entry(self, rate: float) -> dict[str, Any]:
        # The norms are those of the last step; there are none if it was skipped.
        norm, beside = (None, None) if self.bad_in_a_row else self._norms
        entry: dict[str, Any] = {
            "step": self.state.step,
            "loss": self._mean_loss,
            "largest_loss": max(self._losses),
            "learning_rate": learning_rate(self.state.step - 1, self.settings),
            "gradient_norm": norm,
            "largest_gradient_norm": self._largest_norm,
            "images_per_second": rate,
        }
        entry |= {f"{name}_gradient_norm": beside for name in self.state.beside}
        if self._skip_count:
            entry["skipped_steps"] = self._skip_count
        return entry

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of a block from the images per second."""
        start = time.perf_counter()
        yield
        self._start_time += time.perf_counter() - start
