"""A trained model, ready to generate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from typing_extensions import Unpack

from . import build, weights
from .data import ImageSpec, check_labels
from .diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from .nets.blocks import fold_standardization
from .recipe.fields import RecipeError
from .recipe.rules import check_sampling
from .recipe.schema import Recipe, Sampling
from .recipe.toml import nearest, override
from .samplers import Step, denoise, make_grid, make_sampler
from .training.checkpoint import MODEL, latest_checkpoint
from .utils import pixels
from .utils.assets import shipped
from .utils.device import pick_device, place, prepare
from .utils.progress import progress as progress_bar
from .utils.randomness import generator

MOST_IMAGES = 1_000_000


class SamplingOptions(TypedDict, total=False):
    """What may differ from the recipe's ``[sampling]``; see ``mezzotint sample --help``."""

    sampler: str
    steps: int
    grid: str
    guidance: float
    interval: tuple[float, float]
    clip: bool


@dataclass(frozen=True)
class Trajectory:
    """A whole denoising: ``x`` and the clean image ``x0`` seen in it, both uint8
    (steps + 1, images, channels, height, width), at the falling times ``t``. The last ``x`` is the
    image."""

    x: UInt8[Tensor, "times images channels height width"]
    x0: UInt8[Tensor, "times images channels height width"]
    t: tuple[float, ...]

    @classmethod
    def from_steps(cls, steps: Iterable[Step]) -> "Trajectory":
        """A trajectory from the steps of one batch."""
        listed = list(steps)
        return cls(
            x=torch.stack([pixels.to_uint8(step.x.cpu()) for step in listed]),
            x0=torch.stack([pixels.to_uint8(step.x0.cpu()) for step in listed]),
            t=tuple(step.t for step in listed),
        )


@dataclass(frozen=True)
class Model:
    """A network with the recipe that made it. Get one from :func:`load`."""

    recipe: Recipe
    spec: ImageSpec
    denoiser: NetworkDenoiser
    device: torch.device

    def sample(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int = 64,
        first: int = 0,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> UInt8[Tensor, "images channels height width"]:
        """Images, one for each label. Image k depends on ``seed`` and k alone.

        Args:
            labels: a class for each image, in 0..classes - 1.
            count: how many, where ``labels`` is None: of a model without classes, or of no class.
            seed: whole number from 0 to 2**63 - 1.
            batch: how many to compute at once.
            first: number of the first image, where these are a part of more.
            progress: whether to show a progress bar.
            options: what differs from the recipe's ``[sampling]``; see :class:`SamplingOptions`.

        Returns:
            uint8 images (images, channels, height, width), on the CPU.

        Raises:
            RecipeError: for labels that are no classes and options out of range, before any computing.
        """
        steps = self.denoise(labels, count=count, seed=seed, batch=batch, first=first, **options)
        if progress:
            total = len(labels) if labels is not None else int(count or 0)
            per_batch = self.sampling_options(**options).steps + 1
            steps = progress_bar(steps, -(-total // batch) * per_batch, f"{total} images")
        return torch.cat([pixels.to_uint8(step.x.cpu()) for step in steps if step.final])

    def trajectory(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Trajectory:
        """The whole denoising of one image for each label; arguments as for :meth:`sample`."""
        iterator = self.denoise(labels, count=count, seed=seed, batch=None, **options)
        if progress:
            total = self.sampling_options(**options).steps + 1
            iterator = progress_bar(iterator, total, "denoising")
        return Trajectory.from_steps(iterator)

    def denoise(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int | None = None,
        first: int = 0,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[Step]:
        """The denoising, step by step: ``steps + 1`` of them for each batch in turn, on the model's device.

        Arguments as for :meth:`sample`; a ``batch`` of None takes all images at once.
        """
        sampling = self.sampling_options(**options)
        checked = self._labels(labels, count)
        total = len(checked) if checked is not None else int(count or 0)
        if batch is not None and (
            isinstance(batch, bool) or not isinstance(batch, int) or batch < 1
        ):
            raise RecipeError(f"batch = {batch!r}: it must be a whole number of at least 1")
        generator(seed)  # an impossible seed is refused here, not at the first step
        grid = make_grid(sampling.grid, self.denoiser.schedule, sampling.steps)
        return denoise(
            self.guided_denoiser(sampling),
            make_sampler(sampling.sampler),
            grid,
            checked,
            range(first, first + total),
            self.spec.shape,
            seed=seed,
            batch=batch,
            device=self.device,
        )

    def sampling_options(self, **options: Unpack[SamplingOptions]) -> Sampling:
        """The recipe's way of sampling with ``options``, checked."""
        sampling = override(self.recipe.sampling, options)
        check_sampling(sampling, self.recipe.diffusion.timesteps, self.recipe.few_step)
        try:
            make_sampler(sampling.sampler)
            make_grid(sampling.grid, self.denoiser.schedule, sampling.steps)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        if not self.spec.classes and options.get("guidance", 1) != 1:
            raise RecipeError(
                f"guidance = {sampling.guidance}: this model has no classes to be guided to"
            )
        return sampling

    def guided_denoiser(self, sampling: Sampling) -> Denoiser:
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
            f" {', '.join(known)}.{nearest(str(path), known)}"
        )
    if (path / MODEL).is_file():
        return path / MODEL
    checkpoint = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{path} holds neither {MODEL} nor a checkpoint")
    return checkpoint / MODEL


def is_model(folder: Path) -> bool:
    """Whether a folder is a run or a checkpoint, finished or not."""
    return any((folder / name).exists() for name in (MODEL, "checkpoints"))


def load(path: str | Path, device: str | None = None) -> Model:
    """The model in a run folder, a checkpoint or a weights file, or a shipped one by its name, on
    ``device`` or the best there is.

    Raises FileNotFoundError or ValueError, saying why, where there is none.
    """
    prepare()
    tensors, recipe, spec = weights.read(find_weights(path))
    return from_parts(recipe, spec, tensors, pick_device(device))


def from_parts(
    recipe: Recipe, spec: ImageSpec, tensors: Mapping[str, Tensor], device: torch.device
) -> Model:
    """A model from weights in memory, which it copies. Every model is made here: what a run draws while it
    trains is what its file draws."""
    denoiser = trained_denoiser(recipe, spec, tensors, device)
    fold_standardization(denoiser.network)
    return Model(recipe, spec, denoiser, device)


def trained_denoiser(
    recipe: Recipe, spec: ImageSpec, tensors: Mapping[str, Tensor], device: torch.device
) -> NetworkDenoiser:
    """A denoiser from weights in memory, as training knows it: to follow, or to begin from.

    Raises:
        ValueError: where the weights do not fit the recipe's network.
    """
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and overwritten
        network = build.make_network(recipe.net, spec)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the network of their recipe: {error}") from error
    network = place(network.eval().requires_grad_(False), device)
    return build.make_denoiser(recipe.diffusion, network)


__all__ = ["Model", "SamplingOptions", "Trajectory", "load"]
