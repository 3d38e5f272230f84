"""How good after so many seconds: any system, trained for the same time on the same machine, its samples
measured by the same judge.

    python benchmarks/time_to_quality.py                                   # mezzotint alone, 290 s
    python benchmarks/time_to_quality.py --systems mezzotint_digits diffusers_unet --seconds 60 290

A peer needs an environment of its own, made once:

    python benchmarks/time_to_quality.py --install diffusers_unet small_diffusion denoising_diffusion

Systems run one after another, for each budget and seed anew. Seconds are wall clock, from the first
training step to the last; importing is not counted, for anyone, nor is reading the data for peers.
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
    limited = os.environ | {"OMP_NUM_THREADS": str(settings.threads)}
    made = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=limited
    )
    found = json.loads(made.stdout.strip().splitlines()[-1])
    found |= {"budget": seconds, "seed": seed, "threads": settings.threads}
    found["condition"] = settings.condition
    with whole_file(out.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(found))


def measured(folder: Path) -> list[dict[str, Any]]:
    """Every run in the folder, with its measures where it drew enough images."""
    reference, runs = reference_of(), []
    for path in sorted(folder.glob("*-*.json")):
        one = json.loads(path.read_text())
        samples = read_images(path.with_suffix(".npz"), reference.test.classes)
        try:
            evaluated = evaluate_images(samples, reference, one["system"])
        except TooFewImages as fault:
            print(f"{one['system']} is not measured: {fault}", file=sys.stderr)
        else:
            one |= {key: found[0] for key, found in evaluated.values.items()}
            one["floor"] = evaluated.floor
        runs.append(one)
    return sorted(runs, key=lambda one: (one["budget"], one.get("digit_fid", float("inf"))))


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
    floor: dict[str, float] = max((o for o in runs if "floor" in o), key=lambda o: o["images"])[
        "floor"
    ]
    return floor


def report(runs: list[dict[str, Any]]) -> None:
    """The table, into docs/benchmarks.md."""
    rows = [
        [
            one["system"],
            f"{one['train_seconds']:.0f}",
            f"{one['train_images']:,}",
            *(f"{one[key]:.3f}" if key in one else "" for key in COLUMNS),
            f"{one['images']:,}",
            one["sampler"],
            str(one["evaluations"]),
            f"{1000 * one['sample_seconds_per_image']:.0f}",
        ]
        for one in runs
    ]
    floor = floor_of(runs)
    conditions = " ".join(sorted({one["condition"] for one in runs if one["condition"]}))
    rows.append(["floor", "", "", *(f"{floor[key]:.3f}" for key in COLUMNS), "", "", "", ""])
    headings = [
        "system",
        "seconds",
        "images trained on",
        *COLUMNS.values(),
        "images",
        "sampler",
        "evaluations",
        "ms per image",
    ]
    notes = " ".join(
        sorted({f"{o['system']} {o['version']}: {o['note']}." for o in runs if o["note"]})
    )
    machine.write_section(
        "time to quality",
        f"## Time to quality\n\n{machine.table(headings, rows)}\n\n{notes}\n\n"
        "Each system with its own recipe for such data, given a budget of wall clock, one after"
        " another; a row for each run; measured by `mezzotint evaluate`. The second column is what each"
        " spent: peers stop at the first step past the budget; mezzotint, whose schedule needs to know"
        " its end, guesses its steps beforehand and may miss it either way. Distances depend on the number"
        " of images: compare rows of equal number. The floor is that of the most images."
        f" {runs[0]['threads']} thread(s) each. {conditions} {machine.describe()}.\n\n"
        "![quality against seconds](images/time_to_quality.png)",
    )


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Digit-FID against seconds, a line for each system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for system in dict.fromkeys(one["system"] for one in runs):
        own = sorted(
            (o["train_seconds"], o["digit_fid"])
            for o in runs
            if o["system"] == system and "digit_fid" in o
        )
        if not own:
            continue
        axes.plot(*zip(*own, strict=True), marker="o", linestyle="", label=system)
    axes.set(xlabel="seconds of training", ylabel="digit-FID", yscale="log")
    axes.set_xlim(0, 1.1 * max(one["train_seconds"] for one in runs))
    axes.axhline(
        max(runs, key=lambda o: o["images"])["floor"]["digit_fid"],
        color="grey",
        linestyle=":",
        label="floor",
    )
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s in all", file=sys.stderr)
