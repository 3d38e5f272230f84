"""Figures without pyplot, whose backend in a notebook stays as it is."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.cache import cache_entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _has_place_for_matplotlib() -> bool:
    """Whether matplotlib finds a folder for its caches by itself, where they belong."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return False
    cache = os.environ.get("XDG_CACHE_HOME") or home
    return "MPLCONFIGDIR" in os.environ or (os.path.isabs(cache) and os.access(home, os.W_OK))


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure.

    Args:
        width: in inches.
        height: in inches.
    """
    if not _has_place_for_matplotlib():
        os.environ["MPLCONFIGDIR"] = str(cache_entry("matplotlib", "config"))
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure to a file, whose ending says the format.

    Args:
        figure: to write.
        path: of the file.
        dpi: pixels an inch.
    """
    stream = io.BytesIO()  # see grids.save_picture
    figure.savefig(stream, dpi=dpi, format=path.suffix[1:] or "png")
    path.write_bytes(stream.getvalue())
