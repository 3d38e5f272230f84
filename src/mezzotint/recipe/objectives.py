"""The section ``[objective]`` of a recipe: one of four, told apart by ``name``."""

from dataclasses import dataclass
from typing import Literal

from .fields import option

TimesName = Literal["uniform", "stratified", "logit-normal"]


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """The ordinary objective: to see the image behind the noise."""

    name: Literal["denoising"] = "denoising"
    loss: Literal["l1", "l2", "huber"] = option("l2", "elementwise loss")
    weighting: Literal["constant", "min-snr"] = option(
        "constant", "weight of the noise levels: equal for the network's own target, or min-SNR"
    )
    times: TimesName = option("logit-normal", "distribution of the training times")
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
class Distillation:
    """Few-step training after a trained model, as `mezzotint distill` does it."""

    name: Literal["distillation"] = "distillation"
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
    stages: int = option(
        6, "stages of training; the times compared draw nearer at each", least=1, most=20
    )
    times: TimesName = option("stratified", "distribution of the training times")


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Direct discriminative optimization: to find real images likelier than a trained model did, and its own
    less likely, as `mezzotint refine` does it."""

    name: Literal["refinement"] = "refinement"
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
    weighting: Literal["constant", "min-snr"] = option(
        "constant", "weight of the noise levels: equal for the network's own target, or min-SNR"
    )
    times: TimesName = option("logit-normal", "distribution of the training times")
    label_dropout: float = option(
        0.1, "share of labels dropped in training, image by image", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class AdversarialRefinement:
    """Refinement of a few-step model, by a critic trained beside it, as `mezzotint refine` does it."""

    name: Literal["adversarial"] = "adversarial"
    reference: str = option("", "few-step model to begin from")
    sha256: str | None = option(
        None, "checksum (SHA-256) of the reference's weights, checked if given"
    )
    critic: int = option(48, "channels of the critic's first layer", least=1)
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


FEW_STEP = (Distillation, AdversarialRefinement)
"""Objectives of models that jump to the end of a path, instead of walking there."""
