"""Noise levels: the pair (alpha, sigma) of ``x_t = alpha * x0 + sigma * eps``.

A coefficient is one number for a whole batch, shape ``()``, or one per image, shape ``(batch,)``.
Coefficients are float64 and live on the CPU, where they cost nothing and round nothing;
:func:`scale` is the only place in the package where they meet images.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Coefficient = Float[Tensor, "*batch"]
Images = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class NoiseLevel:
    """How much of the image (``alpha``) and of the noise (``sigma``) is in ``x_t``."""

    alpha: Coefficient
    sigma: Coefficient

    @property
    def log_snr(self) -> Coefficient:
        """``log(alpha^2 / sigma^2)``: +inf for a clean image, -inf for pure noise."""
        return 2 * (self.alpha.log() - self.sigma.log())


def scale(coefficient: Coefficient, images: Images) -> Images:
    """Multiply each image by its coefficient, in the images' own dtype and on their device."""
    c = coefficient.to(images)
    return c.reshape(c.shape + (1,) * (images.ndim - max(c.ndim, 1))) * images
