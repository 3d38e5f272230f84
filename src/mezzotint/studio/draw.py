"""What the studio does for a request: draws, gives opinions, writes films."""

import base64
import io
import math
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..editing import Edit
from ..evaluation.denoising_classifier import denoising_errors
from ..evaluation.features import extract_features
from ..evaluation.memorization import nearest
from ..model import Model, Trajectory
from ..recipe.fields import RecipeError
from ..samplers import SamplingOptions, Step
from ..utils import pixels
from ..utils.randomness import Stream, generator
from ..viz.animations import Format, save_animation, select, side_by_side
from ..viz.grids import tile
from .request import MOST_OPINIONS, Request, class_numbers, parse_json
from .shelf import Shelf

MOST_BYTES = 6_000_000
"""Size of the moments of one answer; of longer ways, some moments are left out."""

MOST_FRAMES = 60
MOST_VALUES = 2**28
"""Frames of a file, and values of all their pixels; larger pictures are enlarged less, or left out."""

MOST_CLASSES = 20
"""Classes up to which the model itself is asked: it costs eight evaluations for each."""

BATCH = 64
"""Frames of a morph that are computed at once, as `mezzotint morph` has it."""

BETWEEN = 0.1
"""Seconds between reports of progress, and so until a job that is stopped stops."""

TYPES: dict[Format, str] = {"gif": "image/gif", "webp": "image/webp", "apng": "image/png"}


