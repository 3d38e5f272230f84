"""The processes of a run: one, or as many as torchrun started.

Only what torch itself keeps is shared by the whole Python process: no other library's state is read or
written, so two trainings of different precision, or somebody else's set-up, do not meet here.
"""

import atexit
import functools
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch import distributed as dist

from .device import pick_device

Value = TypeVar("Value")

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts. One without all of them is alone, whatever else a cluster
has left in the environment."""

PATIENCE = timedelta(days=30)
"""How long a process waits for another one that works: as long as it takes."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Args:
        rank: the number of this process.
        count: how many there are.
        device: where this process computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here, however long one of them works: collectives of the training would time out."""
        if self.count > 1:
            dist.barrier(group=_patient_group())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The block runs on the main process, then on all the others."""
        if not self.is_main:
            self.wait()
        try:
            yield
        finally:
            if self.is_main:
                self.wait()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, which have the same shape."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of all processes' tensors, which have the same shape."""
        return tensor if self.count == 1 else self.sum(tensor) / self.count

    def from_main(self, value: Value) -> Value:
        """The main process's value, on all; it has to be one that pickle can carry."""
        if self.count == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=_patient_group())
        return cast(Value, box[0])

    def gather(self, value: Value) -> list[Value]:
        """All processes' values, in the order of their ranks, on all."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value, group=_patient_group())
        return values


def processes() -> Processes:
    """The processes of this run. The first call joins the others, where torchrun started several.

    Raises:
        ValueError: where the environment's numbers are none, or the machine has too few GPUs.
    """
    if not (dist.is_available() and dist.is_initialized()):
        if not is_launched(os.environ):
            return Processes(0, 1, pick_device())
        _join()
    _patient_group()  # made now, when all are here
    return Processes(dist.get_rank(), dist.get_world_size(), _own_device())


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started this process as one of several.

    Raises:
        ValueError: where a number is none.
    """
    count = _whole_number(environment, "WORLD_SIZE", 1)
    if count == 1:
        return False
    if missing := [name for name in VARIABLES if name not in environment]:
        warnings.warn(
            f"WORLD_SIZE is {count} in the environment, but {', '.join(missing)} is not set: this process"
            " works alone; torchrun sets all of them",
            stacklevel=3,
        )
        return False
    return True


@contextmanager
def without_variables(*names: str) -> Iterator[None]:
    """Within the block, the environment has no variables of these names."""
    values = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(values)


def _whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        raise ValueError(f"the environment variable {name} is {text!r}: it must be a whole number")
    return int(text)


def _join() -> None:
    """Become one of the processes that the environment names."""
    environment = os.environ
    rank = _whole_number(environment, "RANK", 0)
    count = _whole_number(environment, "WORLD_SIZE", 1)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(_local_gpu())
        backend = "nccl"
    place = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
    words = f"process {rank} of {count} waits for the others at {place}"
    notice = threading.Timer(15, warnings.warn, (words,), {"stacklevel": 1})
    notice.daemon = True
    notice.start()
    try:
        dist.init_process_group(backend)
    finally:
        notice.cancel()
    # A process that ends while gloo's threads still run may be aborted (SIGABRT) when all is done.
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _local_gpu() -> int:
    """The number of this process's GPU on its machine."""
    available = torch.cuda.device_count()
    rank = _whole_number(os.environ, "RANK", 0)
    number = _whole_number(os.environ, "LOCAL_RANK", rank % available)
    if number >= available:
        raise ValueError(
            f"LOCAL_RANK is {number}, but this machine has {available} GPU{'s' if available > 1 else ''}:"
            " start at most one process for each"
        )
    return number


def _own_device() -> torch.device:
    """Where this one of several processes computes: where the group's tensors have to be."""
    if "nccl" in dist.get_backend():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


@functools.cache
def _patient_group() -> Any:
    """A group of all processes that waits as long as it takes, and needs no GPU."""
    return dist.new_group(backend="gloo", timeout=PATIENCE)
