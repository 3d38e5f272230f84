"""How good after so many seconds: any system, trained for the same time on the same machine, its samples
measured by the same judge.

    python benchmarks/time_to_quality.py                                   # mezzotint alone, 290 s
    python benchmarks/time_to_quality.py --systems mezzotint_digits diffusers_unet --seconds 60 290

A peer needs an environment of its own, made once:

    python benchmarks/time_to_quality.py --install diffusers_unet small_diffusion denoising_diffusion

Systems run one after another, for each budget and seed anew. Seconds are wall clock, from the first
training step to the last; importing is not counted, for anyone, nor is reading the data for peers.
What was found of a run is kept in benchmarks/results/time_to_quality; a run of the same system, budget and
seed replaces it, and the table has all that are there.
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
from mezzotint.data.samples import read_images
from mezzotint.evaluation.evaluate import evaluate_images, reference_of
from mezzotint.evaluation.requirements import TooFewImages
from mezzotint.utils.assets import ASSETS
from mezzotint.utils.files import whole_file

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE / "environments"
SYSTEMS = {
    "mezzotint_digits": [],
    "original_plain": ["--batch-sampling", "1"],
    "diffusers_unet": ["--sampler", "dpm++"],
    "denoising_diffusion": ["--batch-sampling", "4"],
    "small_diffusion": [],
}
COLUMNS = {
    "digit_fid": "digit-FID",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
}


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
    needs = PEERS / "requirements" / f"{system}.txt"
    subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", needs], check=True)


def run(system: str, seconds: int, seed: int, settings: argparse.Namespace) -> None:
    """Train for the budget, draw samples, and note what the system says of itself beside them."""
    out = settings.out / f"{system}-{seconds}-{seed}.npz"
    command = [
        python_of(system),
        PEERS / f"{system}.py",
        "--mnist",
        ASSETS / "mnist",
        "--out",
        out,
        "--seconds",
        seconds,
        "--images",
        settings.images,
        "--threads",
        settings.threads,
        "--sample-seconds",
        settings.sample_seconds,
        "--seed",
        seed,
        *SYSTEMS[system],
    ]
    print(f"{system}, {seconds} s, seed {seed}", file=sys.stderr, flush=True)
    torch.set_num_threads(settings.threads)
    peak = machine.peak()
    limited = os.environ | {"OMP_NUM_THREADS": str(settings.threads)}
    made = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=limited
    )
    result = json.loads(made.stdout.strip().splitlines()[-1])
    result |= {"budget": seconds, "seed": seed, "peak_gflops": round(peak, 1)}
    result["machine"] = " ".join(filter(None, [machine.describe(), settings.condition]))
    save(out.with_suffix(".json"), result)


def save(path: Path, result: dict[str, Any]) -> None:
    """Write what is known of a run."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def measured(folder: Path) -> list[dict[str, Any]]:
    """Every run in the folder, with its measures, which a new one is given now if it drew enough images."""
    reference = reference_of()
    runs = []
    for path in sorted(folder.glob("*-*.json")):
        result = json.loads(path.read_text())
        samples = path.with_suffix(".npz")
        if samples.exists() and "floor" not in result:
            try:
                evaluated = evaluate_images(
                    read_images(samples, reference.test.classes), reference, result["system"]
                )
            except TooFewImages as error:
                print(f"{result['system']} is not measured: {error}", file=sys.stderr)
            else:
                result |= {key: evaluated.values[key][0] for key in COLUMNS}
                result["floor"] = {key: evaluated.floor[key] for key in COLUMNS}
                save(path, result)
        runs.append(result)
    return sorted(runs, key=lambda run: (run["budget"], run.get("digit_fid", float("inf"))))


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
    parser.add_argument("--images", type=int, default=2000, help="samples to measure")
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
    for seconds, seed, system in product(arguments.seconds, arguments.seeds, arguments.systems):
        run(system, seconds, seed, arguments)
    prepare()
    runs = measured(arguments.out)
    report(runs)
    plot(runs, machine.PAGE.parent / "images" / "time_to_quality.png")


def floor_of(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The floor that belongs to the most images."""
    floor: dict[str, float] = max(
        (run for run in runs if "floor" in run), key=lambda run: run["images"]
    )["floor"]
    return floor


def cost(run: dict[str, Any]) -> list[str]:
    """What a training cost on any machine: TFLOP that it computed, and that the machine could have."""
    if "train_tflop" not in run:
        return ["", ""]
    possible = run["train_seconds"] * run["peak_gflops"] / 1000
    return [f"{run['train_tflop']:.1f}", f"{possible:.1f}"]


def row_of(run: dict[str, Any], machines: list[str]) -> list[str]:
    """A row of the table."""
    return [
        run["system"],
        machine_letter(run["machine"], machines),
        f"{run['train_seconds']:.0f}",
        f"{run['train_images']:,}",
        *cost(run),
        *(f"{run[key]:.3f}" if key in run else "" for key in COLUMNS),
        f"{run['images']:,}",
        run["sampler"],
        str(run["evaluations"]),
        f"{1000 * run['sample_seconds_per_image']:.0f}",
    ]


def machine_letter(name: str, machines: list[str]) -> str:
    """A for the first machine of the table."""
    return chr(ord("A") + machines.index(name))


def report(runs: list[dict[str, Any]]) -> None:
    """The table, into docs/benchmarks.md."""
    machines = sorted({run["machine"] for run in runs})
    floor = floor_of(runs)
    headings = [
        "system",
        "machine",
        "seconds",
        "images trained on",
        "TFLOP",
        "TFLOP at the peak",
        *COLUMNS.values(),
        "images",
        "sampler",
        "evaluations",
        "ms per image",
    ]
    rows = [row_of(run, machines) for run in runs]
    of_real = [f"{floor[key]:.3f}" for key in COLUMNS]
    rows.append(["floor", *[""] * 5, *of_real, *[""] * 4])
    notes = " ".join(
        sorted({f"{run['system']} {run['version']}: {run['note']}." for run in runs if run["note"]})
    )
    names = "\n".join(f"- {machine_letter(name, machines)}: {name}" for name in machines)
    machine.write_section(
        "time to quality",
        f"## Time to quality\n\n{machine.table(headings, rows)}\n\n{names}\n\n{notes}\n\n"
        "Each system with its own recipe for such data, given a budget of wall clock, one after"
        " another; a row for each run; measured by `mezzotint evaluate`. Seconds are what each"
        " spent: peers stop at the first step past the budget; mezzotint, whose schedule needs to know"
        " its end, guesses its steps beforehand and may miss it either way. Two columns do not depend on the"
        " machine: TFLOP are what the training computes, by torch's count of a step; TFLOP at the peak are"
        " what the machine would have computed in that time at the speed at which, just before, it"
        " multiplied matrices in fp32 (in bf16 some machines do more); the oldest runs have neither."
        " Distances depend on the number"
        " of images: compare rows of equal number. The floor is that of the most images.\n\n"
        "![quality against seconds](images/time_to_quality.png)",
    )


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Digit-FID against seconds, a line for each system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for system in dict.fromkeys(run["system"] for run in runs):
        points = sorted(
            (run["train_seconds"], run["digit_fid"])
            for run in runs
            if run["system"] == system and "digit_fid" in run
        )
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", linestyle="", label=system)
    axes.set(xlabel="seconds of training", ylabel="digit-FID", yscale="log")
    axes.set_xlim(0, 1.1 * max(run["train_seconds"] for run in runs))
    axes.axhline(floor_of(runs)["digit_fid"], color="grey", linestyle=":", label="floor")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s in all", file=sys.stderr)
