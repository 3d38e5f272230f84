"""What every peer script shares: the command line, MNIST, the clock and the result.

``python PEER.py --mnist FOLDER --seconds S --images N --out samples.npz`` trains a peer for S
seconds, counted from its first training step, then draws N images. The .npz holds ``images``
uint8 (n, 1, 28, 28) and, where the peer is conditional, ``labels`` int64 (n,): 0 to 9 in turn.
One JSON line on standard output says what was done. Each peer has an environment of its own
(``requirements/``): nothing but numpy, torch and the peer is imported here.
"""

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Result = TypeVar("Result")

SIZE = 28


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every peer script."""
    options = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    options.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's four .gz")
    options.add_argument("--seconds", type=float, required=True, help="wall clock of training")
    options.add_argument("--images", type=int, required=True, help="how many to draw")
    options.add_argument("--out", type=Path, required=True, help="the .npz to write")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--batch-sampling", type=int, default=64)
    options.add_argument(
        "--sample-seconds",
        type=float,
        default=120,
        help="no batch is begun after this long; the first one always ends",
    )
    options.add_argument("--seed", type=int, default=0)
    return options


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; set the number of threads and the seed."""
    args = options.parse_args()
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
    """How many numbers are trained."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def with_flops(call: Callable[[], Result]) -> tuple[Result, int]:
    """What a call returns, and its FLOPs: matrix products, convolutions and attention, both ways."""
    with FlopCounterMode(display=False) as counter:
        result = call()
    return result, counter.get_total_flops()


def train(step: Callable[[float], int], seconds: float) -> dict[str, float]:
    """Call ``step(share of the time spent)``, which returns how many images it took, until
    ``seconds`` are over; the step under way then is finished and counted."""
    images = 0
    flops_per_image = 0.0
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        share = spent / seconds
        if images == 0:  # the first step is counted, and stands for all
            taken, flops = with_flops(lambda share=share: step(share))
            flops_per_image = flops / taken
        else:
            taken = step(share)
        images += taken
    return {
        "train_seconds": round(spent, 2),
        "train_images": images,
        "train_tflop": round(images * flops_per_image / 1e12, 3),
    }


def sample(draw: Callable[[Tensor], Tensor], args: argparse.Namespace, conditional: bool) -> dict:
    """Draw images in [-1, 1] for batches of labels, write them, and return the time they took."""
    labels = torch.arange(args.images) % 10
    drawn: list[Tensor] = []
    start = time.perf_counter()
    for batch in labels.split(args.batch_sampling):
        drawn.append(draw(batch))
        spent = time.perf_counter() - start
        if spent > args.sample_seconds:
            break
    # Images that were padded for the peer's sake get their own size back.
    border = (drawn[0].shape[-1] - SIZE) // 2
    images = torch.cat(drawn)[:, :, border : border + SIZE, border : border + SIZE]
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    held = {"labels": labels[: len(pixels)].numpy()} if conditional else {}
    np.savez_compressed(args.out, images=pixels, **held)
    return {"sample_seconds_per_image": round(spent / len(pixels), 5), "images": len(pixels)}


def report(system: str, version: str, **result: object) -> None:
    """Print the one line of JSON."""
    print(json.dumps({"system": system, "version": version, "torch": torch.__version__, **result}))
