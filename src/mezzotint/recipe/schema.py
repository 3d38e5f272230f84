"""The recipe: everything that decides a run, as a tree of frozen dataclasses.

Each field carries its default, its range or its choices, and its explanation, from which flags, ``--help``,
TOML and error messages are made (``recipe/toml.py``). Nothing here imports torch: the choices are the names
of a registry.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from ..registry import GRIDS, NETS, OBJECTIVES, OPTIMIZERS, PARAMETRIZATIONS, SAMPLERS, SCHEDULES
from .fields import option
from .nets import Lean
from .objectives import Denoising
from .rules import check_data, check_diffusion, check_objective, check_sampling, check_training


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images to learn from."""

    name: str = option(
        "mnist",
        "data set (mnist, fashion-mnist, kmnist, emnist-letters, ..., cifar10, cifar100), or images of"
        " your own: folder:PATH (one folder per class, or none; or a .zip of it), npz:PATH, idx:PATH,"
        " celeba:PATH, hf:NAME (of the Hugging Face Hub)",
    )
    folder: str | None = option(
        None, "folder that already holds the data set's files, .gz or raw", flag="--data-dir"
    )
    size: int | None = option(
        None, "side in pixels to bring images to; as they are if not given", least=1
    )
    columns: int | None = option(
        None, "width in pixels, where images are not to be square", least=1
    )
    crop: int | None = option(None, "side of a square in the middle that is cut out first", least=1)
    fit: Literal["crop", "pad", "resize"] = option(
        "crop", "how to bring images to size: cut, put on the background, or stretched"
    )
    channels: int | None = option(
        None, "channels: 1 grey, 3 colour; as images are if not given", least=1, most=3
    )
    background: int = option(0, "grey level behind transparent pixels", least=0, most=255)
    broken: Literal["refuse", "skip"] = option("refuse", "what to do with pictures that are broken")

    def __post_init__(self) -> None:
        check_data(self)


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """What noise does to images, and what the network predicts."""

    schedule: str = option(
        "flow",
        "noise schedule; linear and cosine as published, original-...: the original's tables of T + 1",
        choices=SCHEDULES,
    )
    timesteps: int | None = option(
        None,
        "number T of discrete time steps; continuous time if not given (flow only)",
        least=1,
        most=50_000,
    )
    parametrization: str = option("flow", "what the network predicts", choices=PARAMETRIZATIONS)

    def __post_init__(self) -> None:
        check_diffusion(self)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the network is trained."""

    steps: int = option(3200, "optimizer steps", least=1)
    batch: int = option(64, "images per step, over all processes", least=1)
    balance: Literal["none", "classes"] = option(
        "none", "classes: show rare classes as often as common ones"
    )
    accumulate: int = option(1, "parts that a batch is computed in, to save memory", least=1)
    optimizer: str = option(
        "muon",
        "optimizer; muon: orthogonal updates for matrices, adamw for the rest",
        choices=OPTIMIZERS,
    )
    learning_rate: float = option(
        0.02, "peak learning rate: about 0.02 for muon, 0.003 for adamw", least=0
    )
    weight_decay: float | None = option(
        None, "decoupled weight decay of adamw and muon, 0.01 if not given; adam has none", least=0
    )
    warmup: int = option(200, "steps over which the learning rate rises from 0", least=0)
    decay: Literal["none", "linear", "cosine"] = option(
        "linear", "how the learning rate falls to 0 by the last step"
    )
    clip_gradient: float | None = option(
        None,
        "largest norm of the network's gradient; unlimited if not given; a critic's is never clipped",
        least=1e-6,
    )
    ema: float = option(
        0.995, "decay of the weights' moving average; 0 is off", least=0, most=0.999999
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto",
        "number type of matrix products and convolutions; auto: bf16 on GPUs that have it in hardware, and on"
        " CPUs that have it and where half a second of measuring shows it to be faster; else fp32",
    )
    draws: Literal["cpu", "device"] = option(
        "cpu",
        "where noise is drawn; cpu: the same everywhere; device: faster on GPUs, and other noise on another"
        " kind of device or number of processes",
    )
    sharding: Literal["none", "full"] = option(
        "none", "full: spread weights, gradients and moments over all processes (FSDP2)"
    )
    deterministic: bool = option(
        False,
        "the same bits in every run on a GPU too, at some cost in speed; on CPUs they always are",
    )
    compile: bool = option(False, "compile the network with torch.compile")
    log_every: int = option(50, "steps between entries of metrics.jsonl", least=1)
    sample_every: int = option(1000, "steps between sample grids; 0 for the last one only", least=0)
    save_every: int = option(1000, "steps between checkpoints; 0 for the last one only", least=0)
    keep: int = option(2, "checkpoints to keep", least=1)
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = option(
        "none", "where metrics go besides metrics.jsonl"
    )

    @property
    def decoupled_decay(self) -> float:
        """The weight decay of optimizers that have one."""
        return 0.01 if self.weight_decay is None else self.weight_decay


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How images are drawn from the trained model."""

    sampler: str = option(
        "dpm++",
        "sampler, with its options after a colon: ddim:eta=0.5 (noise that is put back, from 0 to 1),"
        " ddpm:variance=large; consistency is for distilled models",
        choices=SAMPLERS,
        with_options=True,
    )
    steps: int = option(
        12, "sampling steps; heun evaluates the network twice in each", least=1, most=10_000
    )
    grid: str = option(
        "trailing",
        "how the steps are spread over time, with its options after a colon: trailing:shift=3, karras:rho=7;"
        " or the times themselves, from 1 to 0, between commas",
        choices=GRIDS,
        with_options=True,
        or_list=True,
    )
    guidance: float = option(
        1.5, "classifier-free guidance: 0 ignores labels, 1 is off, more exaggerates them", least=0
    )
    interval: tuple[float, float] = option(
        (0.0, 1.0), "times between which guidance acts", least=0, most=1
    )
    clip: bool = option(True, "keep predicted images within the range of images")
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto",
        "number type of matrix products and convolutions; auto: bf16 on CPUs that have it in hardware and"
        " where half a second of measuring, once, shows it to be faster; else fp32",
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of the above, and a seed.

    Args:
        name: of the recipe, for folders and reports.
        data: the section ``[data]``.
        net: the section ``[net]``, of the class that its ``name`` chooses.
        diffusion: the section ``[diffusion]``.
        objective: the section ``[objective]``, of the class that its ``name`` chooses.
        training: the section ``[training]``.
        sampling: the section ``[sampling]``.

    Raises:
        RecipeError: if two sections contradict each other.
    """

    name: str = "digits"
    seed: int = option(0, "seed of everything random in training", least=0, most=2**63 - 1)
    data: Data = Data()
    net: Any = field(default=Lean(), metadata={"kinds": NETS})
    diffusion: Diffusion = Diffusion()
    objective: Any = field(default=Denoising(), metadata={"kinds": OBJECTIVES})
    training: Training = Training()
    sampling: Sampling = Sampling()

    @property
    def initial_model(self) -> str | None:
        """The trained model that training begins from, if it begins from one."""
        name: str | None = self.objective.initial_model
        return name

    @property
    def few_step(self) -> bool:
        """Whether the model jumps to the end of a path, instead of walking there."""
        return bool(self.objective.few_step)

    def __post_init__(self) -> None:
        check_objective(self.objective)
        check_training(self.training, self.objective)
        check_sampling(self.sampling, self.diffusion.timesteps, self.few_step)
