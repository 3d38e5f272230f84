"""A trained model, and what it takes to load it and to sample from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from typing_extensions import Unpack

from . import weights
from .build import trained_denoiser as trained_denoiser
from .data import ImageSpec, check_labels
from .diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from .nets.blocks import fold_standardization
from .recipe.fields import RecipeError
from .recipe.rules import check_sampling
from .recipe.schema import Recipe, Sampling
from .recipe.toml import nearest, override
from .samplers import Step, Trajectory, denoise, make_grid, make_sampler
from .training.checkpoint import MODEL, latest_checkpoint
from .utils import pixels
from .utils.assets import shipped
from .utils.device import pick_device, prepare
from .utils.numbers import plain, whole_number
from .utils.progress import progress as progress_bar
from .utils.randomness import generator

MOST_IMAGES = 1_000_000


class SamplingOptions(TypedDict, total=False):
    """Options that replace those of the recipe's ``[sampling]``; see ``mezzotint sample --help``."""

    sampler: str
    steps: int
    grid: str
    guidance: float
    interval: tuple[float, float]
    clip: bool


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
        """Sample images, one for each label. Image k depends only on ``seed`` and k.

        Args:
            labels: a class for each image, in 0..classes - 1; None for images without a class.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once.
            first: number k of the first image, to sample a part of a larger set.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``; see :class:`SamplingOptions`.

        Returns:
            uint8 images (images, channels, height, width), on the CPU.

        Raises:
            RecipeError: for labels and options out of range, before anything is computed.
        """
        steps = self.denoise(labels, count=count, seed=seed, batch=batch, first=first, **options)
        if progress:
            total = len(labels) if labels is not None else int(count or 0)
            per_batch = self.sampling_options(**options).steps + 1
            steps = progress_bar(steps, -(-total // int(batch)) * per_batch, f"{total} images")
        return torch.cat([pixels.to_uint8(step.x.cpu()) for step in steps if step.final])

    def trajectory(
        self,
        labels: Sequence[int] | Int64[Tensor, " images"] | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        first: int = 0,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Trajectory:
        """Sample one image for each label, and return all steps; see :meth:`sample`.

        Args:
            labels: a class for each image, or None.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            first: number of the first image.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            the steps, on the CPU.
        """
        steps = self.denoise(labels, count=count, seed=seed, first=first, **options)
        if progress:
            total = self.sampling_options(**options).steps + 1
            steps = progress_bar(steps, total, "denoising")
        return Trajectory.from_steps(steps)

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
        """Sample images step by step; see :meth:`sample`.

        Args:
            labels: a class for each image, or None.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once; None for all.
            first: number of the first image.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            ``steps + 1`` steps for each batch in turn, on the model's device.
        """
        sampling = self.sampling_options(**options)
        labels = self._labels(labels, count)
        total = len(labels) if labels is not None else int(count or 0)
        try:
            first = whole_number(first, "first", 0)
            batch = total if batch is None else whole_number(batch, "batch", 1)
            generator(seed)  # refuses an invalid seed here, not at the first step
            seed = int(seed)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        grid = make_grid(sampling.grid, self.denoiser.schedule, sampling.steps)
        return denoise(
            self.guided_denoiser(sampling),
            make_sampler(sampling.sampler),
            grid,
            labels,
            range(first, first + total),
            self.spec.shape,
            seed=seed,
            batch=batch,
            device=self.device,
        )

    def sampling_options(self, **options: Unpack[SamplingOptions]) -> Sampling:
        """The recipe's ``[sampling]`` with ``options``. Raises RecipeError if these are out of range."""
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
        """The denoiser with the guidance and clipping of ``sampling``."""
        denoiser = Guided(self.denoiser, sampling.guidance, sampling.interval)
        return Clipped(denoiser) if sampling.clip else denoiser

    def _labels(
        self, labels: Sequence[int] | Tensor | None, count: int | None
    ) -> Int64[Tensor, " images"] | None:
        if labels is not None and count is not None:
            raise RecipeError("labels is a list with one class per image; count goes without it")
        if labels is not None and (not hasattr(labels, "__len__") or plain(labels) is not labels):
            raise RecipeError(f"labels is a list with one class per image, such as [{labels}]")
        number = count if labels is None else len(labels)
        try:
            whole_number(number, "count", 1, MOST_IMAGES)
        except ValueError:
            raise RecipeError(
                f"the number of images must be from 1 to {MOST_IMAGES}, not {number!r}"
            ) from None
        if labels is None:
            return None
        if not self.spec.classes:
            raise RecipeError("this model knows no classes: give count instead of labels")
        return check_labels(labels, self.spec.classes)


def find_weights(path: str | Path) -> Path:
    """Find the weights file of a model.

    Args:
        path: weights file, run folder, checkpoint, or, if no such file exists, name of a shipped model.

    Raises:
        FileNotFoundError: if there is none.
    """
    name = str(path)
    path = Path(path).expanduser()
    models = shipped("models")
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(9)
        if name in models and begin[8:] != b"{":  # not the header of a weights file
            return models[name]
        return path
    if name in models and not is_model(path):  # a folder of that name may hold anything else
        return models[name]
    if not path.exists():
        raise FileNotFoundError(
            f"there is no model at {path}: give a run folder, a weights file, or a shipped model:"
            f" {', '.join(models)}.{nearest(name, models)}"
        )
    if (path / MODEL).is_file():
        return path / MODEL
    checkpoint = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{path} holds neither {MODEL} nor a checkpoint")
    return checkpoint / MODEL


def is_model(folder: Path) -> bool:
    """Whether a folder is a run, finished or not, or a checkpoint."""
    return any((folder / name).exists() for name in (MODEL, "checkpoints"))


def load(path: str | Path, device: str | None = None) -> Model:
    """Load a model.

    Args:
        path: run folder, checkpoint, weights file, or name of a shipped model.
        device: such as "cpu" or "cuda"; None for the best one of the machine.

    Returns:
        the model, on the device.

    Raises:
        FileNotFoundError: if there is no model.
        ValueError: if it is damaged.
    """
    prepare()
    tensors, recipe, spec = weights.read(find_weights(path))
    return from_parts(recipe, spec, tensors, pick_device(device))


def from_parts(
    recipe: Recipe, spec: ImageSpec, tensors: Mapping[str, Tensor], device: torch.device
) -> Model:
    """Make a model from weights in memory, which are copied.

    Runs during training and :func:`load` both use it, so that equal weights give equal samples.

    Args:
        recipe: recipe of the model.
        spec: shape and classes of the images.
        tensors: weights by name.
        device: device of the model.

    Returns:
        the model.
    """
    denoiser = trained_denoiser(recipe, spec, tensors, device)
    fold_standardization(denoiser.network)
    return Model(recipe, spec, denoiser, device)


__all__ = ["Model", "SamplingOptions", "Trajectory", "load"]
