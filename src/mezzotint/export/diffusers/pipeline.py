"""A pipeline of diffusers that draws with a class-conditional model of Mezzotint.

    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline="pipeline", trust_remote_code=True)
    pipe(class_labels=[7, 3], seed=0).images[0].save("7.png")

The pixels are those of ``mezzotint sample`` with the same labels, options and seed.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, ModelMixin
from torch import Tensor

from ...data.images import check_labels
from ...diffusion.denoiser import Denoiser
from ...diffusion.parametrizations import eps, flow, target, v, x0
from ...diffusion.schedules import Schedule, Table
from ...samplers.grids import Grid
from ...samplers.noise import ImageNoise
from ...samplers.step import Sampler
from ...utils.numbers import whole_number
from ...utils.pixels import to_uint8
from .sampling import Settings, make_denoiser, make_grid, make_sampler, make_schedule

PREDICTION_TYPES = {"epsilon": eps, "sample": x0, "v_prediction": v}
"""What schedulers of diffusers call the parametrizations."""


class MezzotintPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Draws images of classes.

    Args:
        unet: the network.
        scheduler: MezzotintScheduler for the model's own sampler, or a scheduler of diffusers.
        recipe: the recipe of the model, as nested dictionaries.
        images: "size" (height, width), "channels" and the names of the "classes" of its images.
        few_step: whether the model jumps to the end of a path, instead of walking there.
    """

    def __init__(
        self,
        unet: ModelMixin,
        scheduler: Any,
        recipe: dict | None = None,  # type: ignore[type-arg]
        images: dict | None = None,  # type: ignore[type-arg]
        few_step: bool = False,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(recipe=recipe, images=images, few_step=few_step)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: Sequence[int] | Tensor | int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        sampler: str | None = None,
        grid: str | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Draw images, one for each label. Image k depends only on the seed and k.

        Args:
            class_labels: a class for each image, in 0..classes - 1; None for images without a class.
            num_inference_steps: sampling steps; the recipe's if None.
            guidance_scale: classifier-free guidance, 1 for none; the recipe's if None.
            batch_size: number of images, if ``class_labels`` is None; 1 if None.
            seed: integer from 0 to 2**63 - 1.
            generator: draws the seed, if that is None; torch's global one if None. Or a list with one for
                each image, which draw the noise themselves.
            sampler: name and options of the model's own sampler; the recipe's if None.
            grid: name and options of the time grid, or its times; the recipe's if None.
            output_type: "pil"; "np", (images, height, width, channels), or "pt", (images, channels, height,
                width), both in 0..1 and equal to the bytes of "pil" divided by 255; "latent", a tensor in
                -1..1 before it is rounded.
            return_dict: whether to return an object, and not a tuple.

        Returns:
            ImagePipelineOutput with ``images``; or a tuple of them.

        Raises:
            ValueError: for arguments out of range, before anything is computed.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"output_type = {output_type!r}: it is one of pil, np, pt, latent")
        changes: dict[str, Any] = {"steps": num_inference_steps, "guidance": guidance_scale}
        changes |= {"sampler": sampler, "grid": grid}
        settings = Settings.of(self.config.recipe, self.config.few_step, changes)
        labels = self._labels(class_labels, batch_size, guidance_scale)
        noise = self._noise((batch_size or 1) if labels is None else len(labels), seed, generator)
        schedule = make_schedule(self.config.recipe)
        walk = make_sampler(settings)
        times = make_grid(settings, schedule)
        swapped = hasattr(self.scheduler, "step")
        if swapped:
            self._check_scheduler(schedule, sampler)
        network = self.unet.for_sampling()
        denoiser = make_denoiser(network, schedule, self.config.recipe, settings)
        labels = None if labels is None else labels.to(noise.device)
        if swapped:
            x = self._walk(denoiser, times, labels, noise)
        else:
            x = self._sample(walk, denoiser, times, labels, noise)
        images = self._output(x.cpu(), output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _labels(
        self,
        labels: Sequence[int] | Tensor | int | None,
        batch_size: int | None,
        guidance: float | None,
    ) -> Tensor | None:
        """The labels as a tensor, checked."""
        classes = self.config.images["classes"]
        if not classes and guidance not in (None, 1):
            raise ValueError(
                f"guidance_scale = {guidance}: this model has no classes to be guided to"
            )
        if labels is None:
            whole_number(1 if batch_size is None else batch_size, "batch_size", 1)
            return None
        if not classes:
            raise ValueError("this model knows no classes: give batch_size instead of class_labels")
        if batch_size is not None:
            raise ValueError("class_labels has one class per image; batch_size goes without it")
        listed_labels = [labels] if isinstance(labels, int) else labels
        if len(listed_labels) == 0:
            raise ValueError("class_labels is empty: name a class for each image")
        return check_labels(listed_labels, classes)

    def _noise(
        self,
        count: int,
        seed: int | None,
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> ImageNoise:
        """The noise of each image."""
        if seed is not None and generator is not None:
            raise ValueError("seed and generator: give one of them")
        generators = generator if isinstance(generator, list) else None
        if generators is not None and len(generators) != count:
            raise ValueError(f"{len(generators)} generators do not fit {count} images")
        if seed is None and not isinstance(generator, list):
            device = "cpu" if generator is None else generator.device
            seed = int(torch.randint(2**63 - 1, (), generator=generator, device=device).item())
        images = self.config.images
        shape = (images["channels"], *images["size"])
        noise = ImageNoise(seed or 0, range(count), shape, self.unet.device)
        if generators is not None:
            noise.generators = generators
        return noise

    def _sample(
        self,
        sampler: Sampler,
        denoiser: Denoiser,
        times: Grid,
        labels: Tensor | None,
        noise: ImageNoise,
    ) -> Tensor:
        """Draw with the model's own sampler."""
        with self.progress_bar(total=len(times) - 1) as bar:
            for step in sampler(denoiser, noise(), times, labels, noise):
                x = step.x
                bar.update(0 if step.final else 1)
        return x

    def _walk(
        self, denoiser: Denoiser, times: Grid, labels: Tensor | None, noise: ImageNoise
    ) -> Tensor:
        """Draw with a scheduler of diffusers: on the given times for a flow, on its own for a table."""
        scheduler = self.scheduler
        table = isinstance(denoiser.schedule, Table)
        x = noise() * getattr(scheduler, "init_noise_sigma", 1.0)
        if not table and "sigmas" in inspect.signature(scheduler.set_timesteps).parameters:
            scheduler.set_timesteps(sigmas=times[:-1].tolist(), device=x.device)
        else:
            scheduler.set_timesteps(len(times) - 1, device=x.device)
        random = "generator" in inspect.signature(scheduler.step).parameters
        options = {"generator": noise.generators} if random else {}
        for timestep in self.progress_bar(scheduler.timesteps):
            # Tables of diffusers begin with index 0, where ours have step 1.
            t = (timestep.double().cpu() + int(table)) / (denoiser.schedule.timesteps or 1000)
            x_t = scheduler.scale_model_input(x, timestep) if table else x
            prediction = denoiser(x_t, t, labels)
            parametrization = PREDICTION_TYPES[scheduler.config.prediction_type] if table else flow
            level = denoiser.schedule.level(t)
            output = target(parametrization, level, prediction.x0, prediction.eps)
            x = scheduler.step(output, timestep, x, **options).prev_sample
        return x

    def _check_scheduler(self, schedule: Schedule, sampler: str | None) -> None:
        """Refuse a scheduler that is not for this model."""
        name = type(self.scheduler).__name__
        if sampler is not None:
            raise ValueError(
                f"sampler = {sampler!r}: {name} has taken the place of the model's sampler"
            )
        if self.config.few_step:
            raise ValueError(
                f"{name} walks along a path, and this model jumps to its end, as only its own sampler does:"
                " load the pipeline again, and leave its scheduler"
            )
        if not isinstance(schedule, Table):
            if not name.startswith("FlowMatch"):
                raise ValueError(
                    f"{name} is not for flow matching, as this model is: use a scheduler such as"
                    " FlowMatchEulerDiscreteScheduler"
                )
            return
        theirs = getattr(self.scheduler, "alphas_cumprod", None)
        if theirs is None:
            raise ValueError(
                f"{name} has no table of noise levels, as this model has: use a scheduler such as"
                " DDIMScheduler"
            )
        levels = schedule.alphas_bar
        if len(theirs) != len(levels) or (theirs.cpu() - levels).abs().max() > 1e-3:
            raise ValueError(
                f"{name} has other noise levels than this model was trained with: make it by"
                f" {name}.from_config(config), where config is that of the scheduler that came with the model"
            )
        kind = self.scheduler.config.prediction_type
        if kind not in PREDICTION_TYPES:
            raise ValueError(
                f"{name} has prediction_type = {kind!r}: it is one of {', '.join(PREDICTION_TYPES)}"
            )

    def _output(self, x: Tensor, output_type: str) -> Any:
        """Images in the form that was asked for."""
        if output_type == "latent":
            return x
        images = to_uint8(x).float() / 255
        if output_type == "pt":
            return images
        array = images.permute(0, 2, 3, 1).numpy()
        return array if output_type == "np" else self.numpy_to_pil(array)
