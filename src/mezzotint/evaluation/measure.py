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
from ..utils.files import cache_folder, whole_file
from ..utils.randomness import generator
from .classification import accuracy, confusion_matrix, inception_score
from .features import Classifier, ClassifierOutput, extract_features
from .frechet import frechet_distance, moments
from .kid import kernel_distance
from .memorization import Neighbours, nearest
from .precision_recall import K, precision_recall_density_coverage
from .requirements import TooFewImages

MINIMUM = 100

# key: (name for people, digits after the point, whether more is better)
MEASURES = {
    "digit_fid": ("digit-FID", 3, False),
    "digit_fid_witness": ("digit-FID, witness", 3, False),
    "kid": ("KID x 1000", 3, False),
    "inception_score": ("Inception Score", 3, True),
    "precision": ("precision", 4, True),
    "recall": ("recall", 4, True),
    "density": ("density", 4, True),
    "coverage": ("coverage", 4, True),
    "accuracy": ("conditional accuracy", 4, True),
    "accuracy_witness": ("conditional accuracy, witness", 4, True),
    "nearest_median": ("nearest training image, median", 2, None),
    "nearest_percentile_1": ("nearest training image, 1st percentile", 2, None),
    "nearest_minimum": ("nearest training image, minimum", 2, None),
    "denoising_loss": ("held-out denoising loss", 4, False),
    "as_classifier": ("test images told apart by denoising", 4, True),
    "bits_vlb": ("bits per dimension, variational bound", 3, False),
    "bits_ode": ("bits per dimension, probability flow", 3, False),
}


@dataclass(frozen=True)
class Reference:
    """What images are measured against, and by whom."""

    train: ImageData
    test: ImageData
    judge: Classifier
    witness: Classifier
    test_by_judge: ClassifierOutput
    test_by_witness: ClassifierOutput


@dataclass(frozen=True)
class Measured:
    """``values`` by the keys of MEASURES; the rest is for pictures."""

    values: dict[str, float]
    confusion: Int64[Tensor, "classes classes"] | None
    neighbours: Neighbours
    by_judge: ClassifierOutput


def make_reference(
    train: ImageData, test: ImageData, judge: Classifier, witness: Classifier
) -> Reference:
    """Look at the test split once with both classifiers."""
    return Reference(
        train,
        test,
        judge,
        witness,
        extract_features(judge, test.images),
        extract_features(witness, test.images),
    )


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
    seen, again = (
        extract_features(reference.judge, images),
        extract_features(reference.witness, images),
    )
    real, real_again = reference.test_by_judge, reference.test_by_witness
    values = {
        "digit_fid": frechet_distance(moments(seen.features), moments(real.features)),
        "digit_fid_witness": frechet_distance(
            moments(again.features), moments(real_again.features)
        ),
        "kid": 1000 * kernel_distance(seen.features, real.features),
        "inception_score": inception_score(seen.logits),
        **precision_recall_density_coverage(real.features, seen.features),
    }
    if labels is not None:
        values["accuracy"] = accuracy(seen.logits, labels)
        values["accuracy_witness"] = accuracy(again.logits, labels)
    size = (images.shape[2], images.shape[3])
    neighbours = nearest(images, reference.train.fitted(size).images)
    values |= {f"nearest_{name}": value for name, value in neighbours.summary().items()}
    confusion = None if labels is None else confusion_matrix(seen.logits, labels)
    return Measured(values, confusion, neighbours, seen)


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
    values = measure(train.images[chosen], train.labels[chosen], reference).values
    values["accuracy"] = accuracy(reference.test_by_judge.logits, test.labels)
    values["accuracy_witness"] = accuracy(reference.test_by_witness.logits, test.labels)
    neighbours = nearest(test.images, train.images)
    values |= {f"nearest_{name}": value for name, value in neighbours.summary().items()}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values))
    return values


def _content_key(counts: list[int], size: tuple[int, int], reference: Reference) -> str:
    digest = hashlib.sha256()
    for data in (reference.train, reference.test):
        digest.update(data.images.contiguous().numpy().data)
        digest.update(data.labels.contiguous().numpy().data)
    judges = (reference.judge.sha256, reference.witness.sha256)
    digest.update(json.dumps([counts, size, judges, K, 1]).encode())
    return digest.hexdigest()[:16]
