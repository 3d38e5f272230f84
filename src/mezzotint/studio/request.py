"""What a visitor may ask for. Every number is bounded, and a refusal is a sentence."""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..export.description import LIMITS, MOST_SEED
from ..recipe.fields import RecipeError
from .shelf import Offer

Task = Literal["generate", "edit", "inpaint", "morph"]

MOST_PICTURES = LIMITS["pictures"][1]
MOST_OPINIONS = 20
"""Pictures that are judged at once."""

BESIDE = 2**18
"""Characters of a request beside its images."""


@dataclass(frozen=True)
class Request:
    """A checked request.

    Args:
        task: what to do.
        offer: the model.
        labels: a class for each picture; None for pictures without one.
        count: number of pictures.
        seed: of the noise.
        steps: of the sampler.
        sampler: its name.
        guidance: its strength.
        image: to edit or to mend, uint8 (channels, height, width).
        mask: where to mend, bool (height, width).
        strength: of an edit.
        ends: classes of the ends of a morph.
        end_seed: of the last picture of a morph.
        frames: of a morph.
    """

    task: Task
    offer: Offer
    labels: tuple[int, ...] | None
    count: int
    seed: int
    steps: int
    sampler: str
    guidance: float
    image: Tensor | None = None
    mask: Tensor | None = None
    strength: float = 1.0
    ends: tuple[int | None, int | None] = (None, None)
    end_seed: int = 0
    frames: int = 2


def longest(offers: Mapping[str, Offer]) -> int:
    """Characters of the longest request that makes sense: all images that are judged at once, in base64.

    Args:
        offers: the models that it may be about.
    """
    largest = max(math.prod(offer.spec.shape) for offer in offers.values())
    return BESIDE + 4 * math.ceil(MOST_OPINIONS * largest / 3)


def parse_json(text: object, offers: Mapping[str, Offer]) -> dict[str, Any]:
    """The object that a request's text stands for.

    Args:
        text: the request, as JSON.
        offers: the models that it may be about.

    Raises:
        RecipeError: if it is too long, no JSON object, or holds NaN or infinity.
    """
    most = longest(offers)
    if not isinstance(text, str) or len(text) > most:
        raise RecipeError(f"a request is a text of at most {most} characters")

    def refuse(word: str) -> None:
        raise RecipeError(f"a request holds {word}, which is no number")

    try:
        content = json.loads(text, parse_constant=refuse)
    except RecipeError:
        raise
    except (ValueError, RecursionError):
        raise RecipeError("a request is a JSON object") from None
    if not isinstance(content, dict):
        raise RecipeError("a request is a JSON object")
    return content


def parse_request(text: object, offers: Mapping[str, Offer]) -> Request:
    """Check a request.

    Args:
        text: the request, as JSON.
        offers: the models by name.

    Returns:
        the request.

    Raises:
        RecipeError: in a sentence that names the value and what is valid.
    """
    fields = parse_json(text, offers)
    task = one_of(fields, "task", get_args(Task))
    offer = offers[one_of(fields, "model", tuple(offers))]
    labels = class_numbers(fields.get("labels"), len(offer.spec.classes))
    each = _number(fields, "count", *LIMITS["count"])
    steps = _number(fields, "steps", min(offer.steps), max(offer.steps))
    if steps not in offer.steps:
        raise RecipeError(f"steps = {steps}: it is one of {', '.join(map(str, offer.steps))}")
    count = each * max(1, len(labels))
    if task != "morph" and count > MOST_PICTURES:
        raise RecipeError(f"{count} pictures: at most {MOST_PICTURES} are drawn at once")
    task_options: dict[str, Any] = {}
    if task in ("edit", "inpaint"):
        task_options["image"] = _image(fields.get("image"), offer)
    if task == "edit":
        task_options["strength"] = _real(fields, "strength", *LIMITS["strength"])
    if task == "inpaint":
        task_options["mask"] = _mask(fields.get("mask"), offer)
    if task == "morph":
        task_options["ends"] = _ends(labels, fields.get("end"), len(offer.spec.classes))
        task_options["end_seed"] = _seed(fields, "endSeed")
        task_options["frames"] = _number(fields, "frames", *LIMITS["frames"])
    return Request(
        task=task,
        offer=offer,
        labels=tuple(label for label in labels for _ in range(each)) or None,
        count=count,
        seed=_seed(fields, "seed"),
        steps=steps,
        sampler=one_of(fields, "sampler", offer.samplers),
        guidance=_real(fields, "guidance", *LIMITS["guidance"]) if offer.spec.classes else 1.0,
        **task_options,
    )


def one_of(fields: Mapping[str, Any], name: str, known: Sequence[str]) -> Any:
    """One of several words of a request.

    Args:
        fields: the request.
        name: its key.
        known: the words.

    Returns:
        the word.

    Raises:
        RecipeError: if it is none of them.
    """
    value = fields.get(name)
    if not isinstance(value, str) or value not in known:
        raise RecipeError(f"{name} = {_shown(value)}: it is one of {', '.join(known)}")
    return value


def _number(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number in a range."""
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise RecipeError(
            f"{name} = {_shown(value)}: it must be a whole number from {least} to {most}"
        )
    return value


def _real(fields: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """A number in a range."""
    value = fields.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        not number or value is None or not least <= value <= most
    ):  # an int may be too large for a float
        raise RecipeError(f"{name} = {_shown(value)}: it must be a number from {least} to {most}")
    return float(value)


def _seed(fields: Mapping[str, Any], name: str) -> int:
    """A seed, as a text of digits: JavaScript's numbers are too short for it."""
    value = fields.get(name)
    short = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    if not short or int(str(value)) > MOST_SEED:
        raise RecipeError(f"{name} = {_shown(value)}: it must be digits, from 0 to {MOST_SEED}")
    return int(str(value))


def class_numbers(value: object, classes: int) -> list[int]:
    """Classes of a request.

    Args:
        value: what stands in the request.
        classes: number of the model's classes.

    Returns:
        numbers in 0..classes - 1.

    Raises:
        RecipeError: if it is no list of such numbers.
    """
    if not isinstance(value, list) or len(value) > MOST_PICTURES:
        raise RecipeError(f"labels = {_shown(value)}: it must be a list of classes")
    for label in value:
        if type(label) is not int or not 0 <= label < classes:
            raise RecipeError(
                f"label {_shown(label)} is not a class: they are numbered 0 to {classes - 1}"
                if classes
                else "this model knows no classes"
            )
    return value


def _ends(labels: list[int], end: object, classes: int) -> tuple[int | None, int | None]:
    """The classes of the ends of a morph."""
    if not classes and not labels and end is None:
        return None, None
    if len(labels) != 1:
        raise RecipeError("labels: a morph begins at one class")
    return labels[0], class_numbers([end], classes)[0]


def _bytes(value: object, name: str, size: int) -> bytes:
    """Bytes, of base64."""
    try:
        content = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != size:
        raise RecipeError(
            f"{name}: it must be {size} bytes in base64, the size of the model's images"
        )
    return content


def _image(value: object, offer: Offer) -> Tensor:
    content = _bytes(value, "image", math.prod(offer.spec.shape))
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(offer.spec.shape)


def _mask(value: object, offer: Offer) -> Tensor:
    content = _bytes(value, "mask", math.prod(offer.spec.size))
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(offer.spec.size) > 0


def _shown(value: object) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
