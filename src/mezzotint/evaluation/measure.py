"""All measures of a set of images against a data set, and their floors.

Distances are to the test split, on which no model was trained, in the features of the first classifier
(``judge``). The second (``witness``), of another architecture, repeats the distance and the accuracy. The
floor of a measure is the value that real images reach: as many images of each class from the training
split; for accuracies and nearest neighbours, the test split.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..data import ImageData
from ..registry import MEASURES
from ..utils.cache import cache_entry
from ..utils.files import read_bytes, whole_file
from ..utils.json_text import checksum, parse_json
from ..utils.randomness import generator
from .classification import confusion_matrix
from .features import Classifier
from .measures import Subject
from .precision_recall import K
from .requirements import TooFewImages

MINIMUM = 100


@dataclass(frozen=True)
class Reference:
    """The data set and the classifiers of an evaluation.

    Attributes:
        train: Training split.
        test: Test split.
        judge: Classifier whose features and logits measure.
        witness: Second classifier, which repeats some measures.
        real: The test split as a ``Subject``.
    """

    train: ImageData
    test: ImageData
    judge: Classifier
    witness: Classifier
    real: Subject


@dataclass(frozen=True)
class Measured:
    """The result of measuring a set of images.

    Attributes:
        values: Value of each measure, by its name in the registry MEASURES.
        confusion: (classes, classes) counts, row label, column prediction; None without labels.
        subject: The images with their features, for figures.
    """

    values: dict[str, float]
    confusion: Int64[Tensor, "classes classes"] | None
    subject: Subject


def make_reference(
    train: ImageData, test: ImageData, judge: Classifier, witness: Classifier
) -> Reference:
    """Build a reference, whose features of the test split are computed once, on first use.

    Args:
        train: Training split.
        test: Test split.
        judge: Classifier whose features and logits measure.
        witness: Second classifier.

    Returns:
        The reference.
    """
    real = Subject(test.images, test.labels, judge, witness, train)
    return Reference(train, test, judge, witness, real)


def check_images(images: Tensor, labels: Tensor | None, reference: Reference) -> None:
    """Refuse images that cannot be measured, before any computation.

    Args:
        images: Expected as (n, channels, height, width) uint8, n >= 100.
        labels: (n,) labels, or None.
        reference: Supplies the expected number of channels.

    Raises:
        TooFewImages: If n is smaller than 100.
        ValueError: If shape, type, channels or number of labels do not match.
    """
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"images must be uint8 (n, channels, height, width), not {images.dtype}"
            f" {tuple(images.shape)}"
        )
    if images.shape[1] != reference.train.channels:
        raise ValueError(
            f"the images have {images.shape[1]} channels, the reference {reference.train.channels}"
        )
    if len(images) < MINIMUM:
        raise TooFewImages(f"an evaluation needs at least {MINIMUM} images, not {len(images)}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels do not match {len(images)} images")


def measure(
    images: UInt8[Tensor, "n channels height width"],
    labels: Int64[Tensor, " n"] | None,
    reference: Reference,
) -> Measured:
    """Compute every measure that the images allow; those of accuracy need labels.

    Args:
        images: (n, channels, height, width) uint8, n >= 100.
        labels: (n,) int64 labels, or None.
        reference: Data set and classifiers.

    Returns:
        Values by name, confusion matrix, and the subject.

    Raises:
        TooFewImages: If there are too few images.
        ValueError: If the images or labels do not fit the reference.
    """
    check_images(images, labels, reference)
    subject = Subject(images, labels, reference.judge, reference.witness, reference.train)
    values = {}
    for name, measure in MEASURES.items():
        if measure.compute is not None and not (measure.needs_labels and labels is None):
            values[name] = measure.compute(subject, reference.real)
    confusion = None if labels is None else confusion_matrix(subject.judged.logits, labels)
    return Measured(values, confusion, subject)


def floors(counts: list[int], size: tuple[int, int], reference: Reference) -> dict[str, float]:
    """Compute the value of each measure for real images.

    The training images are a random choice with seed 0. The result is cached on disk, by a hash of
    everything that it depends on.

    Args:
        counts: Images of each class from the training split; all of a class that has fewer.
        size: (height, width) in pixels to which real images are resized.
        reference: Data set and classifiers.

    Returns:
        Values by name of the measure.
    """
    key = _content_key(counts, size, reference)
    path = cache_entry("floors", f"{key}.json")
    if (earlier := _read_floors(path)) is not None:
        return earlier
    rows = []
    for label, count in enumerate(counts):
        members = (reference.train.labels == label).nonzero()[:, 0]
        # Published tables contain floors from this random stream, so it must not change.
        order = torch.randperm(len(members), generator=generator(0, label))
        rows.append(members[order[:count]])
    indices = torch.cat(rows)
    train = reference.train.fitted(size)
    test = reference.test.fitted(size)
    context = (reference.judge, reference.witness, reference.train)
    subjects = {
        "train": Subject(train.images[indices], train.labels[indices], *context),
        "test": reference.real
        if size == reference.test.size
        else Subject(test.images, test.labels, *context),
    }
    values = {}
    for name, measure in MEASURES.items():
        if measure.compute is not None:
            values[name] = measure.compute(subjects[measure.floor], reference.real)
    with whole_file(path) as temporary:
        content = {"floors": values, "crc32": checksum(values)}
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return values


def _read_floors(path: Path) -> dict[str, float] | None:
    """The floors in a file of the cache; None if there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        content = parse_json(read_bytes(path))
        values: dict[str, float] = content["floors"]
        return values if content["crc32"] == checksum(values) else None
    except (ValueError, KeyError, TypeError):
        return None


def _content_key(counts: list[int], size: tuple[int, int], reference: Reference) -> str:
    """Hash of the arguments of ``floors`` and of the settings that its result depends on."""
    digest = hashlib.sha256()
    for data in (reference.train, reference.test):
        digest.update(data.images.contiguous().numpy().data)
        digest.update(data.labels.contiguous().numpy().data)
    networks = (reference.judge.sha256, reference.witness.sha256)
    digest.update(json.dumps([counts, size, networks, K, list(MEASURES), 4]).encode())
    return digest.hexdigest()[:16]
