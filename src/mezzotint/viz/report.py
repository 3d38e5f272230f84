"""Pictures of an evaluation: samples by class, confusion matrix, worst digits, nearest neighbours;
and of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from .grids import tile, to_pillow

INK, PAPER = "#3a2e26", "#b9b3a9"


def _figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, without pyplot: what a notebook draws with stays as it is."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _show(
    axes: Any, images: UInt8[Tensor, "n channels height width"], columns: int, title: str
) -> None:
    axes.imshow(np.asarray(to_pillow(tile(images, columns))), cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=10, loc="left")
    axes.axis("off")


def save_report(
    path: Path,
    *,
    samples: UInt8[Tensor, "n channels height width"],
    columns: int,
    confusion: Int64[Tensor, "classes classes"] | None,
    classes: Sequence[str],
    worst: UInt8[Tensor, "m channels height width"] | None,
    generated: UInt8[Tensor, "k channels height width"],
    training: UInt8[Tensor, "k channels height width"],
    title: str,
) -> None:
    """One page. ``worst``: images least like their label; ``generated`` beside ``training``, each
    with its nearest training image below it."""
    figure = _figure(11, 11)
    grid = figure.subplots(2, 2)
    figure.suptitle(title, parse_math=False)
    _show(grid[0, 0], samples, columns, "a sample" if confusion is None else "one row per class")
    if confusion is not None:
        _confusion(grid[0, 1], confusion, classes)
    else:
        grid[0, 1].axis("off")
    if worst is not None and len(worst):
        _show(grid[1, 0], worst, 8, "least like what was asked for")
    else:
        grid[1, 0].axis("off")
    pairs = [image for pair in _rows(generated, training, 8) for image in pair]
    _show(
        grid[1, 1],
        torch.stack(pairs),
        8,
        "nearest to training images: generated above, training below",
    )
    figure.savefig(path, dpi=110)


def _rows(above: Tensor, below: Tensor, columns: int) -> list[list[Tensor]]:
    """Rows of ``above`` and ``below`` in turn."""
    rows = []
    for start in range(0, len(above) - columns + 1, columns):
        rows += [list(above[start : start + columns]), list(below[start : start + columns])]
    return rows


def _confusion(axes: Any, confusion: Int64[Tensor, "c c"], classes: Sequence[str]) -> None:
    share = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(share.sqrt().numpy(), cmap="bone_r", vmin=0, vmax=1)
    for i, row in enumerate(confusion.tolist()):
        for j, count in enumerate(row):
            if count:
                colour = "white" if share[i, j] > 0.4 else INK
                axes.text(j, i, count, ha="center", va="center", fontsize=7, color=colour)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)))
    axes.set(xticklabels=classes, yticklabels=classes, xlabel="seen as", ylabel="asked for")
    axes.set_title("confusion", fontsize=10, loc="left")


def save_sweep(
    path: Path,
    name: str,
    settings: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    floors: Mapping[str, float],
) -> None:
    """One small plot per measure along the sweep, with its floor as a dashed line."""
    figure = _figure(3.4 * len(curves), 3.2)
    grid = figure.subplots(1, len(curves), squeeze=False)
    for axes, (measure, values) in zip(grid[0], curves.items(), strict=True):
        axes.plot(settings, values, color=INK, marker="o", markersize=4)
        if measure in floors:
            axes.axhline(floors[measure], color=PAPER, linestyle="--", label="floor")
            axes.legend(frameon=False)
        axes.set(xlabel=name, title=measure)
        axes.grid(alpha=0.2)
        if 0 < 10 * min(settings) < max(settings):
            axes.set_xscale("log")
    figure.savefig(path, dpi=110)
