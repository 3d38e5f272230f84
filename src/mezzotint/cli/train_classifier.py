"""``mezzotint train-classifier``."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..recipe.fields import RecipeError
from ..recipe.schema import Data
from ..recipe.toml import override
from ..utils.console import warn
from ..utils.output import output_file
from .modules import loading_modules

if TYPE_CHECKING:
    from ..evaluation.features import Classifier


def train_classifier(
    out: Path,
    /,
    *,
    kind: Literal["plain", "residual"] = "plain",
    data: str = "mnist",
    folder: Path | None = None,
    size: int | None = None,
    channels: int | None = None,
    broken: Literal["refuse", "skip"] = "refuse",
    width: int = 1,
    augmentation: Literal["jitter", "mirror", "erase"] = "jitter",
    epochs: int = 12,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    device: str | None = None,
) -> None:
    """Train a classifier for evaluations, on the training split only.

        mezzotint train-classifier digits-plain.safetensors
        mezzotint train-classifier digits-residual.safetensors --kind residual

    Take both for an evaluation: `mezzotint evaluate MODEL --judge ONE --witness OTHER`.

    Parameters
    ----------
    out
        A .safetensors file; a card in Markdown is written beside it.
    kind
        plain has the features of digit-FID; residual, built differently, verifies them.
    data
        Data set, as in a recipe: mnist, fashion-mnist, ..., folder:PATH.
    folder
        Folder that already holds the data set's files.
    size
        Side in pixels to bring images to; as they are if not given.
    channels
        1 for grey, 3 for colour; as the images are if not given.
    broken
        skip leaves broken pictures out.
    width
        How many times as many channels: 2 for pictures that are harder to tell apart than digits.
    augmentation
        jitter turns, stretches and moves images a little; mirror mirrors half of them, which suits clothes
        and no digits; erase does that too, and hides a part of every other image.
    epochs
        Passes over the training split.
    precision
        Number type of products: bf16 is faster where the machine multiplies it.
    seed
        Seed of initialization, order and augmentation.
    device
        cpu, cuda, mps, ...; the CPU if not given.
    """
    out = output_file(out, (".safetensors",))
    if out.exists():
        raise RecipeError(f"out = {out}: it must be a new .safetensors file")
    if epochs < 1:
        raise RecipeError(f"epochs = {epochs}: it must be at least 1")
    with loading_modules():
        from .. import build
        from ..evaluation.features import (
            check_width,
            extract_features,
            load_classifier,
            save_classifier,
        )
        from ..evaluation.train_classifier import ClassifierRecipe
        from ..evaluation.train_classifier import train_classifier as fit
        from ..utils.device import pick_device, prepare
        from ..utils.precision import TYPES, is_emulated

    check_width(width)
    prepare()
    place = pick_device(device or "cpu")
    if is_emulated(TYPES[precision], place):
        warn("bf16 is emulated here, which is slow; --precision fp32 avoids it")
    section = override(
        Data(),
        {
            "name": data,
            "size": size,
            "channels": channels,
            "broken": broken,
            "folder": str(folder) if folder else None,
        },
    )
    train = build.load_data(section, "train")
    test = build.load_data(section, "test")
    recipe = ClassifierRecipe(
        kind=kind,
        width=width,
        augmentation=augmentation,
        epochs=epochs,
        precision=precision,
        seed=seed,
    )
    network = fit(recipe, train, place)
    save_classifier(out, network, kind, train, f"{data}, training split", recipe, width=width)
    classifier = load_classifier(out)
    wrong = int((extract_features(classifier, test.images).logits.argmax(1) != test.labels).sum())
    share = f"{1 - wrong / len(test):.2%} right"
    settings = {
        "kind": kind,
        "data": data,
        "folder": folder,
        "size": size,
        "channels": channels,
        "broken": broken if broken == "skip" else None,
        "width": width,
        "augmentation": augmentation,
        "epochs": epochs,
        "precision": precision,
        "seed": seed,
        "device": device,
    }
    accuracy = f"{share} ({wrong} of {len(test):,} wrong)"
    _write_card(out, classifier, f"{data}, {kind}", accuracy, recipe, settings)
    print(f"{out}: {share} on the test split")


def _write_card(
    out: Path,
    classifier: "Classifier",
    what: str,
    accuracy: str,
    recipe: object,
    settings: Mapping[str, object],
) -> None:
    """Write what a classifier is, how good it is, and the command that makes it again, beside its file."""
    from ..utils.files import whole_file

    words = (f"--{flag} {value}" for flag, value in settings.items() if value is not None)
    parameters = sum(p.numel() for p in classifier.network.parameters())
    card = (
        f"# {out.stem}\n\n"
        f"A classifier of {what} ({parameters:,} parameters), trained on the training split only.\n\n"
        f"- test split: {accuracy}\n"
        f"- recipe: {recipe}\n"
        f"- SHA-256: {classifier.sha256}\n"
        f"- again: `mezzotint train-classifier {out.name} {' '.join(words)}`\n"
    )
    with whole_file(out.with_suffix(".md")) as temporary:
        temporary.write_text(card, encoding="utf-8")


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return train_classifier
