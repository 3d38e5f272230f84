"""How good is a model, and how sure is that? Draw, measure, repeat over seeds, stand each number beside
its floor, and write down the whole protocol."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from .. import __version__, build
from ..data import ImageData
from ..data.samples import Samples
from ..diffusion.likelihood import bits_per_dimension, flow_bits, variational_bound
from ..model import Model, SamplingOptions
from ..recipe.fields import RecipeError
from ..recipe.objectives import Denoising
from ..recipe.schema import Data
from ..samplers import make_grid, make_sampler
from ..sampling import round_robin_labels, sample_distributed
from ..utils import pixels
from ..utils.processes import processes
from ..utils.progress import progress
from ..utils.randomness import Stream, generator
from .denoising_classifier import denoising_errors
from .features import SHIPPED, load_classifier
from .measure import MINIMUM, Measured, Reference, floors, make_reference, measure
from .report import Evaluation
from .requirements import TooFewImages


def reference_of(
    data: Data | None = None,
    judge: str | Path | None = None,
    witness: str | Path | None = None,
    device: torch.device | None = None,
) -> Reference:
    """The data set to measure against, seen by two classifiers.

    Args:
        data: section ``[data]``; MNIST if not given.
        judge: classifier whose features measure, by name or file; the shipped one if not given.
        witness: the one that checks it.
        device: where the classifiers compute; the CPU if not given.

    Raises:
        RecipeError: where a classifier was made for other classes.
    """
    section = data or Data()
    train = build.load_data(section, "train")
    test = build.load_data(section, "test")
    classifiers = [
        load_classifier(name or SHIPPED[role], device)
        for name, role in ((judge, "features"), (witness, "witness"))
    ]
    for classifier in classifiers:
        if classifier.classes != train.classes:
            raise RecipeError(
                f"{classifier.name} tells {', '.join(classifier.classes)} apart, the images are of other"
                f" classes ({', '.join(train.classes) or 'none'}): train two on them with `mezzotint"
                " train-classifier`, and name them with --judge and --witness"
            )
    return make_reference(train, test, classifiers[0], classifiers[1])


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return processes().is_main


def evaluate_images(found: Samples, reference: Reference, source: str) -> Evaluation:
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
    **options: Unpack[SamplingOptions],
) -> Evaluation:
    """Draw images of a model and measure them, and ask the model itself about test images.

    Args:
        model: what to measure.
        reference: what to measure it against. Its test images are those that the model is asked about.
        count: images for each seed.
        seeds: of the noise.
        bits: test images whose bits per dimension are measured; 0 for none.
        source: what the model is called in the report.
        options: of sampling; what differs from the model's recipe.

    Raises:
        TooFewImages: for too small a ``count``.
        RecipeError: for options out of range.
    """
    if count < MINIMUM:
        raise TooFewImages(f"an evaluation needs at least {MINIMUM} images, not {count}")
    if model.recipe.data.fit == "pad" and model.recipe.data.size is not None:
        raise RecipeError(
            "images padded to size cannot be measured: classifiers expect them resized"
        )
    if not seeds:
        raise RecipeError("an evaluation needs at least one seed")
    started = time.perf_counter()
    test = test_images_of(model, reference)
    values: dict[str, list[float]] = {}
    shown: tuple[Samples, Measured] | None = None
    for seed in seeds:
        images = sample_distributed(model, count, seed, **options)
        measured = measure(images.images, images.labels, reference)
        shown = shown or (images, measured)
        own = {} if test is None else _measures_of_model(model, test, seed, bits)
        for name, value in (measured.values | own).items():
            values.setdefault(name, []).append(value)
    assert shown is not None
    sampling = model.sampling_options(**options)
    protocol = _protocol(shown[0], reference) | {
        "source": source,
        "sampling": asdict(sampling),
        "network_evaluations": evaluations(model, **options),
        "seeds": list(seeds),
        "bits_images": bits,
        "device": str(model.device),
        "ema": model.recipe.training.ema,
        "recipe": model.recipe.name,
        "seconds": round(time.perf_counter() - started, 1),
    }
    if test is None:
        protocol["left_out"] = "the model's own measures: the test images are of other classes"
    return Evaluation(values, _floor(shown[0], reference), protocol, shown)


def test_images_of(model: Model, reference: Reference) -> ImageData | None:
    """The reference's test images as the model knows images; None where their classes are not the model's."""
    test = reference.test
    if test.classes != model.spec.classes:
        return None
    section = model.recipe.data
    return test.in_channels(model.spec.channels).fitted(
        model.spec.size, section.fit, section.background
    )


def evaluations(model: Model, **options: Unpack[SamplingOptions]) -> int:
    """Network evaluations per image, guidance's second pass counted where it is made."""
    sampling = model.sampling_options(**options)
    grid = make_grid(sampling.grid, model.denoiser.schedule, sampling.steps)
    asked = make_sampler(sampling.sampler).evaluations(grid)
    if sampling.guidance == 1 or not model.spec.classes:
        return len(asked)
    low, high = sampling.interval
    return len(asked) + sum(low < t <= high for t in asked)


