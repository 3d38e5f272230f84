"""The forward process and its exact reversal, given the clean image::

    q(x_t | x_0)      = N(alpha_t x_0, sigma_t^2)
    q(x_t | x_s)      = N(alpha_ts x_s, sigma_ts^2),     s < t,
                        alpha_ts = alpha_t / alpha_s,  sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2
    q(x_s | x_t, x_0) = N( alpha_ts sigma_s^2 / sigma_t^2 x_t  +  alpha_s sigma_ts^2 / sigma_t^2 x_0,
                           sigma_ts^2 sigma_s^2 / sigma_t^2 )

(Ho et al. 2020, eq. 4, 2 and 6-7, for any two times: Kingma et al. 2021, appendix A.)
"""

from typing import Literal

from .level import Coefficient, Images, NoiseLevel, scale

Variance = Literal["small", "large"]


def diffuse(x0: Images, eps: Images, level: NoiseLevel) -> Images:
    """``x_t`` for a clean image and a noise, both (batch, channels, height, width)."""
    return scale(level.alpha, x0) + scale(level.sigma, eps)


def transition_variance(level_t: NoiseLevel, level_s: NoiseLevel) -> Coefficient:
    """``sigma_ts^2``: the noise added from s to t; for neighbours in a table this is beta_t."""
    ratio = level_t.alpha / level_s.alpha
    return (level_t.sigma.square() - (ratio * level_s.sigma).square()).clamp(min=0)


def posterior(
    x_t: Images,
    x0: Images,
    level_t: NoiseLevel,
    level_s: NoiseLevel,
    variance: Variance = "small",
) -> tuple[Images, Coefficient]:
    """Mean, and standard deviation, of ``x_s`` given ``x_t`` and ``x0``, for s < t.

    ``variance="small"`` is the true posterior's (beta tilde); ``"large"`` is the forward process's
    own sigma_ts^2 (beta), right when images are pure noise (Ho et al. 2020, section 3.2). At
    ``s = 0`` both are exactly x0: the last step leaves no noise behind.
    """
    added = transition_variance(level_t, level_s)
    kept = level_s.sigma.square() / level_t.sigma.square()
    mean = scale(level_t.alpha / level_s.alpha * kept, x_t)
    mean = mean + scale(level_s.alpha * added / level_t.sigma.square(), x0)
    match variance:
        case "small":
            return mean, (added * kept).sqrt()
        case "large":
            return mean, added.sqrt() * (level_s.sigma > 0)
