"""Golden runs: the losses of the first hundred steps of each objective, the same bits from the same build.

A build is what decides the bits: torch, the processor, and the instructions that are used. The losses of each
are in a file of tests/reference/golden; other builds are compared to a part in ten thousand.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from common import tiny_data, tiny_recipe
from mezzotint.recipe.schema import Recipe
from mezzotint.runs.initial import InitialModel
from mezzotint.runs.train import make_trainer
from mezzotint.sampling import sample_distributed
from mezzotint.utils.device import prepare
from models import model_for

FOLDER = Path(__file__).parents[1] / "reference" / "golden"

STEPS = 100

ORIGINAL = {"schedule": "linear", "timesteps": 1000, "parametrization": "eps"}

CASES: dict[str, dict[str, Any]] = {
    "denoising": {},
    "denoising, eps": {"diffusion": ORIGINAL, "objective": {"loss": "l1", "times": "uniform"}},
    "denoising, v": {
        "diffusion": {"schedule": "cosine", "timesteps": 1000, "parametrization": "v"},
        "objective": {"loss": "huber", "weighting": "min-snr"},
    },
    "denoising, x0 and curriculum": {
        "diffusion": {"parametrization": "x0"},
        "objective": {"curriculum_start": 0.2},
        "training": {"optimizer": "adamw", "decay": "cosine", "accumulate": 2},
    },
    "denoising, U-Net": {"net": {"name": "unet", "width": 8, "depth": 2}},
    "distillation": {
        "objective": {"name": "distillation", "teacher": "teacher"},
        "sampling": {"sampler": "consistency"},
    },
    "refinement": {"objective": {"name": "refinement", "reference": "reference", "images": 20}},
    "adversarial": {
        "objective": {
            "name": "adversarial",
            "reference": "reference",
            "critic": 8,
            "head_start": 0.2,
        },
        "training": {"optimizer": "adam", "learning_rate": 1e-4},
        "sampling": {"sampler": "consistency"},
    },
}
"""Changes of the tiny recipe, by name; every objective of the registry is among them."""

TOLERANCE = 1e-4
"""Largest relative difference of a loss between builds."""

STEADY = {"denoising, U-Net": 20}
"""Steps within which that holds, where it is not all: this one differs by 4e-5 after 30 steps between
instructions of one processor, by 4e-3 after 100. The others differ by 2e-6 at most."""

_FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile")
_VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def build_description() -> dict[str, str]:
    """What decides the bits of a computation on one core."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n\n")[0].splitlines() if info.is_file() else []
    values = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    flags = values.get("flags", values.get("Features", "")).split()
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": values.get("model name", "unknown"),
        "cache": values.get("cache size", "unknown"),
        "flags": " ".join(name for name in _FLAGS if name in flags),
        **{name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def recipe_of(case: str) -> Recipe:
    """The recipe of a case."""
    changes = CASES[case]
    training = {"steps": STEPS, **changes.get("training", {})}
    return tiny_recipe(**changes | {"training": training})


def losses_of(case: str, count: int = STEPS) -> list[float]:
    """The losses of a case's first steps.

    Args:
        case: key of ``CASES``.
        count: of steps, at most ``STEPS``.
    """
    prepare()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recipe = recipe_of(case)
    initial = None
    if recipe.initial_model is not None:
        few_step = recipe.objective.name == "adversarial"
        model = model_for("consistency" if few_step else "heun")
        images = getattr(recipe.objective, "images", None)
        samples = images and sample_distributed(model, images, 0, guidance=1.0).images
        initial = InitialModel(Path(), model.denoiser, samples)
    try:
        trainer = make_trainer(recipe, tiny_data(), initial)
        return [float(result.loss) for result in islice(trainer, count)]
    finally:
        torch.set_num_threads(threads)


def golden() -> list[dict[str, Any]]:
    """What was written: each with its build, and the losses by case."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def path_of(build: Mapping[str, str]) -> Path:
    """The file of a build."""
    digest = hashlib.sha256(json.dumps(dict(build), sort_keys=True).encode()).hexdigest()[:8]
    name = f"torch-{build['torch']}-{build['capability']}-{digest}".lower().replace("+", "-")
    return FOLDER / f"{name}.json"


def difference(found: list[float], expected: list[float]) -> float:
    """The largest relative difference of two lists of losses."""
    pairs = zip(found, expected, strict=True)
    return max((abs(a - b) / abs(b) for a, b in pairs), default=0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the losses of this build")
    options = parser.parse_args()
    build = build_description()
    found = {case: losses_of(case) for case in tqdm(CASES, file=sys.stderr)}
    for other in golden():
        print(other["build"])
        for case, losses in found.items():
            expected = other["losses"].get(case)
            if expected is not None:
                parts = [difference(losses[:n], expected[:n]) for n in (10, 20, 30, 50, STEPS)]
                print(f"  {case}: {', '.join(f'{part:.1e}' for part in parts)}")
    if options.write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = path_of(build)
        path.write_text(json.dumps({"build": build, "losses": found}, indent=0) + "\n")
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
