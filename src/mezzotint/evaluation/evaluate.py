"""Evaluation of a model: sample and measure for each seed, compute the floors, and record the protocol."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import Unpack

from .. import build
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
from .matching import labels_by_name, test_images_of
from .measure import MINIMUM, Measured, Reference, floors, make_reference, measure
from .report import Evaluation, common_protocol
from .requirements import TooFewImages


def reference_of(
    data: Data | None = None,
    judge: str | Path | None = None,
    witness: str | Path | None = None,
    device: torch.device | None = None,
) -> Reference:
    """Load the data set and the two classifiers to measure with.

    Args:
        data: Section ``[data]`` of a recipe; MNIST if None.
        judge: Classifier whose features measure, by name or file; the shipped one if None.
        witness: Second classifier, which repeats some measures; the shipped one if None.
        device: Where the classifiers compute; the CPU if None.

    Returns:
        The reference for ``evaluate_images`` and ``evaluate_model``.

    Raises:
        RecipeError: If a classifier was trained for other classes.
    """
    section = data or Data()
    train = build.load_data(section, "train")
    test = build.load_data(section, "test")
    classifiers = [
        load_classifier(name or SHIPPED[role], device)
        for name, role in ((judge, "features"), (witness, "witness"))
    ]
    ordered = [classifier.for_classes(train.classes) for classifier in classifiers]
    for classifier, fit in zip(classifiers, ordered, strict=True):
        if fit is None:
            raise RecipeError(
                f"{classifier.name} tells {', '.join(classifier.classes)} apart, the images are of other"
                f" classes ({', '.join(train.classes) or 'none'}): train two on them with `mezzotint"
                " train-classifier`, and name them with --judge and --witness"
            )
    return make_reference(train, test, *(fit for fit in ordered if fit is not None))


def is_main() -> bool:
    """Whether this process writes the results."""
    return processes().is_main


def evaluate_images(samples: Samples, reference: Reference, source: str) -> Evaluation:
    """Measure existing images.

    Args:
        samples: The images, with labels if known.
        reference: Data set and classifiers to measure with.
        source: Origin of the images, for the report.

    Returns:
        The evaluation, with one value per measure.

    Raises:
        ValueError: If there are too few images, or they do not fit the reference.
    """
    result = measure(samples.images, samples.labels, reference)
    values = {name: [value] for name, value in result.values.items()}
    protocol = common_protocol(samples, reference) | {"source": source}
    return Evaluation(values, _floor(samples, reference), protocol, (samples, result))


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
    """Measure samples of a model, and its loss and likelihood on test images.

    Args:
        model: The model.
        reference: Data set and classifiers to measure with.
        count: Images per seed, at least 100.
        seeds: Seeds of the sampling noise, at least one.
        bits: Number of test images whose bits per dimension are measured; 0 for none.
        source: Name of the model in the report.
        options: Sampling options that differ from the model's recipe.

    Returns:
        The evaluation, with one value per measure and seed.

    Raises:
        TooFewImages: If ``count`` is too small.
        RecipeError: If an option is out of range, or the model's images are padded.
    """
    if count < MINIMUM:
        raise TooFewImages(f"an evaluation needs at least {MINIMUM} images, not {count}")
    if model.recipe.data.fit == "pad" and model.recipe.data.size is not None:
        raise RecipeError(
            "images padded to size cannot be measured: classifiers expect them resized"
        )
    if not seeds:
        raise RecipeError("an evaluation needs at least one seed")
    sampling = model.sampling_options(**options)
    start = time.perf_counter()
    test = test_images_of(model, reference)
    values: dict[str, list[float]] = {}
    first: tuple[Samples, Measured] | None = None
    for seed in seeds:
        samples = sample_distributed(model, count, seed, **options)
        samples = Samples(samples.images, labels_by_name(samples.labels, model, reference))
        result = measure(samples.images, samples.labels, reference)
        first = first or (samples, result)
        model_values = {} if test is None else _measures_of_model(model, test, seed, bits)
        for name, value in (result.values | model_values).items():
            values.setdefault(name, []).append(value)
    assert first is not None
    protocol = common_protocol(first[0], reference) | {
        "source": source,
        "sampling": asdict(sampling) | {"precision": model.precision(sampling)},
        "network_evaluations": evaluations(model, **options),
        "seeds": list(seeds),
        "bits_images": bits,
        "device": str(model.device),
        "ema": model.recipe.training.ema,
        "recipe": model.recipe.name,
        "seconds": round(time.perf_counter() - start, 1),
    }
    if test is None:
        protocol["left_out"] = "measures that need labels: the test images are of other classes"
    return Evaluation(values, _floor(first[0], reference), protocol, first)


def evaluations(model: Model, **options: Unpack[SamplingOptions]) -> int:
    """Count the network evaluations per image.

    Args:
        model: The model.
        options: Sampling options that differ from the model's recipe.

    Returns:
        The number of forward passes, with the second pass of guidance where it is made.
    """
    sampling = model.sampling_options(**options)
    grid = make_grid(sampling.grid, model.denoiser.schedule, sampling.steps)
    times = make_sampler(sampling.sampler).evaluations(grid)
    if sampling.guidance == 1 or not model.spec.classes:
        return len(times)
    low, high = sampling.interval
    return len(times) + sum(low < t <= high for t in times)


def _measures_of_model(model: Model, test: ImageData, seed: int, bits: int) -> dict[str, float]:
    """Denoising loss and, of ``bits`` images, bits per dimension, on test images."""
    rows = torch.randperm(len(test), generator=generator(seed, Stream.TEST_ROWS, 0))
    values = {"denoising_loss": held_out_loss(model, test, rows[:2000], seed)}
    if bits:
        x0 = pixels.to_float(test.images[rows[:bits]]).to(model.device)
        labels = test.labels[rows[:bits]].to(model.device) if test.classes else None
        vlb_rng = generator(seed, Stream.BITS, 0)
        ode_rng = generator(seed, Stream.BITS, 1)

        def bound(x: Tensor, y: Tensor | None) -> Tensor:
            return bits_per_dimension(variational_bound(model.denoiser, x, y, vlb_rng), x)

        def flow(x: Tensor, y: Tensor | None) -> Tensor:
            return flow_bits(model.denoiser, x, y, ode_rng)

        values["bits_vlb"] = _in_parts(x0, labels, bound).mean().item()
        values["bits_ode"] = _in_parts(x0, labels, flow).mean().item()
    return values


def _in_parts(
    x0: Tensor, labels: Tensor | None, bits: Callable[[Tensor, Tensor | None], Tensor]
) -> Tensor:
    """Apply ``bits`` to batches of 50 images and concatenate the results."""
    parts = torch.arange(len(x0)).split(50)
    values = []
    with torch.no_grad():
        for rows in progress(parts, len(parts), "bits", "batch"):
            values.append(bits(x0[rows], None if labels is None else labels[rows]))
    return torch.cat(values)


@torch.inference_mode()
def held_out_loss(model: Model, test: ImageData, rows: Tensor, seed: int) -> float:
    """Compute the denoising loss on test images, with labels, at stratified times.

    Args:
        model: The model.
        test: Images in the model's format.
        rows: (n,) int64 indices into ``test``.
        seed: Seed of times and noise.

    Returns:
        The mean loss, with the recipe's loss and weighting if it has a denoising objective, else the default.
    """
    section = model.recipe.objective
    base = section if isinstance(section, Denoising) else Denoising()
    objective = build.make_objective(
        Denoising(loss=base.loss, weighting=base.weighting, times="stratified", label_dropout=0.0),
        model.spec,
    )
    losses = []
    for part in rows.split(500):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        labels = test.labels[part].to(model.device) if test.classes else None
        rng = generator(seed, Stream.HELD_OUT, int(part[0]))
        draws = objective.draw(len(part), model.denoiser.schedule, rng, 1.0)
        noise = torch.randn(len(part), 1, *x0.shape[1:], generator=rng).to(model.device)
        losses.append(objective.loss(model.denoiser, x0, labels, draws, noise).cpu())
    return torch.cat(losses).mean().item()


def classify(
    model: Model, test: ImageData, count: int = 1000, seed: int = 0, draws: int = 8
) -> float:
    """Classify test images by the label with the smallest denoising error.

    Args:
        model: A class-conditional model.
        test: Images in the model's format, with labels.
        count: Number of test images, at random.
        seed: Seed of that choice and of the noise.
        draws: Noise levels per image.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        RecipeError: If the model has no classes.
    """
    if not model.spec.classes:
        raise RecipeError("a model without classes cannot tell them apart")
    rows = torch.randperm(len(test), generator=generator(seed, Stream.TEST_ROWS, 1))[:count]
    correct = 0
    parts = rows.split(100)
    for part in progress(parts, len(parts), "denoising under every label", "batch"):
        x0 = pixels.to_float(test.images[part]).to(model.device)
        rng = generator(seed, Stream.CLASSIFY, int(part[0]))
        errors = denoising_errors(model.denoiser, x0, len(model.spec.classes), rng, draws)
        correct += int((errors.argmin(1) == test.labels[part]).sum())
    return correct / len(rows)


def _floor(samples: Samples, reference: Reference) -> dict[str, float]:
    """Floors for as many real images per class as in ``samples``; equally many without labels."""
    classes = len(reference.train.classes)
    labels = samples.labels
    if labels is None:
        labels = torch.tensor(round_robin_labels(len(samples.images), classes))
    counts = torch.bincount(labels, minlength=classes).tolist()
    size = (samples.images.shape[2], samples.images.shape[3])
    return floors(counts, size, reference)
