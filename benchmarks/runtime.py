"""What each setting of the machine is worth (``mezzotint.utils.device.SETTINGS``): the same steps with all of
them, without one, and without any.

    python benchmarks/runtime.py              # about eight minutes on two cores
    python benchmarks/runtime.py --rounds 1

Every measurement is a process of its own, and the variants of a case take turns; ratios are of medians,
within this run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import machine
from mezzotint.utils.device import SETTINGS

# Cases of throughput.py, and how many images at once.
CASES = {
    "lean, fp32, training step": 64,
    "lean, fp32, sampling step": 64,
    "original, fp32, training step": 16,
    "original, fp32, sampling step": 10,
}
MEASURED = [name for name in SETTINGS if name != "bf16"]  # what bf16 is worth, throughput.py says
VARIANTS = {"all settings": ""} | {f"without {name}": name for name in MEASURED}
VARIANTS["without any"] = ",".join(MEASURED)


def seconds_of(case: str, without: str) -> float:
    """Median seconds of a step, in a process of its own."""
    script = Path(__file__).with_name("throughput.py")
    command = [sys.executable, str(script), "--case", case, "--batch", str(CASES[case])]
    environment = os.environ | {"MEZZOTINT_WITHOUT": without}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return statistics.median(json.loads(made.stdout)[case]["times"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="alternations")
    rounds = parser.parse_args().rounds
    rows = []
    for case, images in CASES.items():
        found: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(rounds):
            for name, without in VARIANTS.items():
                print(f"{case}, {name}, round {number + 1}", file=sys.stderr, flush=True)
                found[name].append(seconds_of(case, without))
        medians = {name: statistics.median(times) for name, times in found.items()}
        best = medians["all settings"]
        ratios = [f"{medians[name] / best:.2f}" for name in VARIANTS if name != "all settings"]
        rows.append([case, str(images), f"{best:.3f}", *ratios])
    headings = ["case", "images", "seconds, all settings", *list(VARIANTS)[1:]]
    notes = "\n".join(f"- `{name}`: {why}." for name, why in SETTINGS.items())
    machine.write_section(
        "runtime",
        f"## Settings of the machine\n\n{machine.table(headings, rows)}\n\n{notes}\n\n"
        "How many times as long a step takes without a setting; leave one out yourself with"
        " `MEZZOTINT_WITHOUT=memory`. Medians over"
        f" {rounds} round(s), in turn, each in a process of its own. {machine.describe()}.",
    )


if __name__ == "__main__":
    main()
