"""The probability flow, in coordinates that make its paths as straight as possible.

Every schedule is equivalent to a rectified flow (docs/mathematics.md, eq. 11 and 12): with::

    y = x / (alpha + sigma),    u = sigma / (alpha + sigma),    y = (1 - u) x0 + u eps

the flow is dy/du = eps_hat - x0_hat, finite from pure noise (u = 1) to the image (u = 0).
"""

from .level import Images, NoiseLevel, scale
from .parametrizations import Prediction


def slope(prediction: Prediction) -> Images:
    """The direction dy/du of the path through a noisy image, from what a denoiser makes of it."""
    return prediction.eps - prediction.x0


def advance(x_t: Images, direction: Images, level_t: NoiseLevel, level_s: NoiseLevel) -> Images:
    """Move from one noise level to another in a straight line.

    Args:
        x_t: noisy images (batch, channels, height, width).
        direction: dy/du, of the same shape.
        level_t: their noise level.
        level_s: the noise level to move to.

    Returns:
        noisy images of the same shape.
    """
    size_t = level_t.alpha + level_t.sigma
    size_s = level_s.alpha + level_s.sigma
    du = level_s.sigma / size_s - level_t.sigma / size_t
    return scale(size_s / size_t, x_t) + scale(size_s * du, direction)
