"""Checks that every measure makes on its input."""

from jaxtyping import Float
from torch import Tensor

Features = Float[Tensor, "n d"]


class TooFewImages(ValueError):
    """Raised if there are too few images for a measure to be meaningful."""


def require_samples(features: Features, minimum: int, measure: str) -> None:
    """Refuse too few images, and features that are not finite.

    Args:
        features: (n, d) features or logits, one row per image.
        minimum: Smallest acceptable n.
        measure: Name of the measure, for the error message.

    Raises:
        TooFewImages: If n is smaller than ``minimum``.
        ValueError: If a feature is NaN or infinite.
    """
    if len(features) < minimum:
        raise TooFewImages(f"{measure} needs at least {minimum} images, not {len(features)}")
    if not features.isfinite().all():
        raise ValueError(f"{measure}: some features are NaN or infinite; look at the images")
