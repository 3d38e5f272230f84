"""Everything that only a GPU can show, in one command: the tests of a device, then the original's own job and
ours, timed.

    python benchmarks/gpu_check.py                          # at most nine minutes on one data-centre GPU
    python benchmarks/gpu_check.py --device cpu --quick     # the same steps, small, where there is none

Each part runs in a process of its own, with a time limit; what a part found is on the disk before the next
one begins, and one that fails is named and does not stop the others. It takes the torch that is there and
needs no network. The table goes into docs/benchmarks.md where the run was on a GPU.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mezzotint.evaluation import evaluate as evaluation
from mezzotint.utils.device import prepare

sys.path.insert(0, str(Path(__file__).parent))
import machine
import mezzotint
from mezzotint import build
from mezzotint.data import ImageSpec
from mezzotint.loading import from_parts
from mezzotint.model import Model
from mezzotint.recipe.presets import as_recipe
from mezzotint.runs.train import make_trainer
from mezzotint.utils.files import whole_file

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "results" / "gpu"
BUDGET = 9 * 60


class Check:
    """What a part is given: the device, whether it is to be quick, and a clock that waits for the device."""

    def __init__(self, device: str, quick: bool) -> None:
        self.device = torch.device(device)
        self.quick = quick

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], Any], repeats: int = 1) -> float:
        """The median seconds of a call."""
        times = []
        for _ in range(repeats):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def peak(self, dtype: torch.dtype) -> float:
        """FLOP/s of the best of several large matrix products."""
        side = 512 if self.quick else 8192
        a = torch.randn(side, side, device=self.device).to(dtype)
        call = lambda: a @ a  # noqa: E731
        call()
        best = min(self.seconds(call) for _ in range(20))
        return 2 * side**3 / best


def training_of_ddpm(check: Check, precision: str, compiled: bool, batch: int) -> dict[str, Any]:
    """300 steps of the original's job, with grids on the way; images a second, and the share of the peak."""
    steps = 4 if check.quick else 300
    changes = {
        "training": {
            "steps": steps,
            "batch": 4 if check.quick else batch,
            "precision": precision,
            "compile": compiled,
            "log_every": max(1, steps // 6),
            "sample_every": steps // 2,
            "draws": "device",
        },
        "sampling": {"sampler": "ddim", "steps": 2 if check.quick else 50},
    }
    recipe = as_recipe("ddpm", changes)
    rates: list[float] = []
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = mezzotint.train(recipe, Path(folder) / "run", log=lambda text: None)
        for line in (run / "metrics.jsonl").read_text().splitlines():
            entry = json.loads(line)
            rates.append(entry["images_per_second"])
            losses.append(entry["loss"])
        grids = len(list((run / "samples").iterdir()))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    rate = statistics.median(rates[1:] or rates)
    flops = 3 * flops_of("ddpm") * rate
    return {
        "batch": recipe.training.batch,
        "images_per_second": rate,
        "tflops": flops / 1e12,
        "of_peak": flops / check.peak(dtype),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "grids": grids,
    }


def flops_of(recipe: str) -> float:
    """Floating-point operations of one evaluation of one image."""
    chosen = as_recipe(recipe)
    size = chosen.data.size or 28
    spec = ImageSpec((size, size), 1, tuple("0123456789"))
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build.make_network(chosen.net, spec)
        network(torch.zeros(1, *spec.shape), torch.zeros(1), torch.zeros(1, dtype=torch.int64))
    return float(counter.get_total_flops())


def untrained(recipe: str, check: Check) -> Model:
    """A model of a recipe with its initial weights: how long it takes does not depend on them."""
    chosen = as_recipe(recipe)
    spec = ImageSpec((32, 32), 1, tuple("0123456789"))
    tensors = build.new_denoiser(chosen, spec).network.state_dict()
    return from_parts(chosen, spec, tensors, check.device)


def sampling_of_ddpm(check: Check) -> dict[str, Any]:
    """Ten digits of the original: 1,000 ancestral steps, and 50 of DDIM."""
    model = untrained("ddpm", check)
    labels = list(range(10))
    ancestral = 3 if check.quick else 1000
    ddim = 2 if check.quick else 50
    model.sample(labels, steps=2)
    return {
        "ancestral_steps": ancestral,
        "ancestral_seconds": check.seconds(lambda: model.sample(labels, steps=ancestral)),
        "ddim_steps": ddim,
        "ddim_seconds": check.seconds(
            lambda: model.sample(labels, sampler="ddim", steps=ddim),
            repeats=1 if check.quick else 5,
        ),
    }


def digits(check: Check) -> dict[str, Any]:
    """The recipe digits in full, and its evaluation."""
    steps = 20 if check.quick else as_recipe("digits").training.steps
    recipe = as_recipe("digits", {"training": {"steps": steps, "warmup": min(200, steps)}})
    count = 100 if check.quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = mezzotint.train(recipe, Path(folder) / "run", log=lambda text: None)
        seconds = time.perf_counter() - start
        model = mezzotint.load(run, str(check.device))
        reference = evaluation.reference_of(device=check.device)
        start = time.perf_counter()
        result = evaluation.evaluate_model(model, reference, count=count)
        evaluated = time.perf_counter() - start
    return {
        "steps": steps,
        "seconds": seconds,
        "evaluation_seconds": evaluated,
        "images": count,
        "digit_fid": result.values["digit_fid"][0],
        "accuracy": result.values["accuracy"][0],
        "floor": result.floor["digit_fid"],
    }


def digits_fast(check: Check) -> dict[str, Any]:
    """Milliseconds an image of the few-step model, alone and many at once."""
    model = mezzotint.load("digits-fast", str(check.device))
    found = {}
    for batch in (1, 64, 256 if check.quick else 4096):
        labels = [k % 10 for k in range(batch)]
        call = lambda labels=labels, batch=batch: model.sample(labels, batch=batch)  # noqa: E731
        call()
        found[str(batch)] = 1000 * check.seconds(call, repeats=3 if check.quick else 20) / batch
    return {"milliseconds_per_image": found}


def resume(check: Check) -> dict[str, Any]:
    """A run of the original that was stopped half-way ends with the same bits, in deterministic mode."""
    half = 2 if check.quick else 20
    training = {
        "steps": 2 * half,
        "batch": 4 if check.quick else 64,
        "save_every": half,
        "sample_every": 0,
        "precision": "fp32",
        "deterministic": True,
    }
    sampling = {"sampler": "ddim", "steps": 2 if check.quick else 20}
    recipe = as_recipe("ddpm", {"training": training, "sampling": sampling})
    with tempfile.TemporaryDirectory() as folder:
        whole = mezzotint.train(recipe, Path(folder) / "whole", log=lambda text: None)
        stopped = Path(folder) / "stopped"
        shutil.copytree(whole, stopped)
        (stopped / "model.safetensors").unlink()
        shutil.rmtree(stopped / "checkpoints" / f"step-{2 * half:08d}")
        mezzotint.train(resume=stopped, log=lambda text: None)
        one, two = ((run / "model.safetensors").read_bytes() for run in (whole, stopped))
    return {"steps": 2 * half, "same_bits": one == two}


def step_of_digits(check: Check) -> dict[str, Any]:
    """A training step of digits, plain and compiled: what launches cost."""
    found: dict[str, Any] = {}
    for compiled in (False,) if check.quick else (False, True):
        recipe = as_recipe("digits", {"training": {"compile": compiled, "draws": "device"}})
        trainer = make_trainer(recipe, build.load_data(recipe.data))
        for _ in range(5):
            trainer.step()

        def steps(trainer: Any = trainer) -> None:
            for _ in range(20):
                trainer.step()

        name = "compiled" if compiled else "plain"
        found[f"{name}_milliseconds"] = 1000 * check.seconds(steps, repeats=3) / 20
    return found


PARTS: dict[str, tuple[Callable[[Check], dict[str, Any]], int]] = {
    # name: (what, seconds at most)
    "ddpm bf16": (lambda c: training_of_ddpm(c, "bf16", False, 512), 90),
    "resume": (resume, 90),
    "ddpm fp32": (lambda c: training_of_ddpm(c, "fp32", False, 64), 90),
    "ddpm fp16": (lambda c: training_of_ddpm(c, "fp16", False, 64), 90),
    "ddpm bf16 compiled": (lambda c: training_of_ddpm(c, "bf16", True, 512), 150),
    "ddpm sampling": (sampling_of_ddpm, 60),
    "digits step": (step_of_digits, 90),
    "digits-fast": (digits_fast, 60),
    "digits": (digits, 240),
}
HALF = ("ddpm bf16", "ddpm fp16", "ddpm bf16 compiled")
"""Parts that need a GPU."""


def run_part(name: str, device: str, quick: bool, limit: float) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--device", device]
    command += ["--quick"] if quick else []
    start = time.perf_counter()
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:.0f} s"}
    if made.returncode:
        print(made.stderr[-3000:], file=sys.stderr)
        return {"failed": made.stderr.strip().splitlines()[-1][-500:] if made.stderr else "?"}
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found | {"wall_seconds": round(time.perf_counter() - start, 1)}


