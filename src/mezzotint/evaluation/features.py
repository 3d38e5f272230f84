"""Classifiers for evaluation: their files, and their features and logits of images."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..build import check_weights, shapes_alone
from ..data import ImageData
from ..registry import CLASSIFIERS
from ..utils import pixels
from ..utils.assets import shipped
from ..utils.files import sha256, whole_file
from ..utils.json_text import parse_json
from ..utils.progress import progress
from ..weights import parse_spec, read_file, save

SHIPPED = {"features": "digits-plain", "witness": "digits-residual"}
"""Names of the classifiers that measure by default: the main one, and the second that verifies it."""


WIDEST = 8
"""The most times as many channels that a classifier may have."""


def check_width(width: object) -> int:
    """A width of a classifier, from a file or a command; see :mod:`..nets.classifiers`.

    Raises:
        ValueError: If it is no whole number from 1 to WIDEST.
    """
    if type(width) is not int or not 1 <= width <= WIDEST:
        raise ValueError(f"width = {width!r}: it must be 1 to {WIDEST}")
    return width


@dataclass(frozen=True)
class Classifier:
    """A trained classifier and the metadata that an evaluation reports.

    Attributes:
        network: The module, from images in [-1, 1] to (features, logits).
        name: Stem of its file.
        sha256: Hash of its file, in hexadecimal.
        size: (height, width) of its input, in pixels.
        channels: Number of input channels.
        classes: Names of its classes, in the order of the logits.
        columns: Outputs of the network that are the logits of ``classes``; None if all are, in their order.
    """

    network: nn.Module
    name: str
    sha256: str
    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
    columns: tuple[int, ...] | None = None

    def for_classes(self, classes: tuple[str, ...]) -> "Classifier | None":
        """Return the same classifier with its classes in another order; None if it has other classes."""
        if sorted(classes) != sorted(self.classes):
            return None
        columns = tuple(self.classes.index(name) for name in classes)
        return replace(self, classes=classes, columns=columns)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.network.parameters()).device


@dataclass(frozen=True)
class ClassifierOutput:
    """Features (n, d) and logits (n, classes) of images, on the CPU."""

    features: Float[Tensor, "n d"]
    logits: Float[Tensor, "n classes"]


def load_classifier(name: str | Path, device: torch.device | None = None) -> Classifier:
    """Load a classifier from a file, or a shipped one by name.

    Args:
        name: Path of a file of ``save_classifier``, or the name of a shipped classifier.
        device: Where it computes; the CPU if None.

    Returns:
        The classifier, in eval mode and without gradients.

    Raises:
        FileNotFoundError: If there is no such file or name.
        ValueError: If the file is damaged or holds no classifier.
    """
    known = shipped("classifiers")
    path = known.get(str(name), Path(name).expanduser())
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no classifier {name}: give a file of `mezzotint train-classifier`, or one of"
            f" {', '.join(known)}"
        )
    metadata, tensors = read_file(path)
    if "classifier" not in metadata:
        raise ValueError(f"{path} is no classifier: see `mezzotint train-classifier`")
    try:
        card = parse_json(metadata["classifier"])
        spec = parse_spec(card)
        settings = (spec.channels, len(spec.classes), check_width(card.get("width", 1)))
        with shapes_alone():  # a file may claim a network that no memory holds
            check_weights(CLASSIFIERS[card["kind"]](*settings), tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is a damaged classifier: {error!r}") from error
    network = CLASSIFIERS[card["kind"]](*settings)
    network.load_state_dict(tensors)
    network = network.eval().requires_grad_(False).to(device or torch.device("cpu"))
    return Classifier(network, path.stem, sha256(path), spec.size, spec.channels, spec.classes)


def save_classifier(
    path: Path,
    network: nn.Module,
    kind: str,
    data: ImageData,
    trained_on: str,
    recipe: object,
    *,
    width: int = 1,
) -> None:
    """Write a classifier as a safetensors file with its metadata.

    Args:
        path: File to write, replaced atomically.
        network: The classifier module.
        kind: Its name in the registry CLASSIFIERS.
        data: Training images, whose size, channels and classes are stored.
        trained_on: Description of the training data.
        recipe: Training settings, stored as text.
        width: How many times as many channels it has.
    """
    card = {
        "kind": kind,
        "width": width,
        "size": data.size,
        "channels": data.channels,
        "classes": data.classes,
        "trained_on": trained_on,
        "recipe": str(recipe),
    }
    with whole_file(path) as temporary:
        save(temporary, dict(network.state_dict()), {"classifier": json.dumps(card)})


@torch.inference_mode()
def extract_features(
    classifier: Classifier, images: UInt8[Tensor, "n channels height width"], batch: int = 500
) -> ClassifierOutput:
    """Compute features and logits of images.

    Images of another size are resized to the classifier's (bilinear, antialiased).

    Args:
        classifier: The classifier.
        images: (n, channels, height, width) uint8.
        batch: Images per forward pass.

    Returns:
        Features (n, d) and logits (n, classes), on the CPU.

    Raises:
        ValueError: If the images have another number of channels than the classifier takes.
    """
    if images.shape[1] != classifier.channels:
        raise ValueError(
            f"the images have {images.shape[1]} channels, {classifier.name} takes"
            f" {classifier.channels}"
        )
    features = []
    logits = []
    parts = images.split(batch)
    for part in progress(parts, len(parts), "features", "batch"):
        x = pixels.to_float(part).to(classifier.device)
        if tuple(x.shape[2:]) != classifier.size:
            x = F.interpolate(x, classifier.size, mode="bilinear", antialias=True)
        f, y = classifier.network(x.to(memory_format=torch.channels_last))
        features.append(f.cpu())
        logits.append(y.cpu() if classifier.columns is None else y.cpu()[:, classifier.columns])
    return ClassifierOutput(torch.cat(features).clone(), torch.cat(logits).clone())
