"""Random numbers as a function of (seed, stream, place), never of earlier draws.

A generator belongs to one place of one stream: a training step, an epoch, an image. Two runs that reach the
same place draw the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

from .numbers import whole_number


class Stream(IntEnum):
    """The purposes of random numbers. Streams are statistically independent."""

    ORDER = 0
    """The order of the images in an epoch: (epoch,)."""
    DRAWS = 1
    """Times, noise and label dropout of a training step: (step, ...)."""
    INIT = 2
    """Initial weights: (0,)."""
    TEST_ROWS = 3
    """Which test images a measure takes: (measure,)."""
    BITS = 4
    """Noise of the likelihood measures: (method,)."""
    HELD_OUT = 5
    """Noise of the held-out loss: (first row,)."""
    CLASSIFY = 6
    """Noise of the model used as a classifier: (first row,)."""


def generator(seed: int, *path: int) -> torch.Generator:
    """A generator for one place, on the CPU.

    Args:
        seed: whole number from 0 to 2**63 - 1.
        path: a :class:`Stream` and a place in it; or the number of an image only, for the noise that sampling
            begins from. Paths of different length or content are statistically independent (NumPy's
            SeedSequence mixes them).

    Returns:
        A fresh generator.

    Raises:
        ValueError: if the seed is not a whole number in its range.
    """
    return torch.Generator().manual_seed(derived_seed(seed, *path))


def derived_seed(seed: int, *path: int) -> int:
    """The seed of a place; see :func:`generator`.

    Args:
        seed: whole number from 0 to 2**63 - 1.
        path: a :class:`Stream` and a place in it.

    Returns:
        A whole number from 0 to 2**64 - 1.

    Raises:
        ValueError: if the seed is not a whole number in its range.
    """
    try:
        seed = whole_number(seed, "seed", 0, 2**63 - 1)
    except ValueError:
        raise ValueError(
            f"the seed must be a whole number from 0 to 2**63 - 1, not {seed!r}"
        ) from None
    low, high = np.random.SeedSequence(seed, spawn_key=path).generate_state(2, np.uint32).tolist()
    return int(high) << 32 | int(low)


@contextmanager
def seeded(seed: int, *path: int) -> Iterator[None]:
    """Seed torch's CPU generator for the block, and restore it after; see :func:`generator`.

    Args:
        seed: whole number from 0 to 2**63 - 1.
        path: a :class:`Stream` and a place in it.

    Raises:
        ValueError: if the seed is not a whole number in its range.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, *path))
        yield
