"""The training loop.

Images, times, noise and label dropout of a step are functions of (seed, step, images seen), and the learning
rate is one of the step. So only the state must be saved: a run that was stopped and resumed ends with the
same bits as an uninterrupted one (on the same machine, build and number of processes).
"""

import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..data import ImageData
from ..diffusion.denoiser import NetworkDenoiser
from ..objectives.base import Noise, Objective
from ..recipe.schema import Training
from ..registry import OPTIMIZERS
from ..utils import pixels
from ..utils.device import deterministic, place
from ..utils.measured_precision import choose_precision
from ..utils.precision import in_precision
from ..utils.processes import processes
from ..utils.progress import bar
from ..utils.randomness import Stream, derived_seed, generator
from ..utils.signals import Stopped, StopRequest, stop_on_signal
from .batches import balanced_rows, batch_indices, batch_parts, rows_of_process
from .ema import Ema
from .monitor import Monitor, StepResult
from .muon import Muon
from .optimizers import adam_groups, check_beside, learning_rate, total_norm
from .sharding import shard, whole
from .state import Hook, TrainingState


class Trainer:
    """Trains the network of a denoiser.

    Args:
        denoiser: the network to train, its schedule and what it predicts. The network is called as
            ``network(x_t, timestep, labels)``, and may be any ``nn.Module``.
        objective: what it is trained for.
        data: the images.
        settings: steps, batch, optimizer, precision and so on.
        seed: of all random numbers.
        title: of the progress bar.

    Raises:
        ValueError: if the settings do not match the data, the objective or the machine.
    """

    def __init__(
        self,
        denoiser: NetworkDenoiser,
        objective: Objective[Any],
        data: ImageData,
        settings: Training,
        *,
        seed: int = 0,
        title: str = "training",
    ) -> None:
        self.objective = objective
        self.settings = settings
        self.seed = seed
        self.title = title
        self.spec = data.spec
        self.processes = processes()
        self.device = self.processes.device
        self.precision = self.processes.from_main(
            choose_precision(settings.precision, denoiser, self.spec, self.device, "train")
        )
        self._check()
        self.images = data.images.to(self.device)
        self.labels = data.labels.to(self.device) if data.classes else None
        # The rows of the data that make up an epoch.
        self.rows = balanced_rows(data.labels) if settings.balance == "classes" else None
        self.state = self._initial_state(denoiser.network)
        self.wrapped = self._wrap(self.state.network)
        self.denoiser = dataclasses.replace(denoiser, network=self.wrapped)

    def _check(self) -> None:
        settings = self.settings
        count = self.processes.count
        if self.precision == torch.float16 and self.sharded:
            raise ValueError("training.precision = 'fp16' cannot go with training.sharding")
        if settings.batch % (count * self.objective.group):
            groups = f" in groups of {self.objective.group}" if self.objective.group > 1 else ""
            raise ValueError(
                f"training.batch = {settings.batch} cannot be shared equally{groups} by"
                f" {count} process{'es' if count > 1 else ''}"
            )

    @property
    def sharded(self) -> bool:
        """Whether the weights are spread over several processes."""
        return self.settings.sharding == "full" and self.processes.count > 1

    @property
    def runs_hooks(self) -> bool:
        """Whether this process runs hooks and writes the last files."""
        return self.processes.is_main or self.sharded

    @property
    def deferred(self) -> bool:
        """Whether bad steps are skipped on the device, so that a GPU need not wait for the host."""
        optimizer = self.state.optimizer
        skips = isinstance(optimizer, Muon) or bool(optimizer.defaults.get("fused"))
        return self.device.type == "cuda" and skips and not self.sharded

    def _initial_state(self, network: nn.Module) -> TrainingState:
        settings = self.settings
        if not self.sharded:  # a network that is to be sharded may be too large for one device
            place(network, self.device)
        ema = Ema(network, settings.ema) if settings.ema else None
        if self.sharded:
            for part in (network, ema.network) if ema else (network,):
                shard(part, self.device, self.processes.count)
        beside = {name: place(m, self.device) for name, m in self.objective.modules().items()}
        groups = self.objective.param_groups(network)
        if groups is None:
            optimizer = OPTIMIZERS[settings.optimizer](network, settings)
        else:
            optimizer = adam_groups(groups, settings)
        check_beside(beside, optimizer)
        half = self.precision == torch.float16
        scaler = torch.amp.GradScaler(self.device.type) if half else None
        return TrainingState(network, optimizer, ema, scaler, beside)

    def _wrap(self, network: nn.Module) -> nn.Module:
        """The network as it is called in training: distributed, compiled."""
        wrapped = network
        if self.processes.count > 1 and not self.sharded:
            devices = [self.device] if self.device.type == "cuda" else None
            wrapped = DistributedDataParallel(network, devices)
        if self.settings.compile:
            wrapped.compile()
        return wrapped

    def run(
        self, hooks: Sequence[Hook] = (), log: Callable[[dict[str, Any]], None] | None = None
    ) -> Stopped:
        """Train from the state's step to the last one, or until a signal.

        Args:
            hooks: functions to call at intervals.
            log: called with the metrics, every ``log_every`` steps, on the main process.

        Returns:
            The step it ended at, and the signal that stopped it, if any.

        Raises:
            Diverged: after several steps in a row without a finite loss.
        """
        state = self.state
        last = self.settings.steps
        self.wrapped.train()
        silent = not self.processes.is_main
        monitor = Monitor(state, self.settings, self.deferred, None if silent else log)
        progress_bar = bar(self.title, last, initial=state.step, disable=silent)
        with stop_on_signal() as request, progress_bar as progress:
            while state.step < last:
                if monitor.due and self._asked_to_stop(request):
                    break
                monitor.pending.append(self.step())
                progress.update()
                logs = state.step % self.settings.log_every == 0 or state.step == last
                hooked = [h for h in hooks if h.every and state.step % h.every == 0]
                if logs or hooked or monitor.due:
                    monitor.read()
                if logs:
                    progress.set_postfix_str(monitor.write(), refresh=False)
                with monitor.paused():
                    for hook in hooked:
                        if self.runs_hooks and not monitor.bad_in_a_row:
                            hook.run(state)
                    if hooked:
                        self.processes.wait()
        if state.step >= last:
            return Stopped(state.step, None)
        return Stopped(state.step, request.received or signal.SIGTERM)  # another process was asked

    def __iter__(self) -> Iterator[StepResult]:
        """Take the remaining steps one by one, without signals, log, hooks or a check for divergence."""
        self.wrapped.train()
        while self.state.step < self.settings.steps:
            yield self.step()

    def _asked_to_stop(self, request: StopRequest) -> bool:
        """Whether any process was, so that all stop at the same step."""
        stop = request.received is not None
        if self.processes.count == 1:
            return stop
        votes = torch.tensor(float(stop), device=self.device)
        return bool(self.processes.sum(votes).item() > 0)

    def step(self) -> StepResult:
        """Take one optimizer step; if its loss or gradient is not finite, it changes no weights."""
        with deterministic(self.settings.deterministic):
            return self._step()

    def _step(self) -> StepResult:
        state = self.state
        settings = self.settings
        group = self.processes
        rows = self._rows()
        source = generator(self.seed, Stream.DRAWS, state.step, 0)
        progress = state.step / settings.steps
        draws = self.objective.draw(len(rows), self.denoiser.schedule, source, progress)
        own_rows = rows_of_process(len(rows), self.objective.group, group.rank, group.count)
        noise = self._noise(source, len(rows), own_rows)
        # Every process draws for the whole batch and computes its part, so a step has the same images, times
        # and noise for any number of processes.
        draws = draws.part(own_rows)
        rows = rows[own_rows].to(self.device)
        total = torch.zeros((), device=self.device)
        parts = batch_parts(len(rows), self.objective.group, settings.accumulate)
        for part in parts:
            with self._gradients_averaged(part is parts[-1]):
                with in_precision(self.device, self.precision):
                    x0 = pixels.to_float(self.images[rows[part]])
                    labels = self.labels[rows[part]] if self.labels is not None else None
                    losses = self.objective.loss(
                        self.denoiser, x0, labels, draws.part(part), noise[part].to(self.device)
                    )
                    # Divided by the count of the whole batch, so unequal parts have correct weights.
                    loss = losses.sum() / len(rows)
                scaled = loss if state.scaler is None else state.scaler.scale(loss)
                scaled.backward()
            total += loss.detach()
        # All processes must agree on whether to skip a step.
        result = self._update(group.mean(total))
        state.step += 1
        state.images += settings.batch
        return result

    def _gradients_averaged(self, now: bool) -> AbstractContextManager[None]:
        """Whether the gradients of the block are averaged over all processes, or only added up so far."""
        if now or not isinstance(self.wrapped, DistributedDataParallel):
            return nullcontext()
        return self.wrapped.no_sync()

    def _rows(self) -> Tensor:
        """The images of the batch, over all processes."""
        count = len(self.images) if self.rows is None else len(self.rows)
        rows = batch_indices(self.seed, self.state.images, self.settings.batch, count)
        return rows if self.rows is None else self.rows[rows]

    def _noise(self, source: torch.Generator, count: int, own_rows: Tensor) -> Noise:
        """The noise of this process's images, drawn for the whole batch, or on the device for its rows."""
        shape = (self.objective.noises, *self.images.shape[1:])
        if self.settings.draws == "cpu":
            return torch.randn(count, *shape, generator=source)[own_rows]
        place = (Stream.DRAWS, self.state.step, 1 + self.processes.rank)
        source = torch.Generator(self.device).manual_seed(derived_seed(self.seed, *place))
        return torch.randn(len(own_rows), *shape, generator=source, device=self.device)

    def _update(self, loss: Tensor) -> StepResult:
        """Apply the gradients, unless something is not finite."""
        state = self.state
        settings = self.settings
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, settings) * group.get("lr_scale", 1.0)
        beside = [p for module in state.beside.values() for p in module.parameters()]
        for parameter in beside:  # they have no wrapper that would do this
            if parameter.grad is not None:
                parameter.grad = self.processes.mean(parameter.grad)
        if state.scaler is not None:  # after all is averaged, so that all processes scale alike
            state.scaler.unscale_(state.optimizer)
        norm = self._clipped_norm(list(state.network.parameters()))
        result = StepResult(loss, norm, total_norm(beside, loss.device))
        if self.deferred:
            skip = (~result.finite).float()
            state.optimizer.found_inf = skip  # type: ignore[attr-defined]
            self._apply(skip)
        elif result.finite:
            self._apply()
        if state.scaler is not None:
            state.scaler.update()
        state.optimizer.zero_grad()
        return result

    def _apply(self, skip: Tensor | None = None) -> None:
        """Move the weights and their average; not where ``skip``, a number on the device, is not 0."""
        self.state.optimizer.step()
        if self.state.ema:
            self.state.ema.update(self.state.network, self.state.step, skip)

    def _clipped_norm(self, parameters: list[nn.Parameter]) -> Tensor:
        """The norm of the network's gradients, which are then clipped if the settings say so."""
        norm = total_norm(parameters, self.device)
        if self.settings.clip_gradient is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.clip_gradient, norm)
        return whole(norm).to(self.device)
