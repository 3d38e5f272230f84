"""The machine: memory allocator, denormals, device, arithmetic and memory format, chosen in one place."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

Network = TypeVar("Network", bound=torch.nn.Module)

# glibc's mallopt parameters, from <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

SETTINGS = {
    "memory": "glibc keeps freed blocks instead of returning them to the system after every step, from which"
    " they would have to be faulted back in, page by page",
    "denormals": "numbers too small for full precision become 0 instead of slow",
    "channels-last": "images and kernels lie in memory with their channels together, the format that"
    " convolutions run fastest in",
    "bf16": "matrix products and convolutions in 16 bits, on CPUs where that was measured to be faster",
}
"""Settings of the process, and why they are made; benchmarks/runtime.py and throughput.py measure each.

The environment variable MEZZOTINT_WITHOUT names those to leave out, such as ``memory,denormals``. The number
of threads is torch's default, or OMP_NUM_THREADS."""


def is_enabled(setting: str) -> bool:
    """Whether a setting is to be made, which it is unless MEZZOTINT_WITHOUT names it.

    Raises:
        ValueError: if MEZZOTINT_WITHOUT names something that is not in ``SETTINGS``.
    """
    names = os.environ.get("MEZZOTINT_WITHOUT", "").split(",")
    excluded = {name.strip() for name in names if name.strip()}
    if unknown := excluded - SETTINGS.keys():
        raise ValueError(
            f"MEZZOTINT_WITHOUT names {', '.join(sorted(unknown))}; settings are {', '.join(SETTINGS)}"
        )
    return setting not in excluded


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks; False if this is not glibc, or it refuses."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    values = ((_M_MMAP_THRESHOLD, 2**31 - 1), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * 2**20))
    answers = [mallopt(parameter, value) for parameter, value in values]
    return answers == [1, 1, 1]


def prepare() -> None:
    """Make the ``SETTINGS`` of the process; called before training and sampling."""
    if is_enabled("memory"):
        keep_freed_memory()
    if is_enabled("denormals"):
        torch.set_flush_denormal(True)


def pick_device(name: str | None = None) -> torch.device:
    """The device ``name``; if not given, the first available of mps, cuda and cpu.

    Raises:
        ValueError: if this machine does not have the device.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    try:
        device = torch.device(name or available[0])
    except RuntimeError as error:
        raise ValueError(f"{name!r} is not a device; this machine has {available}") from error
    if device.type not in available:
        raise ValueError(f"device {name!r} is not available; this machine has {available}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise ValueError(f"device {name!r} is not available: of {device.type} there are {count}")
    return device


def finish(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held at once.

    Args:
        device: a GPU, whose own memory is meant, or the CPU: all memory of the process.

    Returns:
        The number of bytes; None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if device.type != "cpu" or not status.is_file():
        return None
    values = dict(line.split(":", 1) for line in status.read_text().splitlines())
    peak = values.get("VmHWM")
    return None if peak is None else int(peak.split()[0]) * 1024


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Within the block, if ``enabled``, every operation gives the same bits each time or raises an error."""
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    algorithms = torch.are_deterministic_algorithms_enabled()
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic = True
    cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        cudnn.deterministic, cudnn.benchmark = flags


def place(network: Network, device: torch.device) -> Network:
    """Move a network to a device, in the memory format of ``SETTINGS``.

    Args:
        network: the network, which is changed in place.
        device: the device.

    Returns:
        The same network.
    """
    network.to(device)
    if not is_enabled("channels-last"):
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
