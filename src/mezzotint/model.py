"""A trained model, ready to generate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from typing_extensions import Unpack

from . import build, options, pixels, runtime, weights
from .checks import check_sampling
from .config import Recipe, RecipeError, Sampling
from .data import check_labels
from .diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from .samplers import DDIM, SAMPLERS, Sampler, Step, make_grid
from .shipped import shipped
from .training.checkpoint import MODEL, latest_checkpoint

MOST_IMAGES = 1_000_000


class SamplingOptions(TypedDict, total=False):
    """What may differ from the recipe's ``[sampling]``; see ``mezzotint sample --help``."""

    sampler: Literal["ddpm", "ddpm-large", "ddim", "dpm++", "heun", "consistency"]
    steps: int
    grid: Literal["linspace", "trailing", "quadratic", "log-snr"]
    guidance: float
    interval: tuple[float, float]
    eta: float
    clip: bool


@dataclass(frozen=True)
class Trajectory:
    """A whole denoising: ``x`` and the clean image ``x0`` seen in it, both uint8
    (steps + 1, images, channels, height, width), at the falling times ``t``. The last ``x`` is the
    image."""

    x: UInt8[Tensor, "moments images channels height width"]
    x0: UInt8[Tensor, "moments images channels height width"]
    t: tuple[float, ...]


class ImageNoise:
    """Noise for each image from a generator of its own, so that an image depends on its seed and
    number alone, whatever it is sampled together with."""

    def __init__(self, seed: int, numbers: range, shape: tuple[int, int, int]) -> None:
        self.generators = [runtime.generator(seed, number) for number in numbers]
        self.shape = shape

    def __call__(self) -> Float[Tensor, "batch channels height width"]:
        return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])


@dataclass(frozen=True)
class Model:
    """A network with the recipe that made it. Get one from :func:`load`."""

    recipe: Recipe
    spec: weights.ImageSpec
    denoiser: NetworkDenoiser
    device: torch.device

    def sample(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int = 64,
        **changes: Unpack[SamplingOptions],
    ) -> UInt8[Tensor, "images channels height width"]:
        """One image per label, uint8; image k depends on ``seed`` and k alone.

        ``count``: how many, where ``labels`` is None (unconditional). ``batch``: how many at once.
        Further options as in :class:`SamplingOptions`. Raises ValueError, before anything is
        computed, for labels that are not classes and options out of range.
        """
        moments = self.moments(labels, count=count, seed=seed, batch=batch, **changes)
        return torch.cat([pixels.to_uint8(step.x.cpu()) for step in moments if step.t == 0])

    def trajectory(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        **changes: Unpack[SamplingOptions],
    ) -> Trajectory:
        """The whole denoising of one image per label; arguments as for :meth:`sample`."""
        return collect(self.moments(labels, count=count, seed=seed, batch=None, **changes))

    def moments(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int | None = None,
        first: int = 0,
        **changes: Unpack[SamplingOptions],
    ) -> Iterator[Step]:
        """The denoising, step by step: ``steps + 1`` of them for each batch in turn.

        ``first``: the number of the first image, where these are a part of more (see :class:`ImageNoise`).
        """
        sampling = self.sampling(**changes)
        classes = self._labels(labels, count)
        total = len(classes) if classes is not None else int(count or 0)
        if batch is not None and (
            isinstance(batch, bool) or not isinstance(batch, int) or batch < 1
        ):
            raise RecipeError(f"batch = {batch!r}: it must be a whole number of at least 1")
        runtime.generator(seed)  # an impossible seed is refused here, not at the first step
        return self._run(sampling, classes, range(first, first + total), seed, batch or total)

    @torch.inference_mode()
    def _run(
        self, sampling: Sampling, classes: Tensor | None, images: range, seed: int, batch: int
    ) -> Iterator[Step]:
        denoiser, grid = self.prepared(sampling), make_grid(
            sampling.grid, self.denoiser.schedule, sampling.steps
        )  # fmt: skip
        for start in range(0, len(images), batch):
            numbers = images[start : start + batch]
            noise = ImageNoise(seed, numbers, self.spec.shape)
            part = None if classes is None else classes[start : start + batch].to(self.device)
            first = noise().to(self.device)
            yield from sampler_of(sampling)(denoiser, first, grid, part, noise)

    def sampling(self, **changes: Unpack[SamplingOptions]) -> Sampling:
        """The recipe's way of sampling with ``changes``, checked."""
        sampling = options.replace(self.recipe.sampling, changes)
        check_sampling(sampling, self.recipe.diffusion.timesteps)
        return sampling

    def prepared(self, sampling: Sampling) -> Denoiser:
        """The denoiser with guidance and clipping around it."""
        guided = Guided(self.denoiser, sampling.guidance, sampling.interval)
        return Clipped(guided) if sampling.clip else guided

    def _labels(
        self, labels: Sequence[int] | Tensor | None, count: int | None
    ) -> Int64[Tensor, " images"] | None:
        if labels is not None and (count is not None or not hasattr(labels, "__len__")):
            raise RecipeError("labels is a list with one class per image; count goes without it")
        number = count if labels is None else len(labels)
        whole = isinstance(number, int) and not isinstance(number, bool)
        if not whole or not 1 <= number <= MOST_IMAGES:  # type: ignore[operator]
            raise RecipeError(
                f"the number of images must be from 1 to {MOST_IMAGES}, not {number!r}"
            )
        if labels is None:
            return None
        if not self.spec.classes:
            raise RecipeError("this model knows no classes: give count instead of labels")
        return check_labels(labels, self.spec.classes)


