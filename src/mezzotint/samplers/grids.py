"""Time grids: the times at which a sampler evaluates the denoiser.

A grid of ``n`` steps is ``n + 1`` strictly decreasing times, from 1, the noisiest level, to 0, the clean
image. Samplers evaluate at the first n of them.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from ..diffusion.schedules import Schedule
from ..registry import GRIDS, with_options

Grid = Float64[Tensor, " steps_plus_1"]


def _finish(times: Float64[Tensor, " steps"], schedule: Schedule) -> Grid:
    """Round to the discrete times of the schedule, if it has them, and append 0."""
    times = times.double()
    if (T := schedule.timesteps) is not None:
        times = distinct((times * T).round()) / T
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def distinct(steps: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
    """Discrete steps, of which rounding may have made neighbours equal, moved apart.

    They go up from the last one, which is at least 1, then down from the first, with at least one between
    neighbours.

    Args:
        steps: falling whole numbers (n,), the first at least n.

    Returns:
        strictly falling whole numbers (n,), each at least 1.
    """
    lowest = torch.arange(len(steps), 0, -1)
    steps = torch.maximum(steps, lowest.double())
    spread = torch.arange(len(steps)).double()
    return (steps + spread).cummin(0).values - spread


def linspace(schedule: Schedule, n: int) -> Grid:
    """Equal strides from the noisiest time to the cleanest: steps 1000, 889, ..., 1 for T = 1000, n = 10.

    In continuous time, which has no cleanest time, equal strides from 1 to 0.

    Args:
        schedule: of the model.
        n: steps.

    Returns:
        n + 1 times.
    """
    if schedule.timesteps is None:
        return trailing(schedule, n)
    return _finish(torch.linspace(1, 1 / schedule.timesteps, n, dtype=torch.float64), schedule)


def trailing(schedule: Schedule, n: int, *, shift: float = 1.0) -> Grid:
    """Equal strides down from 1, the last one to 0 (Lin et al. 2024, section 3.3).

    Args:
        schedule: of the model.
        n: steps.
        shift: each time moves to one whose ratio sigma / alpha is ``shift`` times as large (Esser et al.
            2024, eq. 23, for the flow). Above 1, more steps have much noise.

    Returns:
        n + 1 times.

    Raises:
        ValueError: if ``shift`` is not above 0.
    """
    if not 0 < shift < math.inf:
        raise ValueError(f"grid 'trailing': shift must be above 0, not {shift}")
    times = torch.linspace(1, 0, n + 1, dtype=torch.float64)[:-1]
    if shift != 1:
        later = schedule.time_of(schedule.log_snr(times[1:]) - 2 * math.log(shift))
        times = torch.cat([times[:1], later])
    return _finish(times, schedule)


def quadratic(schedule: Schedule, n: int) -> Grid:
    """Strides that shrink towards the clean image (Song et al. 2021, "DDIM", appendix D.2).

    Args:
        schedule: of the model.
        n: steps.

    Returns:
        n + 1 times.
    """
    return _finish(torch.linspace(1, 0, n + 1, dtype=torch.float64)[:-1].square(), schedule)


def _ends(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """The log-SNR of the noisiest time, at least -10, and of the cleanest, at most 10."""
    first = torch.tensor(1.0, dtype=torch.float64)
    last = torch.tensor(1 / (schedule.timesteps or 1000), dtype=torch.float64)
    return schedule.log_snr(first).clamp(min=-10), schedule.log_snr(last).clamp(max=10)


def _from_log_snr(log_snrs: Float64[Tensor, " steps"], schedule: Schedule) -> Grid:
    """The grid of 1 and the times of all log-SNRs but the first, which stands for time 1."""
    first = torch.ones(1, dtype=torch.float64)
    return _finish(torch.cat([first, schedule.time_of(log_snrs)[1:]]), schedule)


def log_snr(schedule: Schedule, n: int) -> Grid:
    """Equal strides of log-SNR (Lu et al. 2022, "DPM-Solver", section 3.3), within [-10, 10].

    Args:
        schedule: of the model.
        n: steps.

    Returns:
        n + 1 times.
    """
    low, high = _ends(schedule)
    return _from_log_snr(torch.lerp(low, high, _fractions(n)), schedule)


def karras(schedule: Schedule, n: int, *, rho: float = 7.0) -> Grid:
    """Equal strides of (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5), between log-SNRs of -10 and 10.

    Args:
        schedule: of the model.
        n: steps.
        rho: above 0; the larger, the more steps are near the clean image.

    Returns:
        n + 1 times.

    Raises:
        ValueError: if ``rho`` is not above 0.
    """
    if not 0 < rho < math.inf:
        raise ValueError(f"grid 'karras': rho must be above 0, not {rho}")
    low, high = _ends(schedule)
    largest, smallest = (torch.exp(-end / (2 * rho)) for end in (low, high))
    roots = torch.lerp(largest, smallest, _fractions(n))
    return _from_log_snr(-2 * rho * roots.log(), schedule)


def _fractions(n: int) -> Float64[Tensor, " steps"]:
    return torch.linspace(0, 1, n, dtype=torch.float64)


def is_list(name: str) -> bool:
    """Whether a grid is given by its times."""
    return "," in name and ":" not in name


def listed(schedule: Schedule, n: int, text: str) -> Grid:
    """A grid of given times.

    Args:
        schedule: of the model.
        n: steps.
        text: n + 1 times between commas, such as "1, 0.6, 0.2, 0".

    Returns:
        The times.

    Raises:
        ValueError: if these are not n + 1 decreasing times from 1 to 0, or the schedule lacks one.
    """
    try:
        times = torch.tensor([float(word) for word in text.split(",")], dtype=torch.float64)
    except ValueError:
        raise ValueError(f"grid {text!r}: write times between commas, such as 1, 0.5, 0") from None
    if times[0] != 1 or times[-1] != 0 or not (times.diff() < 0).all():
        raise ValueError(f"grid {text!r}: times must fall from 1 to 0")
    if len(times) != n + 1:
        raise ValueError(
            f"grid {text!r} has {len(times) - 1} steps, sampling.steps is {n}: make them the same"
        )
    T = schedule.timesteps
    if T is not None and not torch.allclose(times * T, (times * T).round(), rtol=0, atol=1e-6):
        raise ValueError(f"grid {text!r}: this schedule has the times k / {T} alone")
    return times


def make_grid(name: str, schedule: Schedule, n: int) -> Grid:
    """A time grid by its name and options, or by its times.

    Args:
        name: such as "trailing", "karras:rho=5", or "1, 0.6, 0.2, 0".
        schedule: of the model.
        n: steps, from 1 to the schedule's T (any number of at least 1 if time is continuous).

    Returns:
        n + 1 times.

    Raises:
        ValueError: if n, an option or a time is out of range.
    """
    most = schedule.timesteps
    if isinstance(n, bool) or not isinstance(n, int) or n < 1 or (most is not None and n > most):
        bounds = f"a whole number from 1 to {most}" if most else "a whole number of at least 1"
        raise ValueError(f"sampling steps must be {bounds} for this schedule, not {n!r}")
    if is_list(name):
        return listed(schedule, n, name)
    return with_options("grid", GRIDS, name)(schedule, n)