def _measures_of_model(model: Model, test: ImageData, seed: int, bits: int) -> dict[str, float]:
    """Measures that ask the model itself, on test images."""
    rows = torch.randperm(len(test), generator=generator(seed, Stream.TEST_ROWS, 0))
    values = {"denoising_loss": held_out_loss(model, test, rows[:2000], seed)}
    if bits:
        x0 = pixels.to_float(test.images[rows[:bits]]).to(model.device)
        labels = test.labels[rows[:bits]].to(model.device) if test.classes else None
        first, second = (generator(seed, Stream.BITS, method) for method in (0, 1))

        def bound(x: Tensor, y: Tensor | None) -> Tensor:
            return bits_per_dimension(variational_bound(model.denoiser, x, y, first), x)

        def flow(x: Tensor, y: Tensor | None) -> Tensor:
            return flow_bits(model.denoiser, x, y, second)

        values["bits_vlb"] = _in_parts(x0, labels, bound).mean().item()
        values["bits_ode"] = _in_parts(x0, labels, flow).mean().item()
    return values


def _in_parts(
    x0: Tensor, labels: Tensor | None, bits: Callable[[Tensor, Tensor | None], Tensor]
) -> Tensor:
    parts = torch.arange(len(x0)).split(50)
    values = []
    with torch.no_grad():
        for rows in progress(parts, len(parts), "bits", "batch"):
            values.append(bits(x0[rows], None if labels is None else labels[rows]))
    return torch.cat(values)


@torch.inference_mode()
def held_out_loss(model: Model, test: ImageData, rows: Tensor, seed: int) -> float:
    """The ordinary training loss on test images, labels shown, at evenly spread times.

    It is the recipe's own where that is a denoising objective, else the default one.
    """
    section = model.recipe.objective
    loss = section if isinstance(section, Denoising) else Denoising()
    even = Denoising(
        loss=loss.loss, weighting=loss.weighting, times="stratified", label_dropout=0.0
    )
    objective = build.make_objective(even, model.spec)
    losses = []
    for part in rows.split(500):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        labels = test.labels[part].to(model.device) if test.classes else None
        source = generator(seed, Stream.HELD_OUT, int(part[0]))
        draws = objective.draw(len(part), model.denoiser.schedule, source, 1.0)
        noise = torch.randn(len(part), 1, *x0.shape[1:], generator=source).to(model.device)
        losses.append(objective.loss(model.denoiser, x0, labels, draws, noise).cpu())
    return torch.cat(losses).mean().item()


def classify(
    model: Model, test: ImageData, count: int = 1000, seed: int = 0, draws: int = 8
) -> float:
    """The accuracy of the model as a classifier of test images: the label under which an image is
    denoised best.

    Raises:
        RecipeError: for a model without classes.
    """
    if not model.spec.classes:
        raise RecipeError("a model without classes cannot tell them apart")
    rows = torch.randperm(len(test), generator=generator(seed, Stream.TEST_ROWS, 1))[:count]
    right = 0
    parts = rows.split(100)
    for part in progress(parts, len(parts), "denoising under every label", "batch"):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        source = generator(seed, Stream.CLASSIFY, int(part[0]))
        errors = denoising_errors(model.denoiser, x0, len(model.spec.classes), source, draws)
        right += int((errors.argmin(1) == test.labels[part]).sum())
    return right / len(rows)


def _protocol(found: Samples, reference: Reference) -> dict[str, Any]:
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


def _floor(found: Samples, reference: Reference) -> dict[str, float]:
    classes = len(reference.train.classes)
    labels = found.labels
    if labels is None:
        labels = torch.tensor(round_robin_labels(len(found.images), classes))
    counts = torch.bincount(labels, minlength=classes).tolist()
    size = (found.images.shape[2], found.images.shape[3])
    return floors(counts, size, reference)