def run_tests(device: str, limit: float) -> dict[str, Any]:
    """The tests that hold on any device."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=-q", "-p", "no:cacheprovider"]
    command += ["-m", "device", "--device", device, str(ROOT / "tests" / "test_on_device.py")]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:.0f} s"}
    lines = made.stdout.strip().splitlines()
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    found: dict[str, Any] = {"summary": lines[-1] if lines else "", "failures": failures}
    if made.returncode == 0:
        return found
    print(made.stdout[-9000:], file=sys.stderr)
    return found | {"failed": found["summary"]}


def card(device: str) -> str:
    """The device in words."""
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(0)
        name = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        return f"{name}, torch {torch.__version__}, mezzotint {mezzotint.__version__}"
    return machine.describe()


def rows(parts: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The table, a row for each part."""
    lines = []
    for name, found in parts.items():
        if "failed" in found:
            words = f"failed: {found['failed']}"
        elif name == "tests":
            words = found["summary"]
        elif "images_per_second" in found:
            words = (
                f"{found['images_per_second']:,.0f} images/s at batch {found['batch']}:"
                f" {found['tflops']:.1f} TFLOP/s, {found['of_peak']:.0%} of the measured peak;"
                f" loss {found['first_loss']:.3f} to {found['last_loss']:.3f}, {found['grids']} grids"
            )
        elif name == "ddpm sampling":
            words = (
                f"ten digits: {found['ancestral_steps']:,} ancestral steps"
                f" {found['ancestral_seconds']:.2f} s; {found['ddim_steps']} DDIM steps"
                f" {found['ddim_seconds']:.3f} s"
            )
        elif name == "digits":
            words = (
                f"{found['steps']:,} steps in {found['seconds']:.0f} s; digit-FID"
                f" {found['digit_fid']:.3f} (floor {found['floor']:.3f}), accuracy"
                f" {found['accuracy']:.2%}; {found['images']:,} images drawn and measured in"
                f" {found['evaluation_seconds']:.0f} s"
            )
        elif name == "digits-fast":
            each = found["milliseconds_per_image"].items()
            words = ", ".join(f"batch {batch}: {value:.4f} ms an image" for batch, value in each)
        elif name == "resume":
            words = (
                f"{found['steps']} steps: {'the same bits' if found['same_bits'] else 'OTHER BITS'}"
            )
        else:
            words = ", ".join(
                f"{key.replace('_', ' ')} {value:.2f}"
                for key, value in found.items()
                if key != "wall_seconds"
            )
        lines.append([name, words])
    return lines


