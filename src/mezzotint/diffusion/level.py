"""Noise levels: the pair (alpha, sigma) of ``x_t = alpha * x0 + sigma * eps`` (docs/mathematics.md, eq. 1).

A coefficient is one number for the batch, shape ``()``, or one per image, shape ``(batch,)``.
Coefficients are float64, which makes rounding negligible, and stay on the CPU, where they cost almost
nothing; :func:`scale` is the only function of the package that combines them with images.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Coefficient = Float[Tensor, "*batch"]
Images = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class NoiseLevel:
    """How much of the image and of the noise is in ``x_t``.

    Args:
        alpha: of the image, () or (batch,), float64.
        sigma: of the noise, in the same shape.
    """

    alpha: Coefficient
    sigma: Coefficient

    @property
    def log_snr(self) -> Coefficient:
        """``log(alpha^2 / sigma^2)``: +inf for a clean image, -inf for pure noise."""
        return 2 * (self.alpha.log() - self.sigma.log())


def scale(coefficient: Coefficient, images: Images) -> Images:
    """Multiply each image by its coefficient, in the dtype and on the device of the images.

    Args:
        coefficient: () or (batch,).
        images: (batch, channels, height, width).

    Returns:
        images of the same shape.
    """
    c = coefficient.to(images)
    return c.reshape(c.shape + (1,) * (images.ndim - max(c.ndim, 1))) * images
