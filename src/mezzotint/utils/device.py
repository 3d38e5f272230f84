"""The machine: memory allocator, denormals, device, arithmetic and memory format, chosen in one place."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

Network = TypeVar("Network", bound=torch.nn.Module)

# glibc's mallopt parameters, from <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

SETTINGS = {
    "memory": "glibc keeps freed blocks instead of returning them to the system after every step, from which"
    " they would have to be faulted back in, page by page",
    "denormals": "numbers too small for full precision become 0 instead of slow",
    "channels-last": "images and kernels lie in memory with their channels together, the format that"
    " convolutions run fastest in",
}
"""What is done to the machine and why; benchmarks/runtime.py measures each. One is left out where the
environment variable MEZZOTINT_WITHOUT names it, such as ``memory,denormals``. The number of threads is
torch's own choice, or that of OMP_NUM_THREADS."""


def wanted(setting: str) -> bool:
    """Whether a setting is not to be left out.

    Raises ValueError where MEZZOTINT_WITHOUT names something else than settings.
    """
    named = os.environ.get("MEZZOTINT_WITHOUT", "").split(",")
    left_out = {name.strip() for name in named if name.strip()}
    if unknown := left_out - SETTINGS.keys():
        raise ValueError(
            f"MEZZOTINT_WITHOUT names {', '.join(sorted(unknown))}; settings are {', '.join(SETTINGS)}"
        )
    return setting not in left_out


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks. Returns whether the C library understood."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    values = ((_M_MMAP_THRESHOLD, 2**31 - 1), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * 2**20))
    answers = [mallopt(parameter, value) for parameter, value in values]
    return answers == [1, 1, 1]


def prepare() -> None:
    """Set the process up for computing (``SETTINGS``); called by everything that trains or samples."""
    if wanted("memory"):
        keep_freed_memory()
    if wanted("denormals"):
        torch.set_flush_denormal(True)


def pick_device(name: str | None = None) -> torch.device:
    """The device ``name``, or the best there is.

    Raises ValueError where the device does not exist on this machine.
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
    return device


@dataclass(frozen=True)
class Processor:
    """What computes: ``kind`` ("cpu", "cuda" or "mps"), its ``name``, and whether it has bf16 in hardware."""

    kind: str
    name: str
    bf16: bool


def processor(device: torch.device) -> Processor:
    """A device's processor, as it describes itself."""
    if device.type == "cuda":
        # By default torch says yes to GPUs that emulate bf16, T4 and V100 among them, which is slow.
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Processor("cuda", torch.cuda.get_device_name(device), bf16)
    if device.type == "mps":
        return Processor("mps", "Apple GPU", bf16=False)
    return Processor("cpu", platform.processor() or platform.machine(), bf16=False)


def pick_precision(name: str, processor: Processor) -> torch.dtype:
    """The type that matrix products and convolutions compute in: auto is bf16 on GPUs that have it in
    hardware, fp32 elsewhere.

    Raises ValueError for half precision on a CPU.
    """
    if name == "auto":
        name = "bf16" if processor.kind == "cuda" and processor.bf16 else "fp32"
    if name != "fp32" and processor.kind == "cpu":
        raise ValueError(
            f"training.precision = {name!r} needs a GPU: on CPUs these networks gain nothing by it"
            " (docs/benchmarks.md); say fp32, or auto"
        )
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block, if it is wanted, every operation gives the same bits each time, or says that it
    cannot."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    algorithms = torch.are_deterministic_algorithms_enabled()
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        cudnn.deterministic, cudnn.benchmark = flags


def place(network: Network, device: torch.device) -> Network:
    """Move a network to its device, in the memory format of ``SETTINGS``."""
    network.to(device)
    if not wanted("channels-last"):
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
