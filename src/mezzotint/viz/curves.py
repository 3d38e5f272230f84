"""The loss curve."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .figures import new_figure, save_figure

MOST_POINTS = 2000
"""Largest number of points of a curve; an image has no more columns that could show them."""

Floats = NDArray[np.float64]


def running_mean(values: Floats, span: int) -> Floats:
    """The mean of each value and the ``span`` values before it, or fewer at the beginning.

    Args:
        values: (n,).
        span: number of earlier values.

    Returns:
        means (n,).
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - span - 1, 0)
    means: Floats = (sums[stop] - sums[start]) / (stop - start)
    return means


def thinned(values: Floats, most: int = MOST_POINTS) -> Floats:
    """The means of pieces of neighbouring values.

    Args:
        values: (n,).
        most: largest number of pieces.

    Returns:
        means (n,) or (most,), whichever is fewer.
    """
    pieces = np.array_split(values, min(most, len(values)))
    return np.array([piece.mean() for piece in pieces])


def save_loss_curve(path: Path, steps: Sequence[int], losses: Sequence[float], title: str) -> None:
    """Plot the loss over the steps, with its running mean, on a logarithmic scale.

    Args:
        path: image file to write.
        steps: step of each entry.
        losses: mean loss since the previous entry.
        title: title of the plot.
    """
    values = np.asarray(losses, np.float64)
    means = running_mean(values, max(1, len(values) // 20))
    x = thinned(np.asarray(steps, np.float64))
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot(x, thinned(values), color="#b9b3a9", linewidth=1, label="mean since the entry before")
    axes.plot(x, thinned(means), color="#3a2e26", linewidth=1.8, label="running mean")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.set_title(title, parse_math=False)
    axes.grid(which="both", alpha=0.2)
    axes.legend(frameon=False)
    save_figure(figure, path, dpi=120)
