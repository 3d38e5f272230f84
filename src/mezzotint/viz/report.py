"""Plots of an evaluation and of a sweep.

The report of an evaluation has samples by class, the confusion matrix, the worst samples and nearest
neighbours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from .figures import new_figure, save_figure
from .grids import tile, to_pillow

INK = "#3a2e26"
PAPER = "#b9b3a9"

MOST_NAMES = 40
"""Classes whose names and counts can be read in a picture."""


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
    """Write the report of an evaluation, one page.

    Args:
        path: image file to write.
        samples: uint8 samples (n, channels, height, width), one row per class.
        columns: samples per row.
        confusion: number of samples by (class asked for, class recognized), or None.
        classes: names of the classes.
        worst: uint8 images that fit their label least, or None.
        generated: uint8 images that are nearest to training images.
        training: nearest training image of each.
        title: title of the page.
    """
    figure = new_figure(11, 11)
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
    save_figure(figure, path, dpi=110)


def _rows(above: Tensor, below: Tensor, columns: int) -> list[list[Tensor]]:
    """Complete rows of ``above`` and ``below``, alternating."""
    rows = []
    for start in range(0, len(above) - columns + 1, columns):
        rows += [list(above[start : start + columns]), list(below[start : start + columns])]
    return rows


def _confusion(axes: Any, confusion: Int64[Tensor, "c c"], classes: Sequence[str]) -> None:
    share = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(share.sqrt().numpy(), cmap="bone_r", vmin=0, vmax=1)
    for i, row in enumerate(confusion.tolist() if len(classes) <= MOST_NAMES else []):
        for j, count in enumerate(row):
            if count:
                colour = "white" if share[i, j] > 0.4 else INK
                axes.text(j, i, count, ha="center", va="center", fontsize=7, color=colour)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)))
    axes.set(xlabel="recognized as", ylabel="asked for")
    if len(classes) <= MOST_NAMES:
        axes.set_xticklabels(classes, parse_math=False)
        axes.set_yticklabels(classes, parse_math=False)
    else:
        axes.set(xticks=[], yticks=[])
    axes.set_title("confusion", fontsize=10, loc="left")


def save_sweep(
    path: Path,
    name: str,
    settings: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    floors: Mapping[str, float],
) -> None:
    """Plot the metrics of a sweep, one plot for each.

    Args:
        path: image file to write.
        name: name of the setting that varies.
        settings: its values.
        curves: values of each metric, by its name, one for each setting.
        floors: values of metrics for real images, drawn as dashed lines; not every metric has one.
    """
    figure = new_figure(3.4 * len(curves), 3.2)
    grid = figure.subplots(1, len(curves), squeeze=False)
    for axes, (metric, values) in zip(grid[0], curves.items(), strict=True):
        axes.plot(settings, values, color=INK, marker="o", markersize=4)
        if metric in floors:
            axes.axhline(floors[metric], color=PAPER, linestyle="--", label="floor")
            axes.legend(frameon=False)
        axes.set(xlabel=name, title=metric)
        axes.grid(alpha=0.2)
        if 0 < 10 * min(settings) < max(settings):
            axes.set_xscale("log")
    save_figure(figure, path, dpi=110)
