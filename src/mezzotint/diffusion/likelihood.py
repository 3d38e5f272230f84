"""How many bits per dimension does a model need for an image that it has not seen?

Images are uint8: 256 pixel values, 2/255 apart on [-1, 1]. There are two estimates:

**The variational bound** in continuous time (Kingma et al. 2021, eq. 13-15; docs/mathematics.md, eq. 18), an
upper bound::

    -log p(x) <= KL(q(x_1 | x_0) || N(0, 1)) + E[-log p(x_0 | x_start)]
                 - 1/2 int SNR'(t) |x_0 - x_hat(x_t, t)|^2   over t from start to 1

**The probability flow** (Song et al. 2021, eq. 39): x follows the flow from the uniformly
dequantized image to noise, and log p changes by the divergence of the flow, estimated with one random
sign vector per evaluation (Hutchinson). In the coordinates of ``samplers/heun.py`` the flow is
dy/du = eps_hat - x0_hat (docs/mathematics.md, eq. 11, 12 and 19).
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from .denoiser import Denoiser, Labels
from .level import Images, NoiseLevel, scale
from .process import diffuse
from .schedules import Schedule

Nats = Float[Tensor, " batch"]

START_LOG_SNR = 9.0
"""Log-SNR of the bound's last step, from x_start back to pixels.

The noise is then 1.4 times the distance of two pixel values; for a table it is the cleanest step, which is
about the same. Any choice gives a bound, but closer to the clean image it is loose, because the denoiser
does not know that pixels are integers.
"""


def bits_per_dimension(nats: Nats, images: Images) -> Nats:
    """Convert nats per image to bits per dimension.

    Args:
        nats: (batch,).
        images: (batch, channels, height, width), whose shape is the number of dimensions.

    Returns:
        bits per dimension (batch,).
    """
    return nats / (math.log(2) * images[0].numel())


def _cleanest(schedule: Schedule, log_snr: float) -> Tensor:
    """The smaller one of ``log_snr`` and the log-SNR of a table's first step."""
    limit = torch.tensor(log_snr, dtype=torch.float64)
    if schedule.timesteps is None:
        return limit
    return limit.minimum(schedule.log_snr(torch.tensor(1 / schedule.timesteps).double()))


def _discrete_log_likelihood(x0: Images, level: NoiseLevel, z: Images) -> Nats:
    """The log-likelihood log p(x_0 | z) among the 256 pixel values (ibid., eq. 9)."""
    pixel_values = torch.linspace(-1, 1, 256, dtype=x0.dtype, device=x0.device)
    mean = scale(1 / level.alpha, z)
    std = (level.sigma / level.alpha).to(x0)
    logits = -((mean[..., None] - pixel_values) / std).square() / 2
    index = ((x0 + 1) * 127.5).round().long()
    return logits.log_softmax(-1).gather(-1, index[..., None]).flatten(1).sum(1)


def variational_bound(
    denoiser: Denoiser,
    x0: Images,
    labels: Labels | None,
    generator: torch.Generator,
    times: int = 16,
) -> Nats:
    """The variational bound on -log p of each image.

    The integral is taken over log-SNR, as ``1/2 int SNR |x0 - x_hat|^2 dlogSNR``.

    Args:
        denoiser: the model.
        x0: clean images (batch, channels, height, width) in [-1, 1].
        labels: their classes (batch,), or None.
        generator: source of all random numbers, on the CPU.
        times: number of stratified noise levels, one evaluation each.

    Returns:
        nats (batch,), on the CPU.
    """
    schedule = denoiser.schedule
    low = schedule.log_snr(torch.tensor(1.0, dtype=torch.float64)).clamp(min=-20)
    high = _cleanest(schedule, START_LOG_SNR)
    noisiest = schedule.level(schedule.time_of(low))
    cleanest = schedule.level(schedule.time_of(high))

    def noise() -> Images:
        return torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device)

    mean_square = scale(noisiest.alpha, x0).square()
    variance = noisiest.sigma.square().to(x0)
    prior = 0.5 * (mean_square + variance - 1 - variance.log()).flatten(1).sum(1)
    reconstruction = -_discrete_log_likelihood(x0, cleanest, diffuse(x0, noise(), cleanest))
    total = torch.zeros(len(x0), dtype=torch.float64)
    for k in range(times):
        u = (k + torch.rand(len(x0), generator=generator, dtype=torch.float64)) / times
        log_snr = torch.lerp(low, high, u)
        t = schedule.time_of(log_snr)
        level = schedule.level(t)
        x_hat = denoiser(diffuse(x0, noise(), level), t, labels).x0
        error = (x0 - x_hat).square().flatten(1).sum(1).cpu().double()
        total += 0.5 * (high - low) * (level.alpha / level.sigma).square() * error / times
    return (prior + reconstruction).cpu().double() + total


