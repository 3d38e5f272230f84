"""How many bits per dimension does a model need for an image it has not prediction?

Images are uint8 values, 256 levels of width 2/255 on [-1, 1]. Two answers:

**The variational bound** in continuous time (Kingma et al. 2021, eq. 13-15), an upper bound::

    -log p(x) <= KL(q(x_1 | x_0) || N(0, 1)) + E[-log p(x_0 | x_start)]
                 - 1/2 int SNR'(t) |x_0 - x_hat(x_t, t)|^2   over t from start to 1

**The probability flow** (Song et al. 2021, eq. 39): x moves along its flow from the uniformly
dequantized image to noise, and log p changes by the flow's divergence, estimated with one random
sign vector per evaluation (Hutchinson). In the coordinates of ``samplers/heun.py`` the flow is
dy/du = eps_hat - x0_hat.
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
"""The bound's last step back to pixels is taken here, where the noise is 1.4 times the width of a level
of grey, or at the cleanest step of a table, about the same. Any choice gives a bound; closer to the
clean image it is loose, for a denoiser that does not know that pixels are whole numbers."""


def bits_per_dimension(nats: Nats, images: Images) -> Nats:
    """Nats per image as bits per pixel value."""
    return nats / (math.log(2) * images[0].numel())


def _cleanest(schedule: Schedule, log_snr: float) -> Tensor:
    """``log_snr``, or that of the first step of a table, whichever is noisier."""
    limit = torch.tensor(log_snr, dtype=torch.float64)
    if schedule.timesteps is None:
        return limit
    return limit.minimum(schedule.log_snr(torch.tensor(1 / schedule.timesteps).double()))


def _discrete_log_likelihood(x0: Images, level: NoiseLevel, z: Images) -> Nats:
    """log p(x_0 | z) over the 256 levels, each with the Gaussian's density at it (ibid., eq. 9)."""
    levels = torch.linspace(-1, 1, 256, dtype=x0.dtype, device=x0.device)
    mean = scale(1 / level.alpha, z)
    std = (level.sigma / level.alpha).to(x0)
    logits = -((mean[..., None] - levels) / std).square() / 2
    index = ((x0 + 1) * 127.5).round().long()
    return logits.log_softmax(-1).gather(-1, index[..., None]).flatten(1).sum(1)


def variational_bound(
    denoiser: Denoiser,
    x0: Images,
    labels: Labels | None,
    generator: torch.Generator,
    times: int = 16,
) -> Nats:
    """The bound on -log p of each image, in nats, from ``times`` stratified noise levels.

    The integral is over log-SNR, where it reads 1/2 int SNR |x0 - x_hat|^2 dlogSNR.
    """
    schedule = denoiser.schedule
    low = schedule.log_snr(torch.tensor(1.0, dtype=torch.float64)).clamp(min=-20)
    high = _cleanest(schedule, START_LOG_SNR)
    last, first = schedule.level(schedule.time_of(low)), schedule.level(schedule.time_of(high))

    def noise() -> Images:
        return torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device)

    mean_square = scale(last.alpha, x0).square()
    variance = last.sigma.square().to(x0)
    prior = 0.5 * (mean_square + variance - 1 - variance.log()).flatten(1).sum(1)
    reconstruction = -_discrete_log_likelihood(x0, first, diffuse(x0, noise(), first))
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
    """log p of each (dequantized, continuous) image under the probability flow, in nats.

    Heun's method on ``steps`` equal strides of ``u = sigma / (alpha + sigma)`` from ``start``.
    """
    schedule, dimensions = denoiser.schedule, x0[0].numel()
    clean = torch.sigmoid(-_cleanest(schedule, 2 * math.log(1 / start - 1)) / 2)
    grid = torch.lerp(
        clean, torch.tensor(1 - 1e-4).double(), torch.linspace(0, 1, steps + 1).double()
    )

    def level_of(u: Tensor) -> tuple[Tensor, NoiseLevel]:
        t = schedule.time_of(2 * ((1 - u).log() - u.log()))
        return t, schedule.level(t)

    def slope(y: Images, u: Tensor) -> tuple[Images, Tensor]:
        """dy/du and an estimate of its divergence."""
        t, level = level_of(u)
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            prediction = denoiser(scale(level.alpha + level.sigma, y), t, labels)
            velocity = prediction.eps - prediction.x0
            signs = torch.randint(0, 2, y.shape, generator=generator).to(y) * 2 - 1
            (product,) = torch.autograd.grad((velocity * signs).sum(), y)
        return velocity.detach(), (product * signs).flatten(1).sum(1).cpu().double()

    sizes = [level_of(u)[1].alpha + level_of(u)[1].sigma for u in (grid[0], grid[-1])]
    y, change = scale(1 / sizes[0], x0), torch.zeros(len(x0), dtype=torch.float64)
    for u, w in pairwise(grid):
        velocity, divergence = slope(y, u)
        ahead, divergence_ahead = slope(y + scale(w - u, velocity), w)
        y = y + scale((w - u) / 2, velocity + ahead)
        change += (w - u) / 2 * (divergence + divergence_ahead)
    normal = -0.5 * (scale(sizes[1], y).square() + math.log(2 * math.pi)).flatten(1).sum(1)
    return normal.cpu().double() + dimensions * (sizes[1] / sizes[0]).log() + change


def dequantized(x0: Images, generator: torch.Generator) -> Images:
    """Images with each level of grey spread evenly over its width, in (-1 - 1/255, 1 + 1/255)."""
    noise = torch.rand(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device) - 0.5
    return x0 + noise * (2 / 255)


def flow_bits(
    denoiser: Denoiser,
    x0: Images,
    labels: Labels | None,
    generator: torch.Generator,
    steps: int = 50,
) -> Nats:
    """Bits per dimension of uint8 images by the probability flow, an upper bound for the discrete
    likelihood (Theis et al. 2016): each level has a volume of 2/255 per dimension."""
    log_p = flow_log_likelihood(denoiser, dequantized(x0, generator), labels, generator, steps)
    return bits_per_dimension(-log_p - x0[0].numel() * math.log(2 / 255), x0)
