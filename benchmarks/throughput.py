"""How fast: forward passes and training steps of our networks, the original's against a plain
implementation of it, and each one's share of what the machine can do.

    python benchmarks/throughput.py            # all, about ten minutes on two cores
    python benchmarks/throughput.py --quick    # smaller batches, one round

Each case runs in a process of its own, since allocator settings hold for a whole process; the cases of
a round run one after another, rounds alternate, and medians over all rounds are reported. FLOPs are
counted by torch; the peak is the best matrix product of 1024 measured in the same run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from mezzotint import build
from mezzotint.data import ImageSpec
from mezzotint.recipe.presets import as_recipe
from mezzotint.runs.train import make_trainer
from mezzotint.utils.device import place, prepare

sys.path.insert(0, str(Path(__file__).parent))
import machine
from peers import original_plain

# name: (system, what, images at once, images at once in a quick look)
CASES = {
    "lean, sampling step": ("digits", "forward", 64, 64),
    "lean, training step": ("digits", "train", 64, 64),
    "original, sampling step": ("ddpm", "forward", 10, 4),
    "original plain, sampling step": ("plain", "forward", 10, 4),
    "original, training step": ("ddpm", "train", 64, 4),
    "original plain, training step": ("plain", "train", 64, 4),
}
RATIOS = ["sampling step", "training step"]


def forward_of(system: str, batch: int) -> Callable[[], object]:
    """One network evaluation, as sampling makes it."""
    size = 28 if system == "digits" else 32
    x, steps = torch.randn(batch, 1, size, size), torch.full((batch,), 500.0)
    labels = torch.arange(batch) % 10
    if system == "plain":
        network = original_plain.make_network().eval()
        whole = steps.long()
        return torch.no_grad()(lambda: network(x, whole, labels))
    prepare()
    recipe = as_recipe(system)
    spec = ImageSpec((size, size), 1, tuple("0123456789"))
    made = build.make_network(recipe.net, spec).eval().requires_grad_(False)
    network = place(made, torch.device("cpu"))
    return torch.inference_mode()(lambda: network(x, steps, labels))


def train_of(system: str, batch: int) -> Callable[[], object]:
    """One training step: loss, gradients, update."""
    if system == "plain":
        network = original_plain.make_network()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
        x, labels = torch.randn(batch, 1, 32, 32), torch.arange(batch) % 10

        def step() -> None:
            t = torch.randint(1, 1001, (batch,))
            optimizer.zero_grad()
            (network(x, t, labels) - x).abs().mean().backward()
            optimizer.step()

        return step
    prepare()
    recipe = as_recipe(system, {"training": {"batch": batch}})
    return make_trainer(recipe, build.load_data(recipe.data)).step


def measure(name: str, size: int, seconds: float) -> dict[str, float]:
    """Median seconds of a case of ``size`` images in this process, and its FLOPs, counted on the first
    call."""
    system, what = CASES[name][:2]
    call = (forward_of if what == "forward" else train_of)(system, size)
    with FlopCounterMode(display=False) as counter:
        call()
    times, end = list[float](), time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "flops": counter.get_total_flops(), "images": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller batches, one round")
    parser.add_argument("--rounds", type=int, default=3, help="alternations")
    parser.add_argument("--case", choices=CASES, help="one case, in this process")
    parser.add_argument("--batch", type=int, help="images at once, with --case")
    arguments = parser.parse_args()
    if arguments.case:
        _, _, batch, small = CASES[arguments.case]
        size = arguments.batch or (small if arguments.quick else batch)
        print(json.dumps(measure(arguments.case, size, 8)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    rounds = 1 if arguments.quick else arguments.rounds
    peaks = [machine.peak()]
    for number in range(rounds):
        for name in CASES:
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            command = [sys.executable, __file__, "--case", name]
            command += ["--quick"] if arguments.quick else []
            made = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(made.stdout))
        peaks.append(machine.peak())
    report(found, max(peaks), rounds)


def report(found: dict[str, list[dict[str, float]]], peak: float, rounds: int) -> None:
    """The tables, into docs/benchmarks.md."""
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    rows = []
    for name, runs in found.items():
        rate = runs[0]["flops"] / seconds[name] / 1e9
        rows.append(
            [
                name,
                f"{runs[0]['images']:.0f}",
                f"{seconds[name]:.3f}",
                f"{runs[0]['images'] / seconds[name]:.1f}",
                f"{rate:.0f}",
                f"{rate / peak:.0%}",
            ]
        )
    headings = ["case", "images", "seconds", "images/s", "GFLOP/s", "of the peak"]
    ratios = [
        f"The original's {what}: {seconds[f'original plain, {what}'] / seconds[f'original, {what}']:.2f}"
        " times as fast as plain."
        for what in RATIOS
    ]
    machine.write_section(
        "throughput",
        f"## Throughput\n\n{machine.table(headings, rows)}\n\n{' '.join(ratios)}\n\n"
        f"Peak: {peak:.0f} GFLOP/s. Medians over {rounds} round(s), each case in a process of its own."
        f" {machine.describe()}.",
    )


if __name__ == "__main__":
    main()
