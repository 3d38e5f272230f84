"""The training loop.

Data, times, noise and label dropout of a step are functions of (seed, step), and the learning rate is
one of the step, so the state is all there is to save: a run that was stopped and resumed
ends with the same bits as one that never was (on the same machine, build and number of processes).
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.accelerator import Accelerator
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from .. import build, pixels
from ..config import Recipe
from ..data import ImageData
from ..diffusion.adversarial import Adversarial
from ..diffusion.denoiser import NetworkDenoiser
from ..runtime import generator, pick_precision, place
from .batches import INIT, QUESTION, balanced_rows, batch_indices
from .divergence import report_bad_step
from .ema import Ema
from .optimizer import learning_rate, make_duel_optimizer, make_optimizer
from .sharding import shard, whole
from .signals import Stopped, StopRequest, stop_on_signal
from .state import TrainingState


@dataclass(frozen=True)
class Hook:
    """``run(state)`` after every ``every`` steps; 0 is never. On the main process alone, or on all where
    weights are sharded, since then no one has them whole."""

    every: int
    run: Callable[[TrainingState], None]


class Trainer:
    """Trains ``recipe`` on ``data``; ``log(entry)`` receives the metrics, every log_every steps.

    With an ``earlier`` model training begins from its weights, and follows it (``diffusion/consistency.py``),
    or, where ``rivals`` are given that it drew, surpasses it (``diffusion/discriminative.py``).
    Raises ValueError where the recipe does not fit the data or the machine.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: ImageData,
        log: Callable[[dict[str, Any]], None] | None = None,
        earlier: NetworkDenoiser | None = None,
        rivals: UInt8[Tensor, "n channels height width"] | None = None,
    ) -> None:
        self.recipe, self.log = recipe, log
        gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
        precision = pick_precision(recipe.training.precision, gpu)
        # Under torchrun without a GPU, Accelerator() alone would make every process a lone rank 0.
        self.accelerator = Accelerator(mixed_precision=precision, cpu=not gpu)
        self.device, self.rank = self.accelerator.device, self.accelerator.process_index
        if precision == "fp16" and self.sharded:
            raise ValueError(
                "training.precision = 'fp16' cannot go with training.sharding: use bf16"
            )
        if recipe.training.batch % self.accelerator.num_processes:
            raise ValueError(
                f"training.batch = {recipe.training.batch} cannot be shared equally by"
                f" {self.accelerator.num_processes} processes"
            )
        self.images = data.images.to(self.device)
        self.labels = data.labels.to(self.device) if data.classes else None
        self.spec = build.spec_of(data)
        # The rows of the data that make up an epoch.
        self.rows = balanced_rows(data.labels) if recipe.data.balance == "classes" else None
        with self._seeded():
            self.objective = build.objective_of(recipe, self.spec, earlier, rivals)
        self.state = self._initial_state(earlier)
        bare = self.state.network
        self.wrapped: torch.nn.Module = (
            bare if self.sharded else self.accelerator.prepare_model(bare)
        )
        if recipe.training.compile:
            self.wrapped.compile()
        self.denoiser = build.make_denoiser(recipe, self.wrapped)

    @property
    def sharded(self) -> bool:
        """Whether the weights are spread over several processes."""
        return self.recipe.training.sharding == "full" and self.accelerator.num_processes > 1

    @property
    def runs_hooks(self) -> bool:
        """Whether this process runs hooks, the last things to be done among them."""
        return self.accelerator.is_main_process or self.sharded

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Where weights are drawn."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(self.recipe.seed, INIT).initial_seed())
            yield

    def _initial_state(self, earlier: NetworkDenoiser | None) -> TrainingState:
        training = self.recipe.training
        with self._seeded():
            network = build.make_network(self.recipe, self.spec)
        if not self.sharded:  # a network that is to be sharded may be too large for one device
            place(network, self.device)
        if earlier is not None:
            network.load_state_dict(earlier.network.state_dict())
            place(earlier.network, self.device)
        ema = Ema(network, training.ema) if training.ema else None
        if self.sharded:
            for part in (network, ema.network) if ema else (network,):
                shard(part, self.device, self.accelerator.num_processes)
        scaler = self.accelerator.scaler
        if not isinstance(self.objective, Adversarial):
            return TrainingState(network, make_optimizer(network, training), ema, scaler)
        critic = place(self.objective.critic, self.device)
        both = make_duel_optimizer(network, critic, training, self.recipe.refinement.critic_rate)
        return TrainingState(network, both, ema, scaler, critic=critic)

    def run(self, hooks: Sequence[Hook] = ()) -> Stopped:
        """Train from the state's step to the recipe's last, or until a signal asks to stop.

        Raises Diverged after several steps in a row without a finite loss.
        """
        state, steps = self.state, self.recipe.training.steps
        self.wrapped.train()
        bad, losses, since = 0, [], time.perf_counter()
        main = self.accelerator.is_main_process
        with stop_on_signal() as request, self._bar(disable=not main) as bar:
            while state.step < steps and not self._asked_to_stop(request):
                loss, norm = self._step(state.step)
                bad = 0 if loss.isfinite() and norm.isfinite() else bad + 1
                # fp16's scaler overflows now and then, by design.
                if bad and (state.scaler is None or not loss.isfinite()):
                    report_bad_step(state.step, bad)
                state.step += 1
                if not bad:
                    losses.append(loss.item())
                bar.update()
                if state.step % self.recipe.training.log_every == 0 or state.step == steps:
                    seconds = time.perf_counter() - since
                    if losses:
                        self._log(losses, norm, seconds, bar)
                    losses, since = [], time.perf_counter()
                before = time.perf_counter()
                for hook in hooks:
                    if self.runs_hooks and hook.every and state.step % hook.every == 0 and not bad:
                        hook.run(state)
                since += time.perf_counter() - before
        if state.step >= steps:
            return Stopped(state.step, None)
        return Stopped(state.step, request.received or signal.SIGTERM)  # another process was asked

    def _asked_to_stop(self, request: StopRequest) -> bool:
        """Whether any process was: all leave at the same step, or none could go on."""
        asked = request.received is not None
        if self.accelerator.num_processes == 1:
            return asked
        votes = torch.tensor(float(asked), device=self.device)
        return bool(self.accelerator.reduce(votes, "sum").item() > 0)

    def _bar(self, disable: bool) -> "tqdm[Any]":
        training = self.recipe.training
        return tqdm(
            total=training.steps, initial=self.state.step, disable=disable, unit="step",
            desc=self.recipe.name, mininterval=0.2 if sys.stderr.isatty() else 20, dynamic_ncols=True,
        )  # fmt: skip

    def _step(self, step: int) -> tuple[Tensor, Tensor]:
        """One optimizer step: the batch's mean loss, and the gradient's norm."""
        recipe, accelerator = self.recipe, self.accelerator
        count = len(self.images) if self.rows is None else len(self.rows)
        rows = batch_indices(recipe.seed, step, recipe.training.batch, count)
        rows = rows if self.rows is None else self.rows[rows]
        shape = torch.Size((len(rows), *self.images.shape[1:]))
        question = self.objective.ask(
            shape, self.denoiser.schedule, generator(recipe.seed, QUESTION, step, 0),
            step / recipe.training.steps,
        )  # fmt: skip
        # Every process asks the whole question and answers its part of it: however many there are,
        # a step sees the same images, times and noise.
        mine = slice(self.rank, None, accelerator.num_processes)
        rows, question = rows[mine].to(self.device), question.part(mine)
        total = torch.zeros((), device=self.device)
        parts = torch.arange(len(rows)).tensor_split(min(recipe.training.accumulate, len(rows)))
        for part in parts:
            piece = slice(int(part[0]), int(part[-1]) + 1)
            last = part is parts[-1]
            alone = nullcontext() if last else accelerator.no_sync(self.wrapped)
            with alone, accelerator.autocast():
                x0 = pixels.to_float(self.images[rows[piece]])
                labels = self.labels[rows[piece]] if self.labels is not None else None
                losses = self.objective(self.denoiser, x0, labels, question.part(piece))
                # The sum over the whole batch's count: parts of unequal size weigh as they should.
                loss = losses.sum() / len(rows)
                accelerator.backward(loss)
            total += loss.detach()
        if accelerator.num_processes > 1:  # all have to agree whether a step is to be skipped
            total = accelerator.reduce(total, "mean")
        return total, self._update(step, total)

    def _update(self, step: int, loss: Tensor) -> Tensor:
        """Apply the gradients that are there, unless they are not finite; their norm."""
        state, training = self.state, self.recipe.training
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(step, training) * group.get("share", 1.0)
        if state.scaler is not None:
            state.scaler.unscale_(state.optimizer)
        if (
            state.critic and self.accelerator.num_processes > 1
        ):  # it has no wrapper that would do this
            for parameter in state.critic.parameters():
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        limit = float("inf") if training.clip is None else training.clip
        norm = whole(torch.nn.utils.clip_grad_norm_(state.network.parameters(), limit))
        if state.scaler is not None:
            state.scaler.step(state.optimizer)
            state.scaler.update()
        elif norm.isfinite() and loss.isfinite():
            state.optimizer.step()
        state.optimizer.zero_grad()
        if state.ema and norm.isfinite() and loss.isfinite():
            state.ema.update(state.network, step)
        return norm

    def _log(self, losses: list[float], norm: Tensor, seconds: float, bar: "tqdm[Any]") -> None:
        mean = sum(losses) / len(losses)
        rate = len(losses) * self.recipe.training.batch / seconds
        bar.set_postfix_str(f"loss {mean:.4f}, {rate:.0f} images/s", refresh=False)
        if self.log is not None and self.accelerator.is_main_process:
            self.log(
                {
                    "step": self.state.step,
                    "loss": mean,
                    "learning_rate": learning_rate(self.state.step - 1, self.recipe.training),
                    "gradient_norm": norm.item(),
                    "images_per_second": rate,
                }
            )
