"""Distributions of training times, as functions of uniform numbers, and a curriculum."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..registry import TIMES, with_options

Uniforms = Float[Tensor, " batch"]


def _stratify(u: Uniforms) -> Uniforms:
    """One draw from each of ``batch`` equal intervals of (0, 1): same mean, less variance."""
    return (torch.arange(len(u), dtype=u.dtype) + u) / len(u)


def uniform(u: Uniforms) -> Uniforms:
    """Uniform times, drawn independently, as in the original."""
    return u


def stratified(u: Uniforms) -> Uniforms:
    """Uniform times, stratified over the batch (Kingma et al. 2021, appendix I.1)."""
    return _stratify(u)


def logit_normal(u: Uniforms, *, shift: float = 1.0) -> Uniforms:
    """Logit-normal times, stratified over the batch (Esser et al. 2024, eq. 19, scale 1).

    Times in the middle, where there is most to learn, are more frequent.

    Args:
        u: uniform numbers.
        shift: each time t moves to one whose ratio t / (1 - t), which is sigma / alpha for the flow, is
            ``shift`` times as large (Esser et al. 2024, eq. 23), so the location is ``log(shift)``. Above 1,
            more times have much noise.

    Returns:
        times (batch,) in (0, 1).

    Raises:
        ValueError: if ``shift`` is not above 0.
    """
    if not 0 < shift < math.inf:
        raise ValueError(f"times 'logit-normal': shift must be above 0, not {shift}")
    return (torch.special.ndtri(_stratify(u)) + math.log(shift)).sigmoid()


def make_times(name: str) -> Callable[[Uniforms], Uniforms]:
    """A distribution of training times by its name and options.

    Args:
        name: such as "uniform" or "logit-normal:shift=2".

    Returns:
        a function from uniform numbers to times.

    Raises:
        ValueError: if it has no such option, or the option no such value.
    """
    times = with_options("times", TIMES, name)
    times(torch.full((1,), 0.5, dtype=torch.float64))  # refuses values out of range now
    return times


def uniforms(count: int, generator: torch.Generator) -> Uniforms:
    """Draw uniform numbers in (0, 1), never 0.

    Args:
        count: how many.
        generator: source of the numbers, on the CPU.

    Returns:
        float64 numbers (count,).
    """
    return torch.rand(count, generator=generator, dtype=torch.float64).clamp(min=1e-9)


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Progressive training: from nearly clean images to all noise levels.

    Args:
        start: largest time at the beginning, in (0, 1]; 1 for no curriculum.
        until: share of training after which all times are in use; the largest time grows linearly until then.
    """

    start: float = 1.0
    until: float = 0.5

    def horizon(self, progress: float) -> float:
        """The largest time in use when the share ``progress`` of training is done."""
        share = 1.0 if progress >= self.until else progress / self.until
        return self.start + (1 - self.start) * share


OFF = Curriculum()
"""No curriculum."""
