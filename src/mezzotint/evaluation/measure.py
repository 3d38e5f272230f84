"""All measures of a set of images against a data set, and their floors.

Distances are taken to the test split, which no model was trained on, in the features of the first
classifier; the second, built differently, repeats the distance and the accuracy. The floor of each
number is what real images score in the place of generated ones: as many images of each class from the
training split; for accuracies and nearest neighbours, the test split itself.
"""

import hashlib
import json
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..data import ImageData
from ..registry import MEASURES
from ..utils.files import cache_folder, whole_file
from ..utils.randomness import generator
from .classification import confusion_matrix
from .features import Classifier
from .measures import Subject
from .precision_recall import K
from .requirements import TooFewImages

MINIMUM = 100


@dataclass(frozen=True)
class Reference:
    """What images are measured against, and by whom. ``real``: the test split, as a subject of its own."""

    train: ImageData
    test: ImageData
    judge: Classifier
    witness: Classifier
    real: Subject


@dataclass(frozen=True)
class Measured:
    """``values`` by the names of the registry MEASURES; the rest is for pictures."""

    values: dict[str, float]
    confusion: Int64[Tensor, "classes classes"] | None
    subject: Subject


def make_reference(
    train: ImageData, test: ImageData, judge: Classifier, witness: Classifier
) -> Reference:
    """The test split, to be shown to both classifiers once."""
    real = Subject(test.images, test.labels, judge, witness, train)
    return Reference(train, test, judge, witness, real)


def check_images(images: Tensor, labels: Tensor | None, reference: Reference) -> None:
    """Refuse what cannot be measured, naming the minimum or the mismatch, before any computing."""
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
    """Every measure that images (and labels, for accuracy) allow."""
    check_images(images, labels, reference)
    subject = Subject(images, labels, reference.judge, reference.witness, reference.train)
    values = {}
    for name, measure in MEASURES.items():
        if measure.compute is not None and not (measure.needs_labels and labels is None):
            values[name] = measure.compute(subject, reference.real)
    confusion = None if labels is None else confusion_matrix(subject.judged.logits, labels)
    return Measured(values, confusion, subject)


def floors(counts: list[int], size: tuple[int, int], reference: Reference) -> dict[str, float]:
    """What real images score: ``counts`` of each class from the training split (all, where it has
    fewer), drawn with seed 0.

    Cached by the hash of everything it depends on.
    """
    key = _content_key(counts, size, reference)
    path = cache_folder() / f"floors-{key}.json"
    if path.is_file():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    rows = []
    for label, count in enumerate(counts):
        members = (reference.train.labels == label).nonzero()[:, 0]
        # The path of the floors in every table that was ever printed: it stays.
        order = torch.randperm(len(members), generator=generator(0, label))
        rows.append(members[order[:count]])
    chosen = torch.cat(rows)
    train, test = reference.train.fitted(size), reference.test.fitted(size)
    who = (reference.judge, reference.witness, reference.train)
    subjects = {
        "train": Subject(train.images[chosen], train.labels[chosen], *who),
        "test": reference.real
        if size == reference.test.size
        else Subject(test.images, test.labels, *who),
    }
    values = {}
    for name, measure in MEASURES.items():
        if measure.compute is not None:
            values[name] = measure.compute(subjects[measure.floor], reference.real)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values))
    return values


def _content_key(counts: list[int], size: tuple[int, int], reference: Reference) -> str:
    digest = hashlib.sha256()
    for data in (reference.train, reference.test):
        digest.update(data.images.contiguous().numpy().data)
        digest.update(data.labels.contiguous().numpy().data)
    judges = (reference.judge.sha256, reference.witness.sha256)
    digest.update(json.dumps([counts, size, judges, K, list(MEASURES), 2]).encode())
    return digest.hexdigest()[:16]