def flow_log_likelihood(
    denoiser: Denoiser,
    x0: Images,
    labels: Labels | None,
    generator: torch.Generator,
    steps: int = 50,
    start: float = 1e-3,
) -> Nats:
    """The log-likelihood of continuous (dequantized) images under the probability flow.

    The flow is integrated by Heun's method in equal steps of ``u = sigma / (alpha + sigma)``.

    Args:
        denoiser: the model.
        x0: images (batch, channels, height, width), about in [-1, 1].
        labels: their classes (batch,), or None.
        generator: source of all random numbers, on the CPU.
        steps: number of steps, two evaluations each.
        start: smallest ``u``, in (0, 1); a table starts at its first step if that is noisier.

    Returns:
        log p (batch,) in nats, on the CPU.
    """
    schedule = denoiser.schedule
    dimensions = x0[0].numel()
    u_min = torch.sigmoid(-_cleanest(schedule, 2 * math.log(1 / start - 1)) / 2)
    # A table ends before its last u would be 1; beyond its end its level would stand still.
    u_max = torch.sigmoid(-schedule.log_snr(torch.tensor(1.0).double()) / 2).clamp(max=1 - 1e-4)
    grid = torch.lerp(u_min, u_max, torch.linspace(0, 1, steps + 1).double())

    def level_of(u: Tensor) -> tuple[Tensor, NoiseLevel]:
        t = schedule.time_of(2 * ((1 - u).log() - u.log()))
        return t, schedule.level(t)

    def slope(y: Images, u: Tensor) -> tuple[Images, Tensor]:
        """The slope dy/du and an estimate of its divergence."""
        t, level = level_of(u)
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            prediction = denoiser(scale(level.alpha + level.sigma, y), t, labels)
            velocity = prediction.eps - prediction.x0
            signs = torch.randint(0, 2, y.shape, generator=generator).to(y) * 2 - 1
            (product,) = torch.autograd.grad((velocity * signs).sum(), y)
        return velocity.detach(), (product * signs).flatten(1).sum(1).cpu().double()

    sizes = [level_of(u)[1].alpha + level_of(u)[1].sigma for u in (grid[0], grid[-1])]
    y = scale(1 / sizes[0], x0)
    change = torch.zeros(len(x0), dtype=torch.float64)
    for u, next_u in pairwise(grid):
        du = next_u - u
        velocity, divergence = slope(y, u)
        next_velocity, next_divergence = slope(y + scale(du, velocity), next_u)
        y = y + scale(du / 2, velocity + next_velocity)
        change += du / 2 * (divergence + next_divergence)
    log_normal = -0.5 * (scale(sizes[1], y).square() + math.log(2 * math.pi)).flatten(1).sum(1)
    return log_normal.cpu().double() + dimensions * (sizes[1] / sizes[0]).log() + change


def dequantized(x0: Images, generator: torch.Generator) -> Images:
    """Add uniform noise of the width of one pixel value.

    Args:
        x0: images (batch, channels, height, width) of 256 pixel values in [-1, 1].
        generator: source of the noise, on the CPU.

    Returns:
        images in (-1 - 1/255, 1 + 1/255).
    """
    noise = torch.rand(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device) - 0.5
    return x0 + noise * (2 / 255)


def flow_bits(
    denoiser: Denoiser,
    x0: Images,
    labels: Labels | None,
    generator: torch.Generator,
    steps: int = 50,
) -> Nats:
    """Bits per dimension of uint8 images by the probability flow.

    They are an upper bound on those of the discrete likelihood (Theis et al. 2016): a pixel value has a
    volume of 2/255 per dimension.

    Args:
        denoiser: the model.
        x0: images (batch, channels, height, width) of 256 pixel values in [-1, 1].
        labels: their classes (batch,), or None.
        generator: source of all random numbers, on the CPU.
        steps: number of steps along the flow, two evaluations each.

    Returns:
        bits per dimension (batch,), on the CPU.
    """
    log_p = flow_log_likelihood(denoiser, dequantized(x0, generator), labels, generator, steps)
    return bits_per_dimension(-log_p - x0[0].numel() * math.log(2 / 255), x0)
