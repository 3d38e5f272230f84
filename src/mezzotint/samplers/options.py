"""The options of sampling."""

from typing import TypedDict


class SamplingOptions(TypedDict, total=False):
    """Options that replace those of the recipe's ``[sampling]``; see ``mezzotint sample --help``."""

    sampler: str
    steps: int
    grid: str
    guidance: float
    interval: tuple[float, float]
    clip: bool
    precision: str
