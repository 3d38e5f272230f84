"""How good after so many seconds: any system, trained for the same time on the same machine, its samples
measured by the same judge.

    python benchmarks/time_to_quality.py                                   # mezzotint alone, 290 s
    python benchmarks/time_to_quality.py --systems mezzotint_digits diffusers_unet --seconds 300 1200

A peer needs an environment of its own, made once:

    python benchmarks/time_to_quality.py --install diffusers_unet small_diffusion

Systems run one after another. A peer trains once, for the longest of the budgets, and stops at each to draw;
mezzotint, whose schedule has to know its end, trains anew for each. Seconds are wall clock, from the first
training step to the last, without drawing; importing is not counted, for anyone, nor is reading the data for
peers. A peer draws with its own sampler and guidance and with others that may suit it better. What was
measured is kept in benchmarks/results/time_to_quality; a run of the same system, budget and seed replaces
it, and the table has all that are there, each with the sampler that came closest to real digits by as many
images of each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from itertools import product
from pathlib import Path
from typing import Any

import torch

from mezzotint.utils.device import prepare

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint.data.samples import Samples, read_images
from mezzotint.evaluation.evaluate import evaluate_images, reference_of
from mezzotint.evaluation.measure import Reference
from mezzotint.evaluation.requirements import TooFewImages
from mezzotint.utils.assets import ASSETS
from mezzotint.utils.files import whole_file
from quality_table import COLUMNS, report

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE / "environments"
SYSTEMS = (
    "mezzotint_digits",
    "original_plain",
    "diffusers_unet",
    "denoising_diffusion",
    "small_diffusion",
    "k_diffusion_transformer",
)


def python_of(system: str) -> str:
    """The interpreter a system runs in: ours, or its environment's."""
    if not (PEERS / "requirements" / f"{system}.txt").exists():
        return sys.executable
    python = ENVIRONMENTS / system / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{system} has no environment yet: run with --install {system}")
    return str(python)


def install(system: str) -> None:
    """Make a peer's environment."""
    folder = ENVIRONMENTS / system
    venv.create(folder, with_pip=True)
    requirements = PEERS / "requirements" / f"{system}.txt"
    subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", requirements], check=True)


def run(system: str, seed: int, settings: argparse.Namespace) -> None:
    """Train for the budgets, draw samples, and keep what the system says of itself beside them."""
    command = [
        python_of(system),
        PEERS / f"{system}.py",
        "--mnist",
        ASSETS / "mnist",
        "--out",
        settings.out,
        "--seconds",
        *settings.seconds,
        "--images",
        settings.images,
        "--threads",
        settings.threads,
        "--sample-seconds",
        settings.sample_seconds,
        "--seed",
        seed,
    ]
    print(f"{system}, {settings.seconds} s, seed {seed}", file=sys.stderr, flush=True)
    torch.set_num_threads(settings.threads)
    measured_before = {
        "threads": settings.threads,
        "peak_gflops": round(machine.peak(), 1),
        "machine": " ".join(filter(None, [machine.describe(), settings.condition])),
    }
    limited = os.environ | {"OMP_NUM_THREADS": str(settings.threads)}
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=limited) as process:
        assert process.stdout is not None  # it was asked for
        for line in process.stdout:
            if line.startswith("{"):  # a budget is over; libraries print other lines
                result = json.loads(line) | measured_before
                save(settings.out / f"{system}-{result['budget']:g}-{seed}.json", result)
    if process.returncode:
        raise SystemExit(f"{system} failed, with exit code {process.returncode}")


def save(path: Path, result: dict[str, Any]) -> None:
    """Write what is known of a run."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def measure(folder: Path) -> list[dict[str, Any]]:
    """Every run in the folder, after measuring what was drawn since the last time."""
    reference = reference_of()
    runs = []
    for path in sorted(folder.glob("*-*.json")):
        result = json.loads(path.read_text())
        measure_draws(result, folder, reference)
        save(path, result)
        runs.append(result)
    return runs


def measure_draws(result: dict[str, Any], folder: Path, reference: Reference) -> None:
    """Measure the draws of a run that were not measured yet, and as many images of each beside them."""
    measured: list[tuple[dict[str, Any], Samples]] = []
    for draw in result["draws"]:
        file = folder / draw.get("file", "")
        if "floor" in draw or not file.is_file():
            continue
        samples = read_images(file, reference.test.classes)
        try:
            draw |= measures(samples, reference, result["system"])
        except TooFewImages as error:
            print(f"{result['system']} is not measured: {error}", file=sys.stderr)
            continue
        measured.append((draw, samples))
    fewest = min((len(samples.images) for _, samples in measured), default=0)
    for draw, samples in measured:
        if len(samples.images) > fewest:
            draw["compared"] = measures(first_of(samples, fewest), reference, result["system"])


def first_of(samples: Samples, count: int) -> Samples:
    """The first images, with their labels."""
    labels = samples.labels
    return Samples(samples.images[:count], None if labels is None else labels[:count])


def measures(samples: Samples, reference: Reference, system: str) -> dict[str, Any]:
    """The measures of the table, and what as many real digits score."""
    evaluated = evaluate_images(samples, reference, system)
    values = {key: evaluated.values[key][0] for key in COLUMNS}
    return {**values, "floor": {key: evaluated.floor[key] for key in COLUMNS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--systems",
        nargs="*",
        choices=SYSTEMS,
        default=["mezzotint_digits"],
        help="none: only measure what is there",
    )
    parser.add_argument("--seconds", nargs="+", type=int, default=[290], help="budgets of training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="one run for each")
    parser.add_argument(
        "--images", type=int, default=2000, help="samples to measure, for each sampler"
    )
    parser.add_argument("--sample-seconds", type=int, default=120, help="limit of drawing them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--condition", default="", help="what else has to be said of the machine")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "time_to_quality")
    parser.add_argument("--install", nargs="+", choices=SYSTEMS, help="only make environments")
    arguments = parser.parse_args()
    if arguments.install:
        for system in arguments.install:
            install(system)
        return
    for system in arguments.systems:
        python_of(system)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed, system in product(arguments.seeds, arguments.systems):
        run(system, seed, arguments)
    prepare()
    report(measure(arguments.out))


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s in all", file=sys.stderr)
