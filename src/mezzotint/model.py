"""A trained model: samples, trajectories, and the options of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from typing_extensions import Unpack

from .data import ImageSpec, check_labels
from .diffusion.denoiser import Clipped, Denoiser, Guided, NetworkDenoiser
from .recipe.fields import RecipeError
from .recipe.rules import check_sampling
from .recipe.schema import Recipe, Sampling
from .recipe.toml import override
from .samplers import Step, Trajectory, denoise, make_grid, make_sampler
from .utils import pixels
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
    """A network with the recipe that made it. Get one from :func:`mezzotint.load`."""

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


__all__ = ["Model", "SamplingOptions", "Trajectory"]
