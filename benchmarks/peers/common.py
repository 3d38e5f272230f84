"""What every peer script shares: the command line, MNIST, the clock and the result.

``python PEER.py --mnist FOLDER --seconds 300 1200 --images N --out FOLDER`` trains a peer for the longest
of the budgets, counted from its first training step. At the end of each budget the clock stands still
while N images are drawn with each sampler and guidance that is tried. Their .npz holds ``images`` uint8
(n, 1, 28, 28) and ``labels`` int64 (n,): 0 to 9 in turn. One line of JSON
on standard output for each budget says what was done. Each peer has an environment of its own
(``requirements/``): nothing but numpy, torch and the peer is imported here.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Result = TypeVar("Result")
Shape = tuple[int, ...]

SIZE = 28


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every peer script."""
    options = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    options.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's four .gz")
    options.add_argument(
        "--seconds", type=float, nargs="+", required=True, help="budgets of training"
    )
    options.add_argument(
        "--images", type=int, required=True, help="how many to draw with each sampler"
    )
    options.add_argument("--out", type=Path, required=True, help="the folder for them")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument(
        "--sample-seconds",
        type=float,
        default=120,
        help="for each sampler; no batch is begun after this long, but the first one always ends",
    )
    options.add_argument("--seed", type=int, default=0)
    return options


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; make the folder, set the number of threads and the seed."""
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return args


def read_idx(path: Path) -> np.ndarray:
    """The array of a gzip IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def training_set(folder: Path, pad: int = 0) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1], (60000, 1, 28 + 2 pad, 28 + 2 pad), black around; labels (60000,)."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    images = np.pad(images, ((0, 0), (pad, pad), (pad, pad)))[:, None]
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz").astype(np.int64)
    return torch.from_numpy(images).float() / 127.5 - 1, torch.from_numpy(labels)


def batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, each in a new order, without the cost of a loader."""
    while True:
        for chosen in torch.randperm(len(images)).split(size):
            yield images[chosen], labels[chosen]


def parameters(network: nn.Module) -> int:
    """How many numbers a network has learned."""
    return sum(weights.numel() for weights in network.parameters())


def attention_flops(q: Shape, k: Shape, v: Shape, *_: object, **__: object) -> int:
    """FLOPs of attention, from the shapes of queries, keys and values."""
    return sdpa_flop_count(q, k, v)


def attention_backward_flops(
    gradient: Shape, q: Shape, k: Shape, v: Shape, *_: object, **__: object
) -> int:
    """FLOPs of its backward pass."""
    return sdpa_backward_flop_count(gradient, q, k, v)


# torch's counter does not know the kernels for CPUs.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}


def with_flops(call: Callable[[], Result]) -> tuple[Result, int]:
    """What a call returns, and its FLOPs: matrix products, convolutions and attention, both ways."""
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        result = call()
    return result, counter.get_total_flops()


@dataclass(frozen=True)
class Sampling:
    """A sampler and its settings, for a trained peer.

    ``draw`` maps labels (n,) to images (n, 1, h, w) in [-1, 1], ``batch`` of them at a time, by ``steps``
    evaluations of the network, and as many without the label where there is guidance.
    """

    sampler: str
    steps: int
    draw: Callable[[Tensor], Tensor]
    guidance: float = 1.0
    batch: int = 64

    @property
    def evaluations(self) -> int:
        """Of the network, for an image."""
        return self.steps if self.guidance == 1 else 2 * self.steps


def train(
    step: Callable[[], int], budgets: list[float]
) -> Iterator[tuple[float, dict[str, float]]]:
    """Train by calling ``step()``, which returns how many images it took, and stop at each budget.

    A step that is under way at the end of a budget is finished and counted. What happens between two
    budgets does not count. So the training must not depend on the budget: one whose schedule has to know
    its end runs anew for each.

    Yields:
        A budget in seconds, and what the training has taken until then.
    """
    images = 0
    steps = 0
    flops_per_image = 0.0
    spent = 0.0
    for budget in sorted(budgets):
        start = time.perf_counter() - spent
        while (spent := time.perf_counter() - start) < budget:
            if steps < 2:  # counted, for all; a generator's first step may lack its second half
                taken, flops = with_flops(step)
                flops_per_image = max(flops_per_image, flops / taken)
            else:
                taken = step()
            images += taken
            steps += 1
        yield (
            budget,
            {
                "train_seconds": round(spent, 2),
                "train_images": images,
                "train_tflop": round(images * flops_per_image / 1e12, 3),
            },
        )


def sample(sampling: Sampling, args: argparse.Namespace, out: Path) -> dict[str, object]:
    """Draw images with a sampler, write them to ``out``, and return what is to be said of them."""
    labels = torch.arange(args.images) % 10
    drawn: list[Tensor] = []
    start = time.perf_counter()
    for batch in labels.split(sampling.batch):
        drawn.append(sampling.draw(batch))
        spent = time.perf_counter() - start
        if spent > args.sample_seconds:
            break
    # Images that were padded for the peer's sake get their own size back.
    border = (drawn[0].shape[-1] - SIZE) // 2
    images = torch.cat(drawn)[:, :, border : border + SIZE, border : border + SIZE]
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    np.savez_compressed(out, images=pixels, labels=labels[: len(pixels)].numpy())
    return {
        "sampler": sampling.sampler,
        "guidance": sampling.guidance,
        "evaluations": sampling.evaluations,
        "images": len(pixels),
        "sample_seconds_per_image": round(spent / len(pixels), 5),
        "file": out.name,
    }


def report(
    system: str,
    version: str,
    budget: float,
    trained: dict[str, float],
    samplings: list[Sampling],
    args: argparse.Namespace,
    network: nn.Module,
    note: str,
) -> None:
    """Draw with each sampler, and print the line of JSON of a budget."""
    name = Path(sys.argv[0]).stem
    draws = [
        sample(sampling, args, args.out / f"{name}-{budget:g}-{args.seed}-{index}.npz")
        for index, sampling in enumerate(samplings)
    ]
    result = {
        "system": system,
        "version": version,
        "torch": torch.__version__,
        "parameters": parameters(network),
        "budget": budget,
        "seed": args.seed,
        **trained,
        "note": note,
        "draws": draws,
    }
    print(json.dumps(result), flush=True)
