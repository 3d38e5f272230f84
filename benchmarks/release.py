"""From a finished run to shipped weights: half precision, measured, with a card.

    python benchmarks/release.py runs/digits digits
    python benchmarks/release.py runs/digits-fast digits-fast
    python benchmarks/release.py runs/fashion-r3 fashion --judge fashion-plain.safetensors \\
      --witness fashion-residual.safetensors

Writes src/mezzotint/assets/models/NAME.safetensors, and NAME.md beside it, which says what the weights
are, how they were made, and how good they are: 10,000 images, three seeds, `mezzotint evaluate`'s own
protocol, of the very file that is shipped. Nothing is replaced before everything is measured.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from mezzotint.recipe.toml import from_toml

sys.path.insert(0, str(Path(__file__).parent))
import machine
import mezzotint
from mezzotint import weights
from mezzotint.evaluation.evaluate import evaluate_model, reference_of
from mezzotint.evaluation.report import to_markdown
from mezzotint.export.card import measures, recipe_section
from mezzotint.export.public import public_recipe
from mezzotint.training.checkpoint import sha256
from mezzotint.utils.assets import ASSETS


def minutes(run: Path) -> float:
    """How long the run computed, from its log."""
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    recipe = from_toml((run / "recipe.toml").read_text())
    before, seconds = 0, 0.0
    for entry in entries:
        seconds += (entry["step"] - before) * recipe.training.batch / entry["images_per_second"]
        before = entry["step"]
    return seconds / 60


def lineage(run: Path) -> list[Path]:
    """The run, after the runs that it goes on from, as far as they are at hand; the first one first."""
    recipe = from_toml((run / "recipe.toml").read_text())
    earlier = Path(recipe.initial_model or "")
    known = (earlier / "metrics.jsonl").is_file()
    return [*(lineage(earlier) if known else []), run]


def trained(run: Path) -> str:
    """Minutes of each run that led here, in words."""
    told = {one.name: minutes(one) for one in lineage(run)}
    each = ", ".join(f"{name} {spent:.0f}" for name, spent in told.items())
    return f"{sum(told.values()):.0f} minutes" + (f" ({each})" if len(told) > 1 else "")


def shift(whole: Path, half: Path) -> float:
    """How far half precision moves an image, in levels of grey of 255, on average.

    Computed in fp32: bf16, where a CPU multiplies it, moves images by more than that.
    """
    labels = [k % 10 for k in range(200)]
    models = (mezzotint.load(path, "cpu") for path in (whole, half))
    a, b = (model.sample(labels, precision="fp32").float() for model in models)
    return (a - b).abs().mean().item()


def card(name: str, file: Path, run: Path, moved: float, table: str, verb: str) -> str:
    """What has to be said of the weights."""
    tensors, recipe, _ = weights.read(file)
    count = sum(tensor.numel() for tensor in tensors.values())
    return (
        f"# {name}\n\n"
        f"- what: {count:,} parameters, half precision, {file.stat().st_size / 1e6:.2f} MB\n"
        f"- data: {recipe.data.name}, training split\n"
        f"- trained: {trained(run)}; {machine.describe()}\n"
        f"- half precision moves an image by {moved:.3f} of 255 levels of grey on average\n"
        f"- SHA-256: {sha256(file)}\n"
        f"- again: `make {verb}`\n\n"
        f"{measures(table)}\n{recipe_section(recipe)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="what the model is called from then on")
    parser.add_argument(
        "--judge", type=Path, help="classifier to measure with, if not the shipped one"
    )
    parser.add_argument("--witness", type=Path, help="second classifier")
    parser.add_argument("--count", type=int, default=10_000, help="images per seed")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    whole = arguments.run / "model.safetensors"
    tensors, own, spec = weights.read(whole)
    recipe, _ = public_recipe(own)
    half = arguments.run / f"{arguments.name}.safetensors"
    weights.write(half, {k: t.to(torch.float16) for k, t in tensors.items()}, recipe, spec)
    result = evaluate_model(
        mezzotint.load(half, "cpu"),
        reference_of(recipe.data, arguments.judge, arguments.witness),
        count=arguments.count,
        seeds=range(arguments.seeds),
        source=arguments.name,
    )
    verb = "weights-fashion" if recipe.data.name == "fashion-mnist" else "weights"
    moved = shift(whole, half)
    text = card(arguments.name, half, arguments.run, moved, to_markdown(result), verb)
    folder = ASSETS / "models"
    folder.mkdir(exist_ok=True)
    half.replace(folder / half.name)
    (folder / f"{arguments.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