HEADING = "## On a GPU\n\n`make gpu-check` writes this table, where there is a GPU."


def table(lines: list[list[str]]) -> str:
    """A Markdown table of words."""
    return machine.table(["part", "found"], lines).replace("| ---: |", "| --- |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--quick", action="store_true", help="the same steps, small")
    parser.add_argument("--part", choices=PARTS, help="one part, in this process")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for gpu_check.json")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "gpu_check: torch sees no GPU here; --device cpu --quick goes through the same steps"
        )
    if arguments.part:
        prepare()
        check = Check(arguments.device, arguments.quick)
        print(json.dumps(PARTS[arguments.part][0](check)))
        return
    start = time.perf_counter()
    document: dict[str, Any] = {"device": card(arguments.device), "quick": arguments.quick}
    parts: dict[str, dict[str, Any]] = {}
    document["parts"] = parts
    names = ["tests", *PARTS]
    for name in names:
        left = BUDGET - (time.perf_counter() - start)
        print(f"{name} ({left:.0f} s left)", file=sys.stderr, flush=True)
        if left < 20:
            parts[name] = {"failed": "no time was left"}
        elif name == "tests":
            parts[name] = run_tests(arguments.device, min(150, left))
        elif name in HALF and arguments.device == "cpu":
            parts[name] = {"failed": "needs a GPU"}
        else:
            # A CPU is slower even at the small sizes.
            limit = min(PARTS[name][1] * (3 if arguments.device == "cpu" else 1), left)
            parts[name] = run_part(name, arguments.device, arguments.quick, limit)
        document["seconds"] = round(time.perf_counter() - start, 1)
        with whole_file(arguments.out / "gpu_check.json") as temporary:
            temporary.write_text(json.dumps(document, indent=1))
    text = table(rows(parts))
    text = f"{document['device']}; {document['seconds']:.0f} s in all.\n\n{text}"
    if arguments.quick or arguments.device == "cpu":
        print(text)
        if not machine.read_section("gpu"):
            nothing = table([[name, "not measured"] for name in names])
            machine.write_section("gpu", f"{HEADING}\n\nNo GPU was at hand yet.\n\n{nothing}")
    else:
        machine.write_section("gpu", f"{HEADING}\n\n{text}")
    if any("failed" in found for name, found in parts.items() if name not in HALF):
        sys.exit(1)


if __name__ == "__main__":
    main()
