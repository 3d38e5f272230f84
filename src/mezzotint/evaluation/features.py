"""From images to features, by a shipped classifier: the file, and what it says."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..data import ImageData
from ..registry import CLASSIFIERS
from ..utils import pixels
from ..utils.assets import shipped
from ..utils.files import sha256, whole_file
from ..utils.progress import progress
from ..weights import save

SHIPPED = {"features": "digits-plain", "witness": "digits-residual"}
"""The classifier that gives features and the accuracy, and the one that checks it."""


@dataclass(frozen=True)
class Classifier:
    """A trained classifier with what must be said of it when it measures."""

    network: nn.Module
    name: str
    sha256: str
    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device


@dataclass(frozen=True)
class ClassifierOutput:
    """What a classifier says of images: features (n, d) and logits (n, classes)."""

    features: Float[Tensor, "n d"]
    logits: Float[Tensor, "n classes"]


def load_classifier(name: str | Path, device: torch.device | None = None) -> Classifier:
    """A classifier from a file, or a shipped one by name, on ``device``, or the CPU.

    Raises FileNotFoundError or ValueError where it is none.
    """
    known = shipped("classifiers")
    path = known.get(str(name), Path(name))
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no classifier {name}: give a file of `mezzotint train-classifier`, or one of"
            f" {', '.join(known)}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    if "classifier" not in metadata:
        raise ValueError(f"{path} is no classifier: see `mezzotint train-classifier`")
    card = json.loads(metadata["classifier"])
    classes = tuple(card["classes"])
    network = CLASSIFIERS[card["kind"]](card["channels"], len(classes))
    network.load_state_dict(tensors)
    network = network.eval().requires_grad_(False).to(device or torch.device("cpu"))
    return Classifier(
        network, path.stem, sha256(path), tuple(card["size"]), card["channels"], classes
    )


def save_classifier(
    path: Path, network: nn.Module, kind: str, data: ImageData, trained_on: str, recipe: object
) -> None:
    """Write a classifier as safetensors that say what they are."""
    card = {
        "kind": kind,
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
    """Show ``images`` to the classifier, brought to its size (bilinear, antialiased) if need be.

    Raises ValueError where the channels differ.
    """
    if images.shape[1] != classifier.channels:
        raise ValueError(
            f"the images have {images.shape[1]} channels, {classifier.name} takes"
            f" {classifier.channels}"
        )
    features, logits = [], []
    parts = images.split(batch)
    for part in progress(parts, len(parts), "features", "batch"):
        x = pixels.to_float(part).to(classifier.device)
        if tuple(x.shape[2:]) != classifier.size:
            x = F.interpolate(x, classifier.size, mode="bilinear", antialias=True)
        f, y = classifier.network(x.to(memory_format=torch.channels_last))
        features.append(f.cpu())
        logits.append(y.cpu())
    return ClassifierOutput(torch.cat(features).clone(), torch.cat(logits).clone())
