"""How good is a model, and how sure is that? Draw, measure, repeat over seeds, stand each number beside
its floor, and write down the whole protocol."""

import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from . import __version__, build, pixels
from .config import Data, Recipe, RecipeError
from .data.foreign import Images
from .diffusion.classify import denoising_errors
from .diffusion.likelihood import bits_per_dimension, flow_bits, variational_bound
from .diffusion.objectives import stratified
from .drawing import balanced, draw
from .metrics.errors import TooFewImages
from .metrics.features import SHIPPED, load_classifier
from .metrics.measure import MINIMUM, Measured, Reference, floors, make_reference, measure
from .metrics.report import Evaluation
from .model import Model, SamplingOptions
from .progress import progress
from .runtime import generator, processes
from .samplers import make_grid


def reference_of(
    data: Data | None = None, judge: str | Path | None = None, witness: str | Path | None = None
) -> Reference:
    """The data set to measure against, seen by two classifiers: the shipped ones if none are named.

    Raises ValueError where a classifier was made for other classes.
    """
    recipe = Recipe(data=data or Data())
    train, test = (build.load_data(recipe, split) for split in ("train", "test"))
    judges = [
        load_classifier(name or SHIPPED[role])
        for name, role in ((judge, "features"), (witness, "witness"))
    ]
    for found in judges:
        if found.classes != train.classes:
            raise RecipeError(
                f"{found.name} tells {', '.join(found.classes)} apart, the images are of other classes"
                f" ({', '.join(train.classes) or 'none'}): train two on them with `mezzotint"
                " train-classifier`, and name them with --judge and --witness"
            )
    return make_reference(train, test, judges[0], judges[1])


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return bool(processes().is_main_process)


def evaluate_images(found: Images, reference: Reference, source: str) -> Evaluation:
    """Measure images that are already there."""
    measured = measure(found.images, found.labels, reference)
    values = {name: [value] for name, value in measured.values.items()}
    protocol = _protocol(found, reference) | {"source": source}
    return Evaluation(values, _floor(found, reference), protocol, (found, measured))


