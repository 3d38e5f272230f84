"""How fast: forward passes and training steps of our networks, the original's against a plain
implementation of it, and each one's share of what the machine can do.

    python benchmarks/throughput.py            # all, about eight minutes on two cores
    python benchmarks/throughput.py --quick    # smaller batches, one round

The steps of one system take turns in a process, because a machine's speed changes from minute to minute;
the peer has a process of its own, since settings of the allocator hold for a whole process. FLOPs are counted
by torch; the peak is the best matrix product of 1024 measured in the same run. What CPUs gain by bf16 depends
on what they multiply it with, so each kind (AMX, AVX512_BF16, neither) has a table of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch

from mezzotint import build
from mezzotint.data import ImageSpec
from mezzotint.nets.blocks import fold_standardization
from mezzotint.recipe.presets import as_recipe
from mezzotint.runs.train import make_trainer
from mezzotint.utils.cast_weights import with_weights_in
from mezzotint.utils.device import place, prepare
from mezzotint.utils.precision import TYPES, in_precision

sys.path.insert(0, str(Path(__file__).parent))
import machine
from peers import original_plain
from peers.common import with_flops

Call = Callable[[], object]
CALLS = 3
"""Calls in a turn."""


class Measured(TypedDict):
    """Seconds of a call in each turn, its FLOPs, and the images at once."""

    times: list[float]
    flops: float
    images: int


# name: (recipe, changes of its network, number type); "plain" is the peer. The earlier lean network is what
# `digits` had before there was bf16 on CPUs.
EARLIER = {"groups": 8, "heads": 4}
NETWORKS: dict[str, tuple[str, dict[str, int], str]] = {
    "earlier lean, fp32": ("digits", EARLIER, "fp32"),
    "earlier lean, bf16": ("digits", EARLIER, "bf16"),
    "lean, fp32": ("digits", {}, "fp32"),
    "lean without norms, bf16": ("digits", {"groups": 0}, "bf16"),
    "lean, bf16": ("digits", {}, "bf16"),
    "earlier lean of width 64, fp32": ("digits", {"width": 64, **EARLIER}, "fp32"),
    "lean of width 64, bf16": ("digits", {"width": 64}, "bf16"),
    "original, fp32": ("ddpm", {}, "fp32"),
    "original, bf16": ("ddpm", {}, "bf16"),
    "original plain, fp32": ("plain", {}, "fp32"),
}
# what: images at once for lean networks, for the original's, and for those in a quick look
STEPS = {"sampling step": (64, 10, 4), "training step": (64, 64, 4)}
CASES = [f"{network}, {what}" for network in NETWORKS for what in STEPS]
RATIOS = [
    ("lean, bf16", "earlier lean, fp32"),
    ("lean without norms, bf16", "earlier lean, fp32"),
    ("lean of width 64, bf16", "earlier lean of width 64, fp32"),
    ("original, bf16", "original, fp32"),
    ("original, fp32", "original plain, fp32"),
]


def images_at_once(case: str, quick: bool) -> int:
    """The batch of a case."""
    network, _, what = case.rpartition(", ")
    lean, original, small = STEPS[what]
    if NETWORKS[network][0] == "digits":
        return lean
    return small if quick else original


def forward_of(system: str, changes: dict[str, int], precision: str, batch: int) -> Call:
    """One network evaluation, as sampling makes it."""
    size = 28 if system == "digits" else 32
    x, steps = torch.randn(batch, 1, size, size), torch.full((batch,), 500.0)
    labels = torch.arange(batch) % 10
    if system == "plain":
        network = original_plain.make_network().eval()
        whole = steps.long()
        return torch.no_grad()(lambda: network(x, whole, labels))
    prepare()
    recipe = as_recipe(system, {"net": changes})
    spec = ImageSpec((size, size), 1, tuple("0123456789"))
    made = build.make_network(recipe.net, spec).eval().requires_grad_(False)
    network = fold_standardization(place(made, torch.device("cpu")))
    kind = TYPES[precision]
    if kind == torch.bfloat16:
        network = with_weights_in(network, kind)

    def evaluate() -> object:
        with torch.inference_mode(), in_precision(x.device, kind):
            return network(x, steps, labels)

    return evaluate


def train_of(system: str, changes: dict[str, int], precision: str, batch: int) -> Call:
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
    training = {"batch": batch, "precision": precision}
    recipe = as_recipe(system, {"net": changes, "training": training})
    return make_trainer(recipe, build.load_data(recipe.data)).step


def measure(cases: list[str], batches: dict[str, int], seconds: float) -> dict[str, Measured]:
    """Cases in turn in this process: seconds of a call in each turn, and FLOPs, counted on the first call."""
    calls: dict[str, Call] = {}
    found: dict[str, Measured] = {}
    for case in cases:
        network, _, what = case.rpartition(", ")
        make = forward_of if what == "sampling step" else train_of
        calls[case] = make(*NETWORKS[network], batches[case])
        _, flops = with_flops(calls[case])
        found[case] = {"times": [], "flops": flops, "images": batches[case]}
    end = time.perf_counter() + seconds * len(cases)
    while len(found[cases[0]]["times"]) < 2 or time.perf_counter() < end:
        for case, call in calls.items():
            times = []
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            found[case]["times"].append(statistics.median(times))
    return found


def groups() -> list[list[str]]:
    """Cases that take turns in one process: all steps of a kind of one system. Peers are alone."""
    by_group: dict[tuple[str, str], list[str]] = {}
    for network, (system, _, _) in NETWORKS.items():
        for what in STEPS:
            by_group.setdefault((system, what), []).append(f"{network}, {what}")
    return list(by_group.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller batches, less time")
    parser.add_argument("--case", choices=CASES, nargs="+", help="cases, in this process")
    parser.add_argument("--batch", type=int, help="images at once, with --case")
    arguments = parser.parse_args()
    seconds = 3 if arguments.quick else 12
    if arguments.case:
        batches = {
            case: arguments.batch or images_at_once(case, arguments.quick)
            for case in arguments.case
        }
        print(json.dumps(measure(arguments.case, batches, seconds)))
        return
    found: dict[str, Measured] = {}
    peaks = [machine.peak()]
    for cases in groups():
        print(", ".join(cases), file=sys.stderr, flush=True)
        command = [sys.executable, __file__, *(["--quick"] if arguments.quick else [])]
        made = subprocess.run(
            [*command, "--case", *cases], capture_output=True, text=True, check=True
        )
        found |= json.loads(made.stdout)
        peaks.append(machine.peak())
    report(found, max(peaks), machine.peak(dtype=torch.bfloat16))


def gain(old: Measured, new: Measured) -> float:
    """How many times as fast: the median over turns, if both took turns."""
    if len(old["times"]) == len(new["times"]):
        ratios = [before / after for before, after in zip(old["times"], new["times"], strict=True)]
        return statistics.median(ratios)
    return statistics.median(old["times"]) / statistics.median(new["times"])


def report(found: dict[str, Measured], peak: float, bf16_peak: float) -> None:
    """The tables, into docs/benchmarks.md."""
    rows = []
    for name, measured in found.items():
        seconds = statistics.median(measured["times"])
        rate = measured["flops"] / seconds / 1e9
        rows.append(
            [
                name,
                f"{measured['images']:.0f}",
                f"{seconds:.4f}",
                f"{measured['images'] / seconds:.1f}",
                f"{rate:.0f}",
                f"{rate / (bf16_peak if 'bf16' in name else peak):.0%}",
            ]
        )
    headings = ["case", "images", "seconds", "images/s", "GFLOP/s", "of the peak"]
    ratios = [
        [f"{new}, beside {old}"]
        + [f"{gain(found[f'{old}, {what}'], found[f'{new}, {what}']):.2f}" for what in STEPS]
        for new, old in RATIOS
    ]
    unit = machine.bf16_unit()
    machine.write_section(
        f"throughput with {unit}",
        f"## Throughput with {unit}\n\n"
        f"How many times as fast:\n\n{machine.table(['networks', *STEPS], ratios)}\n\n"
        f"{machine.table(headings, rows)}\n\n"
        f"Peaks of matrix products: {peak:.0f} GFLOP/s in fp32, {bf16_peak:.0f} in bf16. Medians; the steps"
        " of a system take turns in one process, and ratios are those of the turns; the peer is in a process"
        f" of its own. {machine.describe()}.",
    )


if __name__ == "__main__":
    main()
