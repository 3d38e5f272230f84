"""Figures without pyplot, whose backend in a notebook stays as it is."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.files import cache_entry

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