def sampler_of(sampling: Sampling) -> Sampler:
    """The sampler that a ``[sampling]`` section names."""
    if sampling.eta is not None:
        return DDIM(eta=sampling.eta)
    return SAMPLERS[sampling.sampler]


def collect(moments: Iterator[Step]) -> Trajectory:
    """A trajectory from the steps of one batch."""
    steps = list(moments)
    return Trajectory(
        x=torch.stack([pixels.to_uint8(step.x.cpu()) for step in steps]),
        x0=torch.stack([pixels.to_uint8(step.x0.cpu()) for step in steps]),
        t=tuple(step.t for step in steps),
    )


def find_weights(path: str | Path) -> Path:
    """The weights file that ``path`` stands for: itself, a run's or checkpoint's own, or, where
    there is nothing of that name, the shipped model's.

    Raises FileNotFoundError, saying what was looked for.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        known = shipped("models")
        if str(path) in known:
            return known[str(path)]
        raise FileNotFoundError(
            f"there is no model at {path}: give a run folder, a weights file, or a shipped model:"
            f" {', '.join(known)}.{options.nearest(str(path), known)}"
        )
    if (path / MODEL).is_file():
        return path / MODEL
    checkpoint = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{path} holds neither {MODEL} nor a checkpoint")
    return checkpoint / MODEL


def load(path: str | Path, device: str | None = None) -> Model:
    """The model in a run folder, a checkpoint or a weights file, or a shipped one by its name, on
    ``device`` or the best there is.

    Raises FileNotFoundError or ValueError, saying why, where there is none.
    """
    runtime.prepare()
    tensors, recipe, spec = weights.read(find_weights(path))
    return from_parts(recipe, spec, tensors, runtime.pick_device(device))


def from_parts(
    recipe: Recipe, spec: weights.ImageSpec, tensors: dict[str, Tensor], device: torch.device
) -> Model:
    """A model from weights in memory."""
    network = build.make_network(recipe, spec)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the network of their recipe: {error}") from error
    network = runtime.place(network.eval().requires_grad_(False), device)
    return Model(recipe, spec, build.make_denoiser(recipe, network), device)


__all__ = ["Model", "Trajectory", "load"]
