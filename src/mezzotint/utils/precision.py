"""Number types: what a processor has, and what was asked for.

Weights, gradients, moments and averages are fp32 always. What can be in half precision are the inputs and
results of matrix products and convolutions. On GPUs that is a matter of the model. On CPUs it is one of the
network too, so it is measured (measured_precision.py).
"""

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from .device import is_enabled

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Processor:
    """A processor.

    Args:
        kind: of device: "cpu", "cuda", "mps", ...
        name: of the model, as the system gives it.
        bf16: whether it multiplies bf16 in hardware.
    """

    kind: str
    name: str
    bf16: bool


def processor(device: torch.device) -> Processor:
    """The processor of a device."""
    if device.type == "cuda":
        # By default, torch includes GPUs that emulate bf16, which is slow, such as T4 and V100.
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Processor("cuda", torch.cuda.get_device_name(device), bf16)
    if device.type == "cpu":
        return Processor("cpu", cpu_name(), bf16=_cpu_multiplies_bf16())
    return Processor(device.type, device.type, bf16=False)


def cpu_name() -> str:
    """The model of the CPU, as the system gives it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has AMX or AVX512_BF16, or, where it is no x86, what oneDNN needs for bf16."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def pick_precision(name: str, processor: Processor, faster: Callable[[], bool]) -> torch.dtype:
    """The number type of matrix products and convolutions.

    Args:
        name: "fp32", "bf16", "fp16", or "auto": bf16 where it is in the hardware and, on a CPU, faster.
        processor: the processor to compute on.
        faster: says whether bf16 is faster than fp32 on this CPU; asked only where that decides.

    Returns:
        The type.

    Raises:
        ValueError: for fp16 on a CPU.
    """
    if name == "fp16" and processor.kind == "cpu":
        raise ValueError("training.precision = 'fp16' needs a GPU; say fp32 or bf16")
    if name != "auto":
        return TYPES[name]
    if not processor.bf16 or (processor.kind == "cpu" and not (is_enabled("bf16") and faster())):
        return torch.float32
    return torch.bfloat16


def is_emulated(precision: torch.dtype, device: torch.device) -> bool:
    """Whether a number type is not in the hardware of a device, so that it is slow there."""
    return precision == torch.bfloat16 and not processor(device).bf16


def name_of(precision: torch.dtype) -> str:
    """The name of a number type, as recipes have it."""
    return next(name for name, kind in TYPES.items() if kind == precision)


def in_precision(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Within the block, matrix products and convolutions are computed in a number type."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, precision)
