"""The section ``[objective]`` of a recipe: one class for each objective, selected by ``name``."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..registry import LOSSES, TIMES, WEIGHTINGS
from .fields import option

TIMES_HELP = (
    "distribution of the training times; logit-normal:shift=2 has more times with much noise"
)


@dataclass(frozen=True, kw_only=True)
class ObjectiveSection:
    """The base class of the sections.

    Attributes:
        objective: ``module:name`` of the function that makes the objective from the section.
        few_step: whether the model jumps to the end of a path.
        initial_key: the key that names the trained model to begin from, if any.
        optimizer: the only optimizer that works with it, if there is only one.
    """

    objective: ClassVar[str]
    few_step: ClassVar[bool] = False
    initial_key: ClassVar[str | None] = None
    optimizer: ClassVar[str | None] = None

    @property
    def initial_model(self) -> str | None:
        """The trained model to begin from, if there is one."""
        return getattr(self, self.initial_key) if self.initial_key else None


@dataclass(frozen=True, kw_only=True)
class Denoising(ObjectiveSection):
    """The ordinary objective: predict the image from the noisy image."""

    objective: ClassVar[str] = "mezzotint.objectives.denoising:from_section"
    few_step: ClassVar[bool] = False

    name: str = "denoising"
    loss: str = option("l2", "elementwise loss", choices=LOSSES)
    weighting: str = option(
        "constant",
        "weight of the noise levels: equal for the network's own target, or min-SNR",
        choices=WEIGHTINGS,
    )
    times: str = option("logit-normal", TIMES_HELP, choices=TIMES, with_options=True)
    label_dropout: float = option(
        0.1,
        "share of labels dropped in training, image by image; guidance needs some",
        least=0,
        most=1,
    )
    curriculum_start: float = option(
        1.0,
        "progressive training: share of the times in use at first; 1 is off",
        least=1e-3,
        most=1,
    )
    curriculum_until: float = option(
        0.5,
        "progressive training: share of the run by which all times are in use",
        least=1e-3,
        most=1,
    )


@dataclass(frozen=True, kw_only=True)
class Distillation(ObjectiveSection):
    """Distillation of a trained model into a few-step model, used by `mezzotint distill`."""

    objective: ClassVar[str] = "mezzotint.objectives.consistency:from_section"
    few_step: ClassVar[bool] = True
    initial_key: ClassVar[str | None] = "teacher"

    name: str = "distillation"
    teacher: str = option("", "trained model to begin from and to follow")
    sha256: str | None = option(
        None, "checksum (SHA-256) of the teacher's weights, checked if given"
    )
    guidance: float = option(
        1.5, "guidance of the teacher, which the student does without", least=0
    )
    interval: tuple[float, float] = option(
        (0.0, 1.0), "times between which the teacher's guidance acts", least=0, most=1
    )
    solver: Literal["ddim", "heun"] = option(
        "ddim",
        "how the teacher steps along its path; heun is more exact, and asks it twice but in the first stage",
    )
    stages: int = option(
        6, "stages of training; the times compared draw nearer at each", least=1, most=20
    )
    times: str = option("stratified", TIMES_HELP, choices=TIMES, with_options=True)


@dataclass(frozen=True, kw_only=True)
class Refinement(ObjectiveSection):
    """Direct discriminative optimization, used by `mezzotint refine`.

    Compared with a trained model, real images become more likely, and samples of that model less likely.
    """

    objective: ClassVar[str] = "mezzotint.objectives.ddo:from_section"
    few_step: ClassVar[bool] = False
    initial_key: ClassVar[str | None] = "reference"

    name: str = "refinement"
    reference: str = option("", "trained model to begin from and to surpass")
    sha256: str | None = option(
        None, "checksum (SHA-256) of the reference's weights, checked if given"
    )
    images: int = option(8000, "images drawn from the reference before training begins", least=1)
    beta: float = option(
        0.1, "weight of the squared error, summed over pixels, inside the sigmoid", least=1e-6
    )
    alpha: float = option(1.0, "weight of the reference's images against the real ones", least=0)
    wrong_labels: float = option(
        0.125,
        "share of the reference's images that are replaced by real ones under a wrong label",
        least=0,
        most=1,
    )
    weighting: str = option(
        "constant",
        "weight of the noise levels: equal for the network's own target, or min-SNR",
        choices=WEIGHTINGS,
    )
    times: str = option("logit-normal", TIMES_HELP, choices=TIMES, with_options=True)
    label_dropout: float = option(
        0.1, "share of labels dropped in training, image by image", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class AdversarialRefinement(ObjectiveSection):
    """Refinement of a few-step model with a critic that is trained with it, used by `mezzotint refine`."""

    objective: ClassVar[str] = "mezzotint.objectives.adversarial:from_section"
    few_step: ClassVar[bool] = True
    initial_key: ClassVar[str | None] = "reference"
    optimizer: ClassVar[str | None] = "adam"

    name: str = "adversarial"
    reference: str = option("", "few-step model to begin from")
    sha256: str | None = option(
        None, "checksum (SHA-256) of the reference's weights, checked if given"
    )
    critic: int = option(48, "channels of the critic's first layer", least=1)
    critic_features: Literal["own", "model"] = option(
        "own",
        "what the critic judges by: features that it learns, or those of the model to begin from",
    )
    critic_rate: float = option(
        25.0, "the critic's learning rate, as a multiple of training.learning_rate", least=0
    )
    instance_noise: float = option(
        0.4,
        "standard deviation of the noise added to the critic's inputs, in [-1, 1] units",
        least=0,
    )
    gradient_penalty: float = option(0.005, "weight of the critic's gradient penalty", least=0)
    head_start: float = option(
        0.6, "share of the run in which the critic learns alone", least=0, most=1
    )
    pure_noise: float = option(
        0.25,
        "share of a batch that starts from pure noise, as in sampling with one step; the rest is for several",
        least=0,
        most=1,
    )
    wrong_labels: float = option(
        0.0,
        "share of the generated images that, for the critic, are replaced by real ones under a wrong label",
        least=0,
        most=1,
    )
