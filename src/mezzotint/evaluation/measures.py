"""The measures: each is a function of a set of images and of the test images, with its description."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from jaxtyping import Int64, UInt8
from torch import Tensor

from ..data import ImageData
from .classification import accuracy, inception_score
from .features import Classifier, ClassifierOutput, extract_features
from .frechet import frechet_distance, moments
from .kid import kernel_distance
from .memorization import Neighbours, nearest
from .precision_recall import precision_recall_density_coverage


class Subject:
    """A set of images to measure.

    Classifier outputs and nearest training images are computed on first access and cached.

    Args:
        images: (n, channels, height, width) uint8.
        labels: (n,) int64 labels, or None if unknown.
        judge: Classifier that measures.
        witness: Second classifier, which repeats some measures.
        train: Training images, among which nearest neighbours are searched.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "n channels height width"],
        labels: Int64[Tensor, " n"] | None,
        judge: Classifier,
        witness: Classifier,
        train: ImageData,
    ) -> None:
        self.images = images
        self.labels = labels
        self._judge = judge
        self._witness = witness
        self._train = train
        self._manifold: tuple[Subject, dict[str, float]] | None = None

    @cached_property
    def judged(self) -> ClassifierOutput:
        """Features and logits of the judge."""
        return extract_features(self._judge, self.images)

    @cached_property
    def witnessed(self) -> ClassifierOutput:
        """Features and logits of the witness."""
        return extract_features(self._witness, self.images)

    @cached_property
    def neighbours(self) -> Neighbours:
        """Nearest training image of each image."""
        size = (self.images.shape[2], self.images.shape[3])
        return nearest(self.images, self._train.fitted(size).images)

    def require_labels(self) -> Int64[Tensor, " n"]:
        """Return the labels.

        Returns:
            (n,) int64.

        Raises:
            ValueError: If the images have no labels.
        """
        if self.labels is None:
            raise ValueError("these images have no labels to be compared with")
        return self.labels

    def manifold(self, real: "Subject") -> dict[str, float]:
        """Return precision, recall, density and coverage against ``real``, computed together once."""
        if self._manifold is None or self._manifold[0] is not real:
            scores = precision_recall_density_coverage(real.judged.features, self.judged.features)
            self._manifold = (real, scores)
        return self._manifold[1]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure and how to print it.

    Args:
        label: Name in tables.
        decimals: Digits after the decimal point in tables.
        better: Which values are better; "like the floor" if both higher and lower ones are suspicious.
        compute: Function of the subject and of the test images; None if the value is computed from the
            model, not from its images.
        needs_labels: Whether the images must have labels.
        floor: Real images that give the floor: as many of each class from the training split ("train"), or
            the test split ("test").
    """

    label: str
    decimals: int
    better: Literal["more", "less", "like the floor"]
    compute: Callable[[Subject, Subject], float] | None = None
    needs_labels: bool = False
    floor: Literal["train", "test"] = "train"


def _manifold(name: str) -> Callable[[Subject, Subject], float]:
    """A measure that is one entry of ``Subject.manifold``."""
    return lambda subject, real: subject.manifold(real)[name]


def _nearest(name: str) -> Callable[[Subject, Subject], float]:
    """A measure that is one entry of ``Neighbours.summary``."""
    return lambda subject, real: subject.neighbours.summary()[name]


def _digit_fid(subject: Subject, real: Subject) -> float:
    return frechet_distance(moments(subject.judged.features), moments(real.judged.features))


def _digit_fid_witness(subject: Subject, real: Subject) -> float:
    return frechet_distance(moments(subject.witnessed.features), moments(real.witnessed.features))


def _kid(subject: Subject, real: Subject) -> float:
    return 1000 * kernel_distance(subject.judged.features, real.judged.features)


def _inception_score(subject: Subject, real: Subject) -> float:
    return inception_score(subject.judged.logits)


def _accuracy(subject: Subject, real: Subject) -> float:
    return accuracy(subject.judged.logits, subject.require_labels())


def _accuracy_witness(subject: Subject, real: Subject) -> float:
    return accuracy(subject.witnessed.logits, subject.require_labels())


DIGIT_FID = Measure(label="digit-FID", decimals=3, better="less", compute=_digit_fid)
DIGIT_FID_WITNESS = Measure(
    label="digit-FID, witness", decimals=3, better="less", compute=_digit_fid_witness
)
KID = Measure(label="KID x 1000", decimals=3, better="less", compute=_kid)
INCEPTION_SCORE = Measure(
    label="Inception Score", decimals=3, better="more", compute=_inception_score
)
PRECISION = Measure(label="precision", decimals=4, better="more", compute=_manifold("precision"))
RECALL = Measure(label="recall", decimals=4, better="more", compute=_manifold("recall"))
DENSITY = Measure(label="density", decimals=4, better="more", compute=_manifold("density"))
COVERAGE = Measure(label="coverage", decimals=4, better="more", compute=_manifold("coverage"))
ACCURACY = Measure(
    label="conditional accuracy",
    decimals=4,
    better="more",
    compute=_accuracy,
    needs_labels=True,
    floor="test",
)
ACCURACY_WITNESS = Measure(
    label="conditional accuracy, witness",
    decimals=4,
    better="more",
    compute=_accuracy_witness,
    needs_labels=True,
    floor="test",
)
NEAREST_MEDIAN = Measure(
    label="nearest training image, median",
    decimals=2,
    better="like the floor",
    compute=_nearest("median"),
    floor="test",
)
NEAREST_PERCENTILE_1 = Measure(
    label="nearest training image, 1st percentile",
    decimals=2,
    better="like the floor",
    compute=_nearest("percentile_1"),
    floor="test",
)
NEAREST_MINIMUM = Measure(
    label="nearest training image, minimum",
    decimals=2,
    better="like the floor",
    compute=_nearest("minimum"),
    floor="test",
)
DENOISING_LOSS = Measure(label="held-out denoising loss", decimals=4, better="less")
AS_CLASSIFIER = Measure(label="test images told apart by denoising", decimals=4, better="more")
BITS_VLB = Measure(label="bits per dimension, variational bound", decimals=3, better="less")
BITS_ODE = Measure(label="bits per dimension, probability flow", decimals=3, better="less")
