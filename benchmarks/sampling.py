"""Seconds per image against quality: every sampler and step count of the shipped models.

    python benchmarks/sampling.py --images 2000

Each setting draws the same number of images, 64 at a time, timed; the distance is digit-FID. Single
images are timed by themselves, the median of twenty.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint import load
from mezzotint.data.samples import Samples
from mezzotint.evaluation.evaluate import evaluate_images, evaluations, reference_of
from mezzotint.model import Model
from mezzotint.sampling import round_robin_labels
from mezzotint.utils.files import whole_file

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *(("digits-fast", {"steps": n}) for n in (1, 2, 4)),
    *(("digits", {"sampler": "dpm++", "steps": n}) for n in (4, 6, 8, 12, 20)),
    *(("digits", {"sampler": "ddim", "steps": n}) for n in (8, 20)),
    *(("digits", {"sampler": "heun", "steps": n}) for n in (4, 8)),
    ("digits", {"sampler": "ddpm", "steps": 50}),
]


def timed(model: Model, count: int, changes: dict[str, Any]) -> tuple[torch.Tensor, float, float]:
    """Samples, seconds per image at 64 a time, and seconds for a single one."""
    labels = round_robin_labels(count, 10)
    start = time.perf_counter()
    images = model.sample(labels, batch=64, **changes)
    each = (time.perf_counter() - start) / count
    singles = []
    for seed in range(20):
        start = time.perf_counter()
        model.sample([7], seed=seed, **changes)
        singles.append(time.perf_counter() - start)
    return images, each, statistics.median(singles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sampling")
    arguments = parser.parse_args()
    models = {name: load(name, "cpu") for name in dict(SETTINGS)}
    reference = reference_of()
    labels = torch.tensor(round_robin_labels(arguments.images, 10))
    rows, found, floor = [], list[dict[str, Any]](), {}
    for name, changes in SETTINGS:
        model = models[name]
        asked = evaluations(model, **changes)
        images, each, single = timed(model, arguments.images, changes)
        evaluated = evaluate_images(Samples(images, labels), reference, name)
        value, floor = {k: v[0] for k, v in evaluated.values.items()}, evaluated.floor
        sampling = model.sampling_options(**changes)
        found.append({"model": name, "evaluations": asked, "seconds": each, **changes, **value})
        rows.append(
            [
                name,
                sampling.sampler,
                f"{sampling.steps}",
                f"{asked}",
                f"{1000 * each:.2f}",
                f"{1000 * single:.1f}",
                f"{value['digit_fid']:.3f}",
                f"{value['accuracy']:.3f}",
                f"{value['recall']:.3f}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with whole_file(arguments.out / "results.json") as temporary:
        temporary.write_text(json.dumps({"machine": machine.describe(), "runs": found}, indent=1))
    floors = [f"{floor[key]:.3f}" for key in ("digit_fid", "accuracy", "recall")]
    rows.append(["floor", "", "", "", "", "", *floors])
    headings = [
        "model",
        "sampler",
        "steps",
        "evaluations",
        "ms per image, 64 at a time",
        "ms, a single image",
        "digit-FID",
        "accuracy",
        "recall",
    ]
    machine.write_section(
        "sampling",
        f"## Sampling\n\n{machine.table(headings, rows)}\n\n{arguments.images:,} images each, seed 0."
        f" {machine.describe()}.",
    )


if __name__ == "__main__":
    main()
