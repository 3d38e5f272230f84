"""Noise schedules: functions from continuous time ``t`` in [0, 1] to a noise level.

``t = 0`` is exactly the clean image; ``t = 1`` is the noisiest level. A table of T betas
(Ho et al. 2020, "DDPM") is a schedule with knots at ``i / T``, where (docs/mathematics.md, eq. 2)::

    alpha_bar_i = prod_{j <= i} (1 - beta_j),    alpha = sqrt(alpha_bar),  sigma = sqrt(1 - alpha_bar)

and with ``log alpha_bar`` linear in between: beta is constant from one knot to the next, as in
the variance-preserving SDE (Song et al. 2021, eq. 11). The discrete process is the continuous one,
evaluated at the knots.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from .level import Coefficient, NoiseLevel


class Schedule(ABC):
    """A noise schedule. ``timesteps`` is T if time is discrete, None if it is continuous."""

    timesteps: int | None

    @abstractmethod
    def level(self, t: Coefficient) -> NoiseLevel:
        """The noise level at time ``t``, () or (batch,), in [0, 1]."""

    @abstractmethod
    def time_of(self, log_snr: Coefficient) -> Coefficient:
        """The time, in [0, 1], of a log-SNR, () or (batch,): the inverse of :meth:`log_snr`."""

    def log_snr(self, t: Coefficient) -> Coefficient:
        """``log(alpha^2 / sigma^2)`` at time ``t``; strictly decreasing in ``t``."""
        return self.level(t).log_snr

    def snap(self, t: Coefficient) -> Coefficient:
        """Move ``t`` in (0, 1] up to the next discrete time ``i / T``, if time is discrete."""
        if self.timesteps is None:
            return t
        # A time that equals a knot up to rounding stays on that knot.
        return (t * self.timesteps - 1e-9).ceil().clamp(min=1) / self.timesteps


@dataclass(frozen=True, eq=False)
class Table(Schedule):
    """The schedule of a table.

    Args:
        alphas_bar: (T,), falling inside (0, 1); entry ``i - 1`` belongs to ``t = i / T``.

    Raises:
        ValueError: if this is no such table.
    """

    alphas_bar: Float[Tensor, " T"]

    def __post_init__(self) -> None:
        bars = self.alphas_bar
        if bars.ndim != 1 or len(bars) == 0:
            raise ValueError(
                f"alphas_bar must be a table of T >= 1 values, not {tuple(bars.shape)}"
            )
        if not ((bars > 0).all() and (bars < 1).all() and (bars.diff() < 0).all()):
            raise ValueError("alphas_bar must fall strictly and lie inside (0, 1)")

    @classmethod
    def from_betas(cls, betas: Float[Tensor, " T"]) -> "Table":
        """The schedule with ``beta_i`` (T,) at step i = 1..T (Ho et al. 2020, eq. 2 and 4)."""
        return cls((1 - betas.double()).cumprod(0))

    @property
    def timesteps(self) -> int:  # type: ignore[override]
        """The number T of entries."""
        return len(self.alphas_bar)

    @cached_property
    def _log_alphas_bar(self) -> Float[Tensor, " knots"]:
        return torch.cat([torch.zeros(1, dtype=torch.float64), self.alphas_bar.double().log()])

    def level(self, t: Coefficient) -> NoiseLevel:
        """The noise level at time ``t``, () or (batch,), in [0, 1]."""
        table = self._log_alphas_bar
        position = t.double() * self.timesteps
        knot = position.floor().long().clamp(0, self.timesteps - 1)
        log_alpha_bar = torch.lerp(table[knot], table[knot + 1], position - knot)
        return NoiseLevel((0.5 * log_alpha_bar).exp(), log_alpha_bar.expm1().abs().sqrt())

    def time_of(self, log_snr: Coefficient) -> Coefficient:
        """The time, in [0, 1], of a log-SNR, () or (batch,)."""
        # alpha_bar = sigmoid(log_snr), and -log alpha_bar grows from 0 with t.
        depth = torch.nn.functional.softplus(-log_snr.double())
        table = -self._log_alphas_bar
        knot = torch.searchsorted(table, depth).clamp(1, self.timesteps) - 1
        position = knot + (depth - table[knot]) / (table[knot + 1] - table[knot])
        return position.clamp(0, self.timesteps) / self.timesteps


@dataclass(frozen=True)
class Flow(Schedule):
    """The straight line of flow matching: ``alpha = 1 - t, sigma = t`` (Lipman et al. 2023).

    Args:
        timesteps: T if time is discrete; None if it is continuous.
    """

    timesteps: int | None = None

    def level(self, t: Coefficient) -> NoiseLevel:
        """The noise level at time ``t``, () or (batch,), in [0, 1]."""
        return NoiseLevel(1 - t.double(), t.double())

    def time_of(self, log_snr: Coefficient) -> Coefficient:
        """The time, in [0, 1], of a log-SNR, () or (batch,)."""
        return torch.sigmoid(-log_snr.double() / 2)


def linear_betas(
    count: int, start: float = 1e-4, end: float = 0.02, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " count"]:
    """Betas on a line (Ho et al. 2020, section 4).

    Args:
        count: number of betas.
        start: the first beta.
        end: the last beta.
        dtype: of the result.

    Returns:
        betas (count,).
    """
    return torch.linspace(start, end, count, dtype=dtype)


def cosine_betas(
    count: int,
    s: float = 0.008,
    lowest: float = 1e-4,
    highest: float = 0.999,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " count"]:
    """Betas of the cosine schedule, clipped (Nichol and Dhariwal 2021, eq. 17).

    Args:
        count: number of betas.
        s: offset of the cosine.
        lowest: lower bound of beta, so that the first steps are distinguishable from a clean image; the
            paper has none (``lowest = 0``).
        highest: upper bound of beta.
        dtype: of the result.

    Returns:
        betas (count,).
    """
    angle = (torch.linspace(0, count, count + 1, dtype=dtype) / count + s) / (1 + s) * torch.pi / 2
    alphas_bar = angle.cos().square() / angle[0].cos().square()
    return (1 - alphas_bar[1:] / alphas_bar[:-1]).clamp(lowest, highest)


def _original(betas: Float[Tensor, " knots"]) -> Table:
    """The table of the original system, from T + 1 betas: step 0 adds noise but is never visited."""
    return Table((1 - betas.double()).cumprod(0)[1:])


def _check(timesteps: int | None) -> int:
    if timesteps is None or timesteps < 1:
        raise ValueError(f"this schedule needs timesteps >= 1, not {timesteps}")
    return timesteps


def original_linear(timesteps: int | None = 1000) -> Schedule:
    """The training schedule of the original: ``T + 1`` betas from 1e-4 to 0.02."""
    return _original(linear_betas(_check(timesteps) + 1))


def original_cosine(timesteps: int | None = 1000) -> Schedule:
    """The alternative schedule of the original: ``T + 1`` cosine betas, clipped to 1e-4..0.999."""
    return _original(cosine_betas(_check(timesteps) + 1))


def linear(timesteps: int | None = 1000) -> Schedule:
    """The schedule of DDPM: T betas from 1e-4 to 0.02 (Ho et al. 2020, section 4)."""
    return Table.from_betas(linear_betas(_check(timesteps), dtype=torch.float64))


def cosine(timesteps: int | None = 1000) -> Schedule:
    """The cosine schedule: T betas, s = 0.008, at most 0.999 (Nichol and Dhariwal 2021, eq. 17)."""
    return Table.from_betas(cosine_betas(_check(timesteps), lowest=0.0, dtype=torch.float64))


def flow(timesteps: int | None = None) -> Schedule:
    """The schedule of straight paths; continuous unless ``timesteps`` is given."""
    return Flow(timesteps if timesteps is None else _check(timesteps))
