"""The forward process, and its exact reversal when the clean image is known.

For s < t::

    q(x_t | x_0)      = N(alpha_t x_0, sigma_t^2)
    q(x_t | x_s)      = N(alpha_ts x_s, sigma_ts^2),
                        alpha_ts = alpha_t / alpha_s,  sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2
    q(x_s | x_t, x_0) = N( alpha_ts sigma_s^2 / sigma_t^2 x_t  +  alpha_s sigma_ts^2 / sigma_t^2 x_0,
                           sigma_ts^2 sigma_s^2 / sigma_t^2 )

(Ho et al. 2020, eq. 4, 2 and 6-7, for any two times: Kingma et al. 2021, appendix A;
docs/mathematics.md, eq. 1, 5 and 6.)
"""

from typing import Literal

from .level import Coefficient, Images, NoiseLevel, scale

Variance = Literal["small", "large"]


def diffuse(x0: Images, eps: Images, level: NoiseLevel) -> Images:
    """Add noise to clean images.

    Args:
        x0: clean images (batch, channels, height, width).
        eps: standard normal noise, of the same shape.
        level: the noise level.

    Returns:
        ``x_t``, of the same shape.
    """
    return scale(level.alpha, x0) + scale(level.sigma, eps)


def transition_variance(level_t: NoiseLevel, level_s: NoiseLevel) -> Coefficient:
    """The variance ``sigma_ts^2`` of the noise that is added from s to t, for s < t.

    For neighbours in a table it is beta_t.

    Args:
        level_t: the noise level at t.
        level_s: the noise level at s.

    Returns:
        the variance, () or (batch,).
    """
    ratio = level_t.alpha / level_s.alpha
    return (level_t.sigma.square() - (ratio * level_s.sigma).square()).clamp(min=0)


def posterior(
    x_t: Images,
    x0: Images,
    level_t: NoiseLevel,
    level_s: NoiseLevel,
    variance: Variance = "small",
) -> tuple[Images, Coefficient]:
    """The posterior of ``x_s`` given ``x_t`` and ``x0``, for s < t.

    At ``s = 0`` it is exactly x0, with a standard deviation of 0: the last step leaves no noise.

    Args:
        x_t: noisy images (batch, channels, height, width).
        x0: clean images, of the same shape.
        level_t: the noise level of ``x_t``.
        level_s: the noise level of ``x_s``.
        variance: "small" for that of the posterior (beta tilde); "large" for sigma_ts^2 of the forward
            process (beta), which is right if images are pure noise (Ho et al. 2020, section 3.2).

    Returns:
        mean, of the shape of ``x_t``, and standard deviation, () or (batch,).
    """
    step_variance = transition_variance(level_t, level_s)
    ratio = level_s.sigma.square() / level_t.sigma.square()
    mean = scale(level_t.alpha / level_s.alpha * ratio, x_t)
    mean = mean + scale(level_s.alpha * step_variance / level_t.sigma.square(), x0)
    match variance:
        case "small":
            return mean, (step_variance * ratio).sqrt()
        case "large":
            return mean, step_variance.sqrt() * (level_s.sigma > 0)
