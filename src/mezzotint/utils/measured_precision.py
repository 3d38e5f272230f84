"""Whether a network is faster in bf16 on this CPU: measured for half a second, and kept in the cache.

Small networks lose more by conversions between number types than they gain. What was measured is kept, so
that a machine takes the same number type every time.
"""

import copy
import hashlib
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
from .console import warn
from .files import locked, read_bytes, whole_file
from .json_text import parse_json
from .precision import cpu_name, in_precision, pick_precision, processor, with_weights_in

if TYPE_CHECKING:
    from ..data.images import ImageSpec

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
    network: nn.Module,
    images: "ImageSpec",
    device: torch.device,
    what: Literal["train", "sample"],
) -> torch.dtype:
    """The number type to train a network in, or to sample from it; see :func:`pick_precision`.

    Args:
        name: "fp32", "bf16", "fp16" or "auto".
        network: called as ``network(x_t, timestep, labels)``; it does not change.
        images: shape and classes of its images.
        device: where it will compute.
        what: what it is to do.
    """
    return pick_precision(
        name,
        processor(device),
        lambda: bf16_is_faster(network, images.shape, len(images.classes), what),
    )


def bf16_is_faster(
    network: nn.Module, shape: tuple[int, int, int], classes: int, what: Literal["train", "sample"]
) -> bool:
    """Whether a network is faster in bf16 than in fp32 on this CPU, by a measurement or an earlier one.

    Args:
        network: on the CPU, called as ``network(x_t, timestep, labels)``; it does not change.
        shape: (channels, height, width) of the images.
        classes: number of classes; 0 for no labels.
        what: what it is to do; to train, it needs gradients too.
    """
    name = f"{_fingerprint(network, shape, what)}.json"
    try:
        file = cache_entry("precision", name)
    except OSError:  # a full disk, which is said when the gain cannot be kept
        file = cache_folder() / "precision" / name
    gain = _kept(file)
    if gain is None:
        with _alone(file):  # other processes wait, and read what this one finds
            gain = _kept(file)
            if gain is None:
                gain = _measured_gain(network, shape, classes, what == "train")
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
        [list(p.shape) for p in network.parameters()],
        shape,
        what,
        MOST_IMAGES,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


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
    if gain:
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
    network: nn.Module, shape: tuple[int, int, int], classes: int, training: bool
) -> float:
    """Seconds in fp32 by seconds in bf16, taking turns; the least of each, for other work only adds.

    0 if the network does not compute in bf16.
    """
    network = copy.deepcopy(network).requires_grad_(training)
    halved = network if training else with_weights_in(network, torch.bfloat16)
    inputs = _affordable_inputs(network, shape, classes, training)
    try:
        _seconds(halved, inputs, torch.bfloat16, training)
    except Exception as error:  # a network of someone else may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        warn(f"this network does not compute in bf16 ({reason}): fp32 is used")
        return 0.0
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + SECONDS
    while len(pairs) < 3 or time.perf_counter() < end:
        full = _seconds(network, inputs, torch.float32, training)
        half = _seconds(halved, inputs, torch.bfloat16, training)
        pairs.append((full, half))
    full_times, half_times = zip(*pairs[1:], strict=True)  # the first ones may wait for kernels
    return min(full_times) / min(half_times)


def _affordable_inputs(
    network: nn.Module, shape: tuple[int, int, int], classes: int, training: bool
) -> Inputs:
    """As many images, up to MOST_IMAGES, as are evaluated in a part of SECONDS."""
    count = FEWEST_IMAGES
    inputs = _inputs(shape, count, classes)
    _seconds(network, inputs, torch.float32, training)  # waits for kernels
    while count < MOST_IMAGES:
        if 2 * _seconds(network, inputs, torch.float32, training) > SECONDS / 2:
            break
        count *= 2
        inputs = _inputs(shape, count, classes)
    return inputs


def _inputs(shape: tuple[int, int, int], count: int, classes: int) -> Inputs:
    """Noise, times and labels."""
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes if classes else None
    return torch.randn(count, *shape, generator=source), torch.full((count,), 500.0), labels


def _seconds(
    network: nn.Module,
    inputs: Inputs,
    precision: torch.dtype,
    training: bool,
) -> float:
    """Of one evaluation, with gradients if ``training``."""
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training):
        with in_precision(inputs[0].device, precision):
            output: Tensor = network(*inputs)
        if training:
            output.float().square().mean().backward()
            network.zero_grad()
    return time.perf_counter() - start
