"""The methods of a model that edit images."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from typing_extensions import Unpack

from ..data.images import ImageSpec
from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe, Sampling
from ..samplers import ImageNoise, SamplingOptions, Step
from ..utils import pixels
from ..utils.numbers import plain, whole_number
from ..utils.randomness import generator
from .base import Edit, Plan
from .image_to_image import ImageToImage
from .inpainting import Inpainting, make_method
from .known import as_images, as_mask
from .morphing import morph

Labels = Sequence[int] | Int64[Tensor, " images"] | None
Uint8Images = UInt8[Tensor, "images channels height width"]

MOST_FRAMES = 1000


class Editor(ABC):
    """What a model needs to edit images, and the methods that it gets by that."""

    recipe: Recipe
    spec: ImageSpec
    device: torch.device

    @abstractmethod
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
        """Sample images."""

    @abstractmethod
    def plan(self, sampling: Sampling) -> Plan:
        """The parts of sampling."""

    @abstractmethod
    def sampling_options(self, **options: Unpack[SamplingOptions]) -> Sampling:
        """The recipe's ``[sampling]`` with ``options``."""

    @abstractmethod
    def checked_labels(self, labels: Labels, count: int | None) -> Int64[Tensor, " images"] | None:
        """Check which images are asked for."""

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        labels: Labels = None,
        *,
        method: str | None = None,
        count: int | None = None,
        seed: int = 0,
        batch: int = 64,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Uint8Images:
        """Repaint parts of an image; see :meth:`inpainting` and :meth:`sample`.

        Args:
            image: uint8 image (channels, height, width), or one for each result.
            mask: (height, width), or one for each result (n, 1, height, width): True, or white, where to
                repaint. The other pixels come back as they are; if all is repainted, this is :meth:`sample`.
            labels: a class for each result, or None.
            method: name and options of the method.
            count: number of results, if ``labels`` is None; one for each image if not given.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            uint8 images (results, channels, height, width), on the CPU.

        Raises:
            RecipeError: for what does not go with the model, before anything is computed.
        """
        edit = self.inpainting(image, mask, method)
        count = max(edit.counts.values()) if labels is None and count is None else count
        return self.sample(
            labels,
            count=count,
            seed=seed,
            batch=batch,
            edit=edit,
            progress=progress,
            **options,
        )

    def edit(
        self,
        image: Tensor,
        strength: float,
        labels: Labels = None,
        *,
        count: int | None = None,
        seed: int = 0,
        batch: int = 64,
        progress: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Uint8Images:
        """Turn an image into another; see :meth:`image_to_image` and :meth:`sample`.

        Args:
            image: uint8 image (channels, height, width), or one for each result.
            strength: how much noise is added first: 0 gives the image back, 1 is :meth:`sample`.
            labels: a class for each result, or None.
            count: number of results, if ``labels`` is None; one for each image if not given.
            seed: integer from 0 to 2**63 - 1.
            batch: number of images to compute at once.
            progress: whether to show a progress bar.
            options: differences from the recipe's ``[sampling]``; all steps are spent between the noisy
                image and the result.

        Returns:
            uint8 images (results, channels, height, width), on the CPU.

        Raises:
            RecipeError: for what does not go with the model, before anything is computed.
        """
        edit = self.image_to_image(image, strength)
        count = max(edit.counts.values()) if labels is None and count is None else count
        return self.sample(
            labels,
            count=count,
            seed=seed,
            batch=batch,
            edit=edit,
            progress=progress,
            **options,
        )

    def morph(
        self,
        start: int | None,
        end: int | None,
        *,
        frames: int = 25,
        seed: int = 0,
        end_seed: int | None = None,
        batch: int = 64,
        **options: Unpack[SamplingOptions],
    ) -> Uint8Images:
        """Sample a row of images from one to another (:mod:`mezzotint.editing.morphing`).

        Args:
            start: class of the first image; None for images without a class.
            end: class of the last image; None if ``start`` is.
            frames: number of images, 2 to 1000.
            seed: seed of the first image, which is that of ``sample([start], seed=seed)``.
            end_seed: seed of the last image, which is that of ``sample([end], seed=end_seed)``; ``seed``
                if None, so that only the class changes.
            batch: number of images to compute at once.
            options: differences from the recipe's ``[sampling]``.

        Returns:
            uint8 images (frames, channels, height, width), on the CPU.

        Raises:
            RecipeError: for what is out of range, and if both ends are the same.
        """
        steps = self.morph_steps(
            start, end, frames=frames, seed=seed, end_seed=end_seed, batch=batch, **options
        )
        return torch.cat([pixels.to_uint8(step.x.cpu()) for step in steps if step.final])

    def morph_steps(
        self,
        start: int | None,
        end: int | None,
        *,
        frames: int = 25,
        seed: int = 0,
        end_seed: int | None = None,
        batch: int = 64,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[Step]:
        """Sample a row of images step by step; arguments and errors are those of :meth:`morph`.

        Returns:
            ``steps + 1`` steps for each batch in turn, on the model's device.
        """
        sampling = self.sampling_options(**options)
        if (start is None) != (end is None):
            raise RecipeError(f"start = {start!r}, end = {end!r}: give two classes, or none")
        labels = None if start is None or end is None else [start, end]
        checked = self.checked_labels(labels, 2 if labels is None else None)
        end_seed = seed if end_seed is None else end_seed
        try:
            frames = whole_number(frames, "frames", 2, MOST_FRAMES)
            batch = whole_number(batch, "batch", 1)
            generator(seed)
            generator(end_seed)
        except ValueError as error:
            raise RecipeError(str(error)) from None
        if start == end and seed == end_seed:
            raise RecipeError("both ends are the same image: choose another class or another seed")
        plan = self.plan(sampling)
        noises = [
            partial(ImageNoise, int(one), range(1), self.spec.shape, self.device)
            for one in ((seed,) if seed == end_seed else (seed, end_seed))
        ]
        weights = torch.linspace(0, 1, frames, dtype=torch.float64).split(batch)
        return chain.from_iterable(
            morph(plan, noises, checked, part, len(self.spec.classes)) for part in weights
        )

    def inpainting(self, image: Tensor, mask: Tensor, method: str | None = None) -> Inpainting:
        """Inpainting as an edit, for :meth:`sample`, :meth:`trajectory` and :meth:`denoise`.

        Args:
            image: uint8 image (channels, height, width), or one for each result.
            mask: True, or white, where to repaint; see :meth:`inpaint`.
            method: name and options of the method; None for what measured best for this kind of model.

        Raises:
            RecipeError: for images, masks and methods that do not go with the model.
        """
        try:
            return Inpainting(
                as_images(image, self.spec.shape),
                as_mask(mask, self.spec.shape),
                make_method(method, self.recipe.few_step),
            )
        except ValueError as error:
            raise RecipeError(str(error)) from None

    def image_to_image(self, image: Tensor, strength: float) -> ImageToImage:
        """Image to image as an edit, for :meth:`sample`, :meth:`trajectory` and :meth:`denoise`.

        Args:
            image: uint8 image (channels, height, width), or one for each result.
            strength: time, from 0 to 1, up to which noise is added.

        Raises:
            RecipeError: for images that do not go with the model, or a strength out of range.
        """
        strength = plain(strength)
        if (
            isinstance(strength, bool)
            or not isinstance(strength, int | float)
            or not 0 <= strength <= 1
        ):
            raise RecipeError(f"strength = {strength!r}: it must be a number from 0 to 1")
        try:
            return ImageToImage(as_images(image, self.spec.shape), float(strength))
        except ValueError as error:
            raise RecipeError(str(error)) from None
