"""What every measure checks first."""

from jaxtyping import Float
from torch import Tensor

Features = Float[Tensor, "n d"]


class TooFewImages(ValueError):
    """There are not enough images for a measure to mean anything."""


def require_samples(features: Features, minimum: int, measure: str) -> None:
    """Refuse fewer than ``minimum`` images, and features that are not finite.

    Raises TooFewImages naming the minimum, ValueError on NaN or infinity.
    """
    if len(features) < minimum:
        raise TooFewImages(f"{measure} needs at least {minimum} images, not {len(features)}")
    if not features.isfinite().all():
        raise ValueError(f"{measure}: some features are NaN or infinite; look at the images")