def draw(request: Request, model: Model) -> Iterator[dict[str, Any]]:
    """Draw what was asked for.

    Args:
        request: the request.
        model: its model.

    Yields:
        ``{"progress": part}`` from time to time, and the film at last.

    Raises:
        RecipeError: if the model cannot do it.
    """
    size = 2 * request.count * math.prod(model.spec.shape)
    film = yield from _computed(request, model, max(2, MOST_BYTES // size))
    if request.task == "morph":
        images = film.x.flatten(0, 1)
        yield _answer(model, len(images), [0.0], images[None], None)
        return
    yield _answer(model, request.count, film.t, film.x, film.x0)


def _computed(
    request: Request, model: Model, most: int
) -> Generator[dict[str, Any], None, Trajectory]:
    """At most so many moments of a request, with the first and the last; of a morph the images alone.

    Only these are kept, as bytes: all moments of many large images would not fit into memory.

    Yields:
        ``{"progress": part}`` from time to time, where a job that is stopped ends.
    """
    morph = request.task == "morph"
    batches = -(-request.frames // BATCH) if morph else 1
    chosen = set() if morph else set(select(request.steps + 1, most))
    moments = []
    reported = time.perf_counter()
    for number, step in enumerate(_steps(request, model)):
        if step.final or number in chosen:
            moments.append(Trajectory.from_steps([step]))
        if time.perf_counter() - reported > BETWEEN:
            reported = time.perf_counter()
            yield {"progress": (number + 1) / (batches * (request.steps + 1))}
    dim = 1 if morph else 0
    return Trajectory(
        x=torch.cat([moment.x for moment in moments], dim),
        x0=torch.cat([moment.x0 for moment in moments], dim),
        t=tuple(time for moment in moments for time in moment.t),
    )


def _steps(request: Request, model: Model) -> Iterator[Step]:
    if request.task == "morph":
        return model.morph_steps(
            *request.ends,
            frames=request.frames,
            seed=request.seed,
            end_seed=request.end_seed,
            batch=BATCH,
            **_options(request, None),
        )
    edit = _edit(request, model)
    return model.denoise(
        request.labels,
        count=None if request.labels else request.count,
        seed=request.seed,
        edit=edit,
        **_options(request, edit),
    )


def _edit(request: Request, model: Model) -> Edit | None:
    if request.task == "edit" and request.image is not None:
        return model.image_to_image(request.image, request.strength)
    if request.task == "inpaint" and request.image is not None and request.mask is not None:
        return model.inpainting(request.image, request.mask)
    return None


def _options(request: Request, edit: Edit | None) -> SamplingOptions:
    options: SamplingOptions = {"steps": request.steps}
    if request.offer.spec.classes:
        options["guidance"] = request.guidance
    if edit is None or not edit.own_sampler:
        options["sampler"] = request.sampler
    return options


def _answer(
    model: Model, count: int, times: Sequence[float], x: Tensor, x0: Tensor | None
) -> dict[str, Any]:
    """A film as JSON."""
    return {
        "shape": list(model.spec.shape),
        "count": count,
        "t": list(times),
        "x": _base64(x),
        "x0": None if x0 is None else _base64(x0),
        "row": x0 is None,
    }


def _base64(images: Tensor) -> str:
    return base64.b64encode(images.contiguous().numpy().tobytes()).decode()


def film_file(
    request: Request, model: Model, format: Format, show: Literal["x", "both"]
) -> Iterator[dict[str, Any]]:
    """Draw what was asked for, as an animation.

    Args:
        request: the request.
        model: its model.
        format: of the file.
        show: the noisy images, or these and the expected ones.

    Yields:
        ``{"progress": part}`` from time to time; at last the file in base64, and its type.
    """
    values = request.count * math.prod(model.spec.shape) * (1 if show == "x" else 2)
    film = yield from _computed(request, model, max(2, min(MOST_FRAMES, MOST_VALUES // values)))
    if request.task == "morph":
        images = film.x.flatten(0, 1)
        frames = torch.cat([images, images[1:-1].flip(0)])
    else:
        parts = film.x if show == "x" else side_by_side(film.x, film.x0)
        columns = min(10, request.count)
        frames = torch.stack([tile(moment, columns) for moment in parts])
    scale = min(4, max(1, math.isqrt(MOST_VALUES // frames.numel())))
    content = io.BytesIO()
    save_animation(content, frames, format=format, fps=15, scale=scale)
    yield {"file": base64.b64encode(content.getvalue()).decode(), "type": TYPES[format]}


def opinions(text: object, shelf: Shelf) -> dict[str, Any]:
    """What classifiers think of pictures, and the training images nearest to them.

    Args:
        text: JSON of ``model``, ``images`` in base64 and ``labels``, one for each image or none.
        shelf: the models.

    Returns:
        for each picture ``classes``: who, label, probability or None; ``label``; and ``nearest``.

    Raises:
        RecipeError: if the request makes no sense.
    """
    request = parse_json(text, shelf.offers)
    name = request.get("model")
    if not isinstance(name, str) or name not in shelf.offers:
        raise RecipeError(f"model: it is one of {', '.join(shelf.offers)}")
    offer = shelf.offers[name]
    images = _images(request.get("images"), offer.spec.shape)
    labels = class_numbers(request.get("labels"), len(offer.spec.classes))
    if len(labels) not in (0, len(images)):
        raise RecipeError("labels: a list with one class for each picture, or an empty one")
    judged: list[list[tuple[str, int, float | None]]] = [[] for _ in images]
    for who, classes, shares in _judgements(shelf, name, images):
        for k, opinion in enumerate(judged):
            opinion.append((who, classes[k], shares[k]))
    near = _nearest(shelf, name, images)
    return {
        "opinions": [
            {"classes": opinion, "label": labels[k] if labels else None, "nearest": near[k]}
            for k, opinion in enumerate(judged)
        ]
    }


def _images(value: object, shape: tuple[int, int, int]) -> Tensor:
    size = int(torch.tensor(shape).prod())
    try:
        content = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except ValueError:
        content = b""
    count, rest = divmod(len(content), size)
    if rest or not 1 <= count <= MOST_OPINIONS:
        raise RecipeError(f"images: 1 to {MOST_OPINIONS} images of {size} bytes, in base64")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(count, *shape)


def _judgements(
    shelf: Shelf, name: str, images: Tensor
) -> Iterator[tuple[str, list[int], list[float | None]]]:
    """Who, and the class and its probability for each image."""
    spec = shelf.offers[name].spec
    classifier = shelf.classifier.for_classes(spec.classes)
    if classifier is not None and classifier.channels == spec.channels:
        shares, classes = extract_features(classifier, images).logits.softmax(1).max(1)
        yield "classifier", classes.tolist(), shares.tolist()
    if 1 < len(spec.classes) <= MOST_CLASSES:
        model = shelf.model(name)
        x0 = pixels.to_float(images).to(model.device)
        source = generator(0, Stream.CLASSIFY, 0)
        errors = denoising_errors(model.denoiser, x0, len(spec.classes), source)
        yield "the model itself", errors.argmin(1).tolist(), [None] * len(images)


def _nearest(shelf: Shelf, name: str, images: Tensor) -> list[dict[str, Any] | None]:
    """The training image nearest to each image, if the training images are at hand."""
    data = shelf.training_images(name)
    if data is None:
        return [None] * len(images)
    neighbours = nearest(images, data.images)
    return [
        {"image": _base64(data.images[int(index)]), "distance": float(distance)}
        for index, distance in zip(neighbours.index, neighbours.distance, strict=True)
    ]
