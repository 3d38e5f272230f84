"""A trained model: what it samples, and with which options."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import torch
from jaxtyping import Int64
from torch import Tensor
from typing_extensions import Unpack

from .data import ImageSpec, check_labels
from .diffusion.denoiser import Denoiser, Guided, NetworkDenoiser
from .editing import Edit, Editor, Plan
from .editing.editor import Labels, Uint8Images
from .recipe.fields import RecipeError
from .recipe.rules import check_sampling
from .recipe.schema import Recipe, Sampling
from .recipe.toml import override
from .samplers import SamplingOptions, Step, Trajectory, denoise, make_grid, make_sampler
from .samplers.grids import is_list
from .utils import pixels
from .utils.cast_weights import with_weights_in
from .utils.measured_precision import choose_precision
from .utils.numbers import plain, whole_number
from .utils.precision import name_of
from .utils.progress import progress as progress_bar
from .utils.randomness import generator

MOST_IMAGES = 1_000_000


@dataclass(frozen=True)
class Model(Editor):
    """A network with the recipe that made it. Get one from :func:`mezzotint.loading.load`.

    Args:
        recipe: of the run that trained it.
        spec: shape and classes of its images.
        denoiser: the network with its schedule.
        device: where it computes.
    """

    recipe: Recipe
    spec: ImageSpec
    denoiser: NetworkDenoiser
    device: torch.device

    def sample(
        self,
        labels: Labels = None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int = 64,
        first: int = 0,
        edit: Edit | None = None,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Uint8Images:
        """Sample images, one for each label. Image k depends only on ``seed`` and k.

        Args:
            labels: a class for each image, in 0..classes - 1; None for images without a class.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once.
            first: number k of the first image, to sample a part of a larger set.
            edit: what is changed, as :meth:`inpainting` or :meth:`image_to_image` make it.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``; see :class:`SamplingOptions`.

        Returns:
            uint8 images (images, channels, height, width), on the CPU.

        Raises:
            ValueError: for labels out of range, and as RecipeError for options, before anything is computed.
        """
        steps = self.denoise(
            labels, count=count, seed=seed, batch=batch, first=first, edit=edit, **options
        )
        if progress:
            total = len(labels) if labels is not None else int(count or 0)
            per_batch = self._sampling(edit, options).steps + 1
            steps = progress_bar(steps, -(-total // int(batch)) * per_batch, f"{total} images")
        return torch.cat([pixels.to_uint8(step.x.cpu()) for step in steps if step.final])

    def trajectory(
        self,
        labels: Labels = None,
        *,
        count: int | None = None,
        seed: int = 0,
        first: int = 0,
        edit: Edit | None = None,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Trajectory:
        """Sample one image for each label, and return all steps; see :meth:`sample`.

        Args:
            labels: a class for each image, or None.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            first: number of the first image.
            edit: what is changed.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            the steps, on the CPU.
        """
        steps = self.denoise(labels, count=count, seed=seed, first=first, edit=edit, **options)
        if progress:
            steps = progress_bar(steps, self._sampling(edit, options).steps + 1, "denoising")
        return Trajectory.from_steps(steps)

    def denoise(
        self,
        labels: Labels,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int | None = None,
        first: int = 0,
        edit: Edit | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[Step]:
        """Sample images step by step; see :meth:`sample`.

        Args:
            labels: a class for each image, or None.
            count: number of images, if ``labels`` is None.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once; None for all.
            first: number of the first image.
            edit: what is changed.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            ``steps + 1`` steps for each batch in turn, on the model's device.
        """
        sampling = self._sampling(edit, options)
        labels = self.checked_labels(labels, count)
        total = len(labels) if labels is not None else int(count or 0)
        try:
            first = whole_number(first, "first", 0)
            batch = total if batch is None else whole_number(batch, "batch", 1)
            generator(seed)  # refuses an invalid seed here, not at the first step
            seed = int(seed)
            plan = self.plan(sampling)
            if edit is not None:
                edit.check_count(total)
                edit.plan(plan, slice(0, 1))  # refuses steps that there are not
        except ValueError as error:
            raise RecipeError(str(error)) from None
        parts = [slice(start, min(start + batch, total)) for start in range(0, total, batch)]

        def steps(rows: slice) -> Iterator[Step]:
            part = plan if edit is None else edit.plan(plan, rows)
            return denoise(
                part.clipped_denoiser,
                part.walk,
                part.grid,
                None if labels is None else labels[rows],
                range(first + rows.start, first + rows.stop),
                self.spec.shape,
                seed=seed,
                device=self.device,
            )

        return chain.from_iterable(map(steps, parts))

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

    def _bf16_denoiser(self) -> NetworkDenoiser:
        """The denoiser in bf16, with the network as it is now: it may have been changed."""
        network = with_weights_in(self.denoiser.network, torch.bfloat16)
        return replace(self.denoiser, network=network, precision=torch.bfloat16)

    @cached_property
    def _fastest(self) -> str:
        """The number type that ``precision = "auto"`` means: bf16 on CPUs where it is faster."""
        if self.device.type != "cpu":
            return "fp32"
        return name_of(choose_precision("auto", self.denoiser, self.spec, self.device, "sample"))

    def precision(self, sampling: Sampling) -> str:
        """The name of the number type that images are sampled in; "auto" is decided here."""
        return self._fastest if sampling.precision == "auto" else sampling.precision

    def plan(self, sampling: Sampling) -> Plan:
        """The parts of sampling, from checked options: guided denoiser, sampler and grid."""
        halved = self.precision(sampling) == "bf16"
        denoiser = self._bf16_denoiser() if halved else self.denoiser
        return Plan(
            Guided(denoiser, sampling.guidance, sampling.interval),
            make_sampler(sampling.sampler),
            make_grid(sampling.grid, self.denoiser.schedule, sampling.steps),
            sampling.clip,
        )

    def guided_denoiser(self, sampling: Sampling) -> Denoiser:
        """The denoiser with the guidance and clipping of ``sampling``."""
        return self.plan(sampling).clipped_denoiser

    def _sampling(self, edit: Edit | None, options: SamplingOptions) -> Sampling:
        """The options of sampling with an edit."""
        if edit is None:
            return self.sampling_options(**options)
        if edit.own_sampler and "sampler" in options:
            raise RecipeError(
                f"sampler = {options['sampler']!r}: this method has a sampler of its own; leave it out"
            )
        listed = is_list(options.get("grid", self.recipe.sampling.grid))
        if edit.default_steps is not None and "steps" not in options and not listed:
            most = self.recipe.diffusion.timesteps or edit.default_steps
            options = {**options, "steps": min(edit.default_steps, most)}
        return self.sampling_options(**options)

    def checked_labels(self, labels: Labels, count: int | None) -> Int64[Tensor, " images"] | None:
        """Check which images are asked for.

        Args:
            labels: a class for each image, or None.
            count: number of images, if ``labels`` is None.

        Returns:
            labels (images,), or None for images without a class.

        Raises:
            ValueError: for labels out of range, and as RecipeError for numbers of images.
        """
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
