"""What a training takes, in arithmetic, memory and time, from a few real steps of it."""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..utils.counting import Count, counted
from ..utils.device import finish, peak_memory
from ..utils.progress import bar
from .sharding import local
from .trainer import Trainer

SECONDS = 2.0
"""How long steps are timed, about."""

LEAST = 2
"""Steps that are timed at least, however long they take."""

MOST_WARM = 3
"""Most steps before those that are timed. The first ones wait for memory, and for kernels that are chosen."""

MOST_COUNTED = 5
"""Most steps whose arithmetic and memory are counted."""


@dataclass(frozen=True)
class Cost:
    """What the rest of a training takes.

    Args:
        steps: optimizer steps that are left.
        parameters: number of parameters of each network that is trained, by name.
        multiply_adds: in a step, over all processes: those of matrix products, convolutions and attention.
        seconds: for a step, without grids of samples and checkpoints.
        memory: bytes of this process for weights, gradients, moments, average, activations and images.
        peak: most bytes that the device held at once, or the process on a CPU; None if that is not known.
    """

    steps: int
    parameters: dict[str, int]
    multiply_adds: float
    seconds: float
    memory: dict[str, int]
    peak: int | None


def calibrate(trainer: Trainer) -> Cost:
    """Take steps of a training, and measure what they take; the trainer is of no use afterwards.

    The steps are spread over all that are left, because some objectives do more late in a run. The learning
    rate is 0 in them, so that nothing diverges. If there are several processes, all must call this.

    Args:
        trainer: at the step where training would begin or go on, with at least one step left.

    Returns:
        what a step takes on average.
    """
    group = trainer.processes
    done = trainer.state.step
    left = trainer.settings.steps - done
    trainer.settings = dataclasses.replace(trainer.settings, learning_rate=0.0)
    trainer.wrapped.train()
    progress_bar = bar("calibrating", MOST_WARM, delay=2, leave=False, disable=not group.is_main)
    with progress_bar as progress:
        last = done + left - 1  # where an objective that trains more networks later trains them all
        number = 0
        for _ in range(MOST_WARM):
            number = group.from_main(int(SECONDS / _timed(trainer, [last], progress)))
            if number <= LEAST:
                break
        few = _spread(done, left, min(max(number, LEAST), MOST_COUNTED))
        many = _spread(done, left, max(number, LEAST)) if number else []
        progress.total = progress.n + len(few) + len(many)
        start = time.perf_counter()
        counts = [_count(trainer, step, progress) for step in few]
        seconds = (time.perf_counter() - start) / len(few)
        if many:  # counting takes time too, which matters only where steps are short
            seconds = _timed(trainer, many, progress) / len(many)
    arithmetic = sum(group.gather(sum(count.multiply_adds for count in counts)))
    return Cost(
        steps=left,
        parameters=_parameters(trainer),
        multiply_adds=arithmetic / len(counts),
        seconds=group.from_main(seconds),
        memory=_memory(trainer, max(count.activations for count in counts)),
        peak=peak_memory(trainer.device),
    )


def _spread(done: int, left: int, number: int) -> list[int]:
    """The middles of ``number`` equal parts of the steps that are left."""
    return [done + (2 * k + 1) * left // (2 * number) for k in range(number)]


def _count(trainer: Trainer, step: int, progress: Any) -> Count:
    """Take a step, and count what it computes and keeps."""
    trainer.state.step = step
    weights = (local(p) for module in _networks(trainer) for p in module.parameters())
    with counted(weights) as count:
        trainer.step()
    finish(trainer.device)
    progress.update()
    return count


def _timed(trainer: Trainer, steps: Iterable[int], progress: Any) -> float:
    """Take steps, and return their seconds."""
    finish(trainer.device)
    start = time.perf_counter()
    for step in steps:
        trainer.state.step = step
        trainer.step()
        progress.update()
    finish(trainer.device)
    return time.perf_counter() - start


def _networks(trainer: Trainer) -> list[nn.Module]:
    """All networks that are trained."""
    return [trainer.state.network, *trainer.state.beside.values()]


def _parameters(trainer: Trainer) -> dict[str, int]:
    networks = {"network": trainer.state.network, **trainer.state.beside}
    return {name: sum(p.numel() for p in m.parameters()) for name, m in networks.items()}


def _memory(trainer: Trainer, activations: int) -> dict[str, int]:
    """Bytes on this process, by what they hold."""
    state = trainer.state
    weights = [p for module in _networks(trainer) for p in module.parameters()]
    buffers = [b for module in _networks(trainer) for b in module.buffers()]
    moments = [v for values in state.optimizer.state.values() for v in values.values()]
    average = [] if state.ema is None else list(state.ema.network.state_dict().values())
    return {
        "weights": _size(weights + buffers),
        "gradients": _size(p for p in weights if p.requires_grad),
        "moments": _size(v for v in moments if isinstance(v, Tensor)),
        "average": _size(average),
        "activations": activations,
        "images": _size([trainer.images]),
    }


def _size(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; of sharded ones, this process's part."""
    return sum(local(t).numel() * t.element_size() for t in tensors)
