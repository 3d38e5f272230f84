"""Whether a network is faster in bf16 on this CPU: measured for half a second, and kept in the cache.

Small networks lose more by conversions between number types than they gain. What was measured is kept, so
that a machine takes the same number type every time.
"""

import hashlib
import inspect
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .cache import cache_entry, cache_folder
from .cast_weights import has_plain_weights, with_weights_in
from .console import warn
from .files import locked, read_bytes, whole_file
from .json_text import parse_json
from .precision import cpu_name, in_precision, pick_precision, processor

if TYPE_CHECKING:
    from ..data.images import ImageSpec
    from ..diffusion.denoiser import NetworkDenoiser

Inputs = tuple[Tensor, Tensor, Tensor | None]

LEAST_GAIN = {"train": 1.1, "sample": 1.5}
"""How many times as fast bf16 must be on a CPU to be taken, at many images at once.

A single image is sampled faster in fp32. The number type does not depend on how many there are, because an
image must not.
"""

SECONDS = 0.5
"""How long both are measured, about; a single evaluation of a large network may take longer."""

FEWEST_IMAGES = 2
"""The fewest images at once in the measurement. In training, batch norm may refuse a single one."""

MOST_IMAGES = 64
"""The most images at once in the measurement: as many as in a batch. With fewer, bf16 gains less."""


def choose_precision(
    name: str,
    denoiser: "NetworkDenoiser",
    images: "ImageSpec",
    device: torch.device,
    what: Literal["train", "sample"],
) -> torch.dtype:
    """The number type to train a network in, or to sample from it; see :func:`pick_precision`.

    Args:
        name: "fp32", "bf16", "fp16" or "auto".
        denoiser: with the network, which does not change.
        images: shape and classes of its images.
        device: where it will compute.
        what: what it is to do.
    """
    return pick_precision(
        name,
        processor(device),
        lambda: bf16_is_faster(
            denoiser.network, images.shape, len(images.classes), what, denoiser.timesteps / 2
        ),
    )


def bf16_is_faster(
    network: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    what: Literal["train", "sample"],
    timestep: float = 500.0,
) -> bool:
    """Whether a network is faster in bf16 than in fp32 on this CPU, by a measurement or an earlier one.

    Args:
        network: on the CPU, called as ``network(x_t, timestep, labels)``; it does not change.
        shape: (channels, height, width) of the images.
        classes: number of classes; 0 for no labels.
        what: what it is to do; to train, it needs gradients too.
        timestep: one of those that the network is called with; it is rounded up.

    Returns:
        Whether it is; False if the weights are spread over processes, or if it cannot be measured, which is
        said and tried again the next time.
    """
    if not has_plain_weights(network):
        return False
    name = f"{_fingerprint(network, shape, what)}.json"
    try:
        file = cache_entry("precision", name)
    except (OSError, ValueError):  # a full disk, which is said when the gain cannot be kept
        file = cache_folder() / "precision" / name
    gain = _kept(file)
    if gain is None:
        with _alone(file):  # other processes wait, and read what this one finds
            gain = _kept(file)
            if gain is None:
                try:
                    gain = _measured_gain(network, shape, classes, what == "train", timestep)
                except Exception as error:  # a network of someone else may raise anything
                    reason = str(error).partition("\n")[0] or type(error).__name__
                    warn(f"bf16 cannot be tried with this network ({reason}): fp32 is used")
                    return False
                _keep(file, gain, what)
    return gain >= LEAST_GAIN[what]


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Within the block, no other process measures; where nothing can be written, all do."""
    with ExitStack() as stack:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(file.with_suffix(".lock")))
        yield


def _fingerprint(network: nn.Module, shape: tuple[int, int, int], what: str) -> str:
    """What the speed depends on."""
    parts = [
        cpu_name(),
        torch.__version__,
        torch.get_num_threads(),
        re.sub(r" at 0x[0-9a-f]+", "", repr(network)),
        sorted({_source(type(module)) for module in network.modules()}),
        [list(p.shape) for p in network.parameters()],
        shape,
        what,
        MOST_IMAGES,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _source(layer: type) -> str:
    """The source of the file that defines a layer, in a notebook of the layer alone; nothing for torch's."""
    if layer.__module__.partition(".")[0] == "torch":
        return ""
    for part in (inspect.getmodule(layer), layer):
        with suppress(OSError, TypeError):
            return inspect.getsource(part)  # type: ignore[arg-type]
    return ""


def _kept(file: Path) -> float | None:
    """The gain that was measured earlier, or None."""
    try:
        gain = parse_json(read_bytes(file))["gain"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return gain if isinstance(gain, float) and math.isfinite(gain) else None


def _keep(file: Path, gain: float, what: str) -> None:
    """Keep a gain for the next time. A cache that cannot be written is none."""
    verdict = "it is used" if gain >= LEAST_GAIN[what] else "it is not used"
    warn(f"measured once: bf16 is {gain:.2f} times as fast as fp32 to {what} here: {verdict}")
    content = {
        "gain": gain,
        "to": what,
        "processor": cpu_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    try:
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    except OSError as error:
        warn(f"{file} could not be written: {error.strerror}; it will be measured again")


def _measured_gain(
    network: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    training: bool,
    timestep: float,
) -> float:
    """Seconds in fp32 by seconds in bf16, taking turns; the least of each, for other work only adds."""
    halved = network if training else with_weights_in(network, torch.bfloat16)
    pairs: list[tuple[float, float]] = []
    with _buffers_kept(network):
        _seconds(halved, _inputs(shape, FEWEST_IMAGES, classes, timestep), torch.bfloat16, training)
        inputs = _affordable_inputs(network, shape, classes, training, timestep)
        end = time.perf_counter() + SECONDS
        while len(pairs) < 3 or time.perf_counter() < end:
            full = _seconds(network, inputs, torch.float32, training)
            half = _seconds(halved, inputs, torch.bfloat16, training)
            pairs.append((full, half))
    full_times, half_times = zip(*pairs[1:], strict=True)  # the first ones wait for kernels
    return min(full_times) / min(half_times)


@contextmanager
def _buffers_kept(network: nn.Module) -> Iterator[None]:
    """After the block, buffers are what they were: averages of a batch norm move with each evaluation."""
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(network.buffers(), before, strict=True):
            buffer.copy_(value)


def _affordable_inputs(
    network: nn.Module,
    shape: tuple[int, int, int],
    classes: int,
    training: bool,
    timestep: float,
) -> Inputs:
    """As many images, up to MOST_IMAGES, as are evaluated in a part of SECONDS."""
    count = FEWEST_IMAGES
    inputs = _inputs(shape, count, classes, timestep)
    _seconds(network, inputs, torch.float32, training)  # waits for kernels
    while count < MOST_IMAGES:
        if 2 * _seconds(network, inputs, torch.float32, training) > SECONDS / 2:
            break
        count *= 2
        inputs = _inputs(shape, count, classes, timestep)
    return inputs


def _inputs(shape: tuple[int, int, int], count: int, classes: int, timestep: float) -> Inputs:
    """Noise, times and labels."""
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes if classes else None
    times = torch.full((count,), float(math.ceil(timestep)))
    return torch.randn(count, *shape, generator=source), times, labels


def _seconds(
    network: nn.Module,
    inputs: Inputs,
    precision: torch.dtype,
    training: bool,
) -> float:
    """Of one evaluation, with gradients if ``training``, which are not kept."""
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training):
        with in_precision(inputs[0].device, precision):
            output: Tensor = network(*inputs)
        if training:
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            torch.autograd.grad(output.float().square().mean(), weights, allow_unused=True)
    return time.perf_counter() - start