def evaluate_model(
    model: Model,
    reference: Reference,
    *,
    count: int = 10_000,
    seeds: Sequence[int] = (0,),
    bits: int = 0,
    source: str = "",
    **changes: Any,
) -> Evaluation:
    """Draw ``count`` images per seed and measure them; the held-out denoising loss as well, and bits
    per dimension of the first ``bits`` test images where that is not 0."""
    if count < MINIMUM:
        raise TooFewImages(f"an evaluation needs at least {MINIMUM} images, not {count}")
    if model.recipe.data.fit == "pad" and model.recipe.data.size is not None:
        raise RecipeError(
            "images padded to size cannot be measured: classifiers expect them resized"
        )
    started, values = time.perf_counter(), dict[str, list[float]]()
    shown: tuple[Images, Measured] | None = None
    for seed in seeds:
        found = draw(model, count, seed, cast(SamplingOptions, changes))
        measured = measure(found.images, found.labels, reference)
        shown = shown or (found, measured)
        own = measured.values | _of_the_model(model, seed, bits)
        for name, value in own.items():
            values.setdefault(name, []).append(value)
    if shown is None:
        raise RecipeError("an evaluation needs at least one seed")
    sampling = model.sampling(**changes)
    protocol = _protocol(shown[0], reference) | {
        "source": source,
        "sampling": asdict(sampling),
        "network_evaluations": evaluations(model, **changes),
        "seeds": list(seeds),
        "bits_images": bits,
        "device": str(model.device),
        "ema": model.recipe.training.ema,
        "recipe": model.recipe.name,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return Evaluation(values, _floor(shown[0], reference), protocol, shown)


def evaluations(model: Model, **changes: Any) -> int:
    """Network evaluations per image, guidance's second pass counted where it is made."""
    sampling = model.sampling(**changes)
    grid = make_grid(sampling.grid, model.denoiser.schedule, sampling.steps)
    asked = grid[:-1].tolist() + (grid[1:-1].tolist() if sampling.sampler == "heun" else [])
    if sampling.guidance == 1 or not model.spec.classes:
        return len(asked)
    low, high = sampling.interval
    return len(asked) + sum(low < t <= high for t in asked)


def _of_the_model(model: Model, seed: int, bits: int) -> dict[str, float]:
    """Measures that ask the model itself, on test images."""
    test = build.load_data(model.recipe, "test")
    rows = torch.randperm(len(test), generator=generator(seed, 0))
    found = {"denoising_loss": held_out_loss(model, test, rows[:2000], seed)}
    if bits:
        x0 = pixels.to_float(test.images[rows[:bits]]).to(model.device)
        labels = test.labels[rows[:bits]].to(model.device) if test.classes else None
        denoiser, first, second = model.denoiser, generator(seed, 1), generator(seed, 2)
        nats = [
            _in_parts(x0, labels, lambda x, y: bits_per_dimension(
                variational_bound(denoiser, x, y, first), x)),
            _in_parts(x0, labels, lambda x, y: flow_bits(denoiser, x, y, second)),
        ]  # fmt: skip
        found["bits_vlb"], found["bits_ode"] = (n.mean().item() for n in nats)
    return found


def _in_parts(
    x0: Tensor, labels: Tensor | None, ask: Callable[[Tensor, Tensor | None], Tensor]
) -> Tensor:
    parts = torch.arange(len(x0)).split(50)
    with torch.no_grad():
        return torch.cat([
            ask(x0[rows], None if labels is None else labels[rows])
            for rows in progress(parts, len(parts), "bits", "batch")
        ])  # fmt: skip


@torch.inference_mode()
def held_out_loss(model: Model, test: Any, rows: Tensor, seed: int) -> float:
    """The recipe's training loss on test images, labels shown, at evenly spread times."""
    objective = dataclasses.replace(
        build.make_objective(model.recipe, model.spec), times=stratified, label_dropout=0.0
    )
    losses = []
    for part in rows.split(500):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        labels = test.labels[part].to(model.device) if test.classes else None
        source = generator(seed, 3, int(part[0]))
        question = objective.ask(x0.shape, model.denoiser.schedule, source, 1.0)
        losses.append(objective(model.denoiser, x0, labels, question).cpu())
    return torch.cat(losses).mean().item()


def classify(model: Model, count: int = 1000, seed: int = 0, draws: int = 8) -> float:
    """The accuracy of the model as a classifier of test images: the label under which an image is
    denoised best. Raises RecipeError for a model without classes."""
    if not model.spec.classes:
        raise RecipeError("a model without classes cannot tell them apart")
    test = build.load_data(model.recipe, "test")
    rows = torch.randperm(len(test), generator=generator(seed, 4))[:count]
    right = 0
    parts = rows.split(100)
    for part in progress(parts, len(parts), "denoising under every label", "batch"):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        source = generator(seed, 5, int(part[0]))
        errors = denoising_errors(model.denoiser, x0, len(model.spec.classes), source, draws)
        right += int((errors.argmin(1) == test.labels[part]).sum())
    return right / len(rows)


def _protocol(found: Images, reference: Reference) -> dict[str, Any]:
    counts = None if found.labels is None else torch.bincount(found.labels).tolist()
    return {
        "images": len(found.images),
        "images_per_class": counts,
        "reference": f"the {len(reference.test):,} images of the test split",
        "features": {"network": reference.judge.name, "sha256": reference.judge.sha256},
        "witness": {"network": reference.witness.name, "sha256": reference.witness.sha256},
        "resize": "bilinear, antialiased, to the classifier's size where it differs",
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "version": __version__,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _floor(found: Images, reference: Reference) -> dict[str, float]:
    classes = len(reference.train.classes)
    labels = found.labels
    if labels is None:
        labels = torch.tensor(balanced(len(found.images), classes))
    counts = torch.bincount(labels, minlength=classes).tolist()
    size = (found.images.shape[2], found.images.shape[3])
    return floors(counts, size, reference)
