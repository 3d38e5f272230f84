"""Time grids: at which times a sampler asks the denoiser.

A grid of ``n`` steps is ``n + 1`` times, strictly falling, from 1, the noisiest level there is, to
0, the clean image. The samplers evaluate at the first n of them.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from ..diffusion.schedules import Schedule
from ..registry import GRIDS

Grid = Float64[Tensor, " steps_plus_1"]


def _finish(times: Float64[Tensor, " steps"], schedule: Schedule) -> Grid:
    """Snap to discrete times where the schedule has them, and append 0."""
    times = times.double()
    if (T := schedule.timesteps) is not None:
        # Rounding may make neighbours meet where n is close to T: walk up from the last time,
        # then down from the first, keeping at least one step between them.
        steps, lowest = (times * T).round(), torch.arange(len(times), 0, -1)
        steps = torch.maximum(steps, lowest.double())
        spread = torch.arange(len(times)).double()
        steps = (steps + spread).cummin(0).values - spread
        times = steps / T
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def linspace(schedule: Schedule, n: int) -> Grid:
    """Even from the noisiest time to the cleanest: on T = 1000, n = 10, steps 1000, 889, ..., 1.
    On continuous time, which has no cleanest time, even from 1 to 0."""
    if schedule.timesteps is None:
        return trailing(schedule, n)
    return _finish(torch.linspace(1, 1 / schedule.timesteps, n, dtype=torch.float64), schedule)


def trailing(schedule: Schedule, n: int) -> Grid:
    """Equal strides down from 1, the last one to 0 (Lin et al. 2024, section 3.3)."""
    return _finish(torch.linspace(1, 0, n + 1, dtype=torch.float64)[:-1], schedule)


def quadratic(schedule: Schedule, n: int) -> Grid:
    """Strides that shrink towards the clean image (Song et al. 2021, "DDIM", appendix D.2)."""
    return _finish(torch.linspace(1, 0, n + 1, dtype=torch.float64)[:-1].square(), schedule)


def log_snr(schedule: Schedule, n: int) -> Grid:
    """Equal strides of log-SNR (Lu et al. 2022, "DPM-Solver", section 3.3), within [-10, 10]."""
    T = schedule.timesteps
    first = torch.tensor(1.0, dtype=torch.float64)
    last = torch.tensor(1 / T if T else 1e-3, dtype=torch.float64)
    low, high = schedule.log_snr(first).clamp(min=-10), schedule.log_snr(last).clamp(max=10)
    times = schedule.time_of(torch.lerp(low, high, torch.linspace(0, 1, n, dtype=torch.float64)))
    return _finish(torch.cat([first[None], times[1:]]), schedule)


def make_grid(name: str, schedule: Schedule, n: int) -> Grid:
    """The grid ``name`` with ``n`` steps.

    Raises ValueError where n is not a whole number from 1 to T (any n >= 1 on continuous time).
    """
    most = schedule.timesteps
    if isinstance(n, bool) or not isinstance(n, int) or n < 1 or (most is not None and n > most):
        bounds = f"a whole number from 1 to {most}" if most else "a whole number of at least 1"
        raise ValueError(f"sampling steps must be {bounds} for this schedule, not {n!r}")
    return GRIDS[name](schedule, n)
