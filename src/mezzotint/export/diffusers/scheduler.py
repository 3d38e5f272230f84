"""The noise schedule of a model of Mezzotint, in the words of diffusers."""

from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config


class MezzotintScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Stands for the model's own sampler, and describes its noise to the schedulers of diffusers.

    It does nothing but hold its config. Another scheduler that is made from it takes the sampler's place:

        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)                    # tables
        pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config)  # flow

    Args:
        num_train_timesteps: number T of time steps.
        trained_betas: the variance that each adds; None for a flow.
        prediction_type: what the pipeline tells the scheduler of the network's output.
        clip_sample: whether the scheduler clips; False, because the pipeline does.
        set_alpha_to_one: whether the last step ends at the clean image.
        timestep_spacing: how steps are spread over time.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        trained_betas: list[float] | None = None,
        prediction_type: str = "epsilon",
        clip_sample: bool = False,
        set_alpha_to_one: bool = True,
        timestep_spacing: str = "trailing",
    ) -> None:
        pass
