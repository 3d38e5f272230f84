"""How training times are distributed: functions from uniform numbers to times, and a curriculum."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Uniforms = Float[Tensor, " batch"]


def _stratify(u: Uniforms) -> Uniforms:
    """One draw from each of ``batch`` equal intervals of (0, 1): same mean, less variance."""
    return (torch.arange(len(u), dtype=u.dtype) + u) / len(u)


def uniform(u: Uniforms) -> Uniforms:
    """All times alike, drawn independently: the original's."""
    return u


def stratified(u: Uniforms) -> Uniforms:
    """All times alike, spread evenly over the batch (Kingma et al. 2021, appendix I.1)."""
    return _stratify(u)


def logit_normal(u: Uniforms) -> Uniforms:
    """More often in the middle, where most is to be learnt, spread evenly over the batch
    (Esser et al. 2024, eq. 19, with location 0 and scale 1)."""
    return torch.special.ndtri(_stratify(u)).sigmoid()


def uniforms(count: int, generator: torch.Generator) -> Uniforms:
    """``count`` uniform numbers in (0, 1), float64, never 0."""
    return torch.rand(count, generator=generator, dtype=torch.float64).clamp(min=1e-9)


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Progressive training: begin with the first ``start`` of the times, the nearly clean ones, and
    grow evenly to all of them by the share ``until`` of training. ``start = 1`` is off."""

    start: float = 1.0
    until: float = 0.5

    def horizon(self, progress: float) -> float:
        """The largest time in use when the share ``progress`` of training is done."""
        grown = 1.0 if progress >= self.until else progress / self.until
        return self.start + (1 - self.start) * grown


OFF = Curriculum()
"""No curriculum."""
