"""``mezzotint gif``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..recipe.fields import RecipeError
from ..recipe.schema import Sampling
from ..utils.classes import file_names
from ..utils.console import warn
from ..utils.output import output_folder
from .common import parse_labels, set_values
from .flags import section_flags, with_flags
from .modules import loading_modules

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import Trajectory

Format = Literal["gif", "apng", "webp"]

MOST = 100
"""Images that are sampled at once, and that a grid has if no class is named."""


def gif(
    model: Path,
    /,
    *labels: str,
    out: Path = Path("gifs"),
    layout: Literal["each", "grid"] = "each",
    show: Literal["x", "x0", "both"] = "x",
    format: Format = "gif",
    fps: float = 20,
    frames: int = 60,
    hold: float = 1.5,
    scale: int = 6,
    seed: int = 0,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Animate the denoising, from noise to image: one animation per class, or all in one.

        mezzotint gif runs/digits 0 1 2
        mezzotint gif runs/digits --layout grid --steps 50
        mezzotint gif runs/digits 7 --show both --format webp

    At least 50 steps are taken, unless --steps is given.

    Parameters
    ----------
    model
        A run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the Hugging Face Hub.
    labels
        Classes, by name or number; all if none is named.
    out
        Folder to write to.
    layout
        An animation for each class, or one of all of them in a grid.
    show
        x: the noisy image; x0: the predicted clean image; both, side by side.
    format
        gif, apng or webp.
    fps
        Frames per second, at most 100.
    frames
        At most so many frames, evenly picked from the steps.
    hold
        Additional seconds for the last frame.
    scale
        Enlargement of each pixel.
    seed
        Seed of the noise.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    with loading_modules():
        from ..loading import load
        from ..viz.animations import check_format, frame_duration, select

    frame_duration(fps)
    if frames < 2 or scale < 1 or hold < 0:
        raise RecipeError("frames must be at least 2, scale at least 1 and hold not negative")
    out = output_folder(out)
    loaded = load(model, device)
    classes = parse_labels(labels, loaded.spec.classes)
    if layout == "grid":
        classes = _few(classes, named=bool(labels))
    number = len(classes or [0])
    height, width = loaded.spec.size
    columns = _columns(number) if layout == "grid" else 1
    rows = -(-number // columns) if layout == "grid" else 1
    wide = columns * (2 if show == "both" else 1) * (width + 2) * scale
    check_format(format, wide, rows * (height + 2) * scale)
    names = file_names([loaded.spec.classes[label] for label in classes]) if classes else ["image"]
    most = loaded.recipe.diffusion.timesteps or 50
    changes = {"steps": max(min(50, most), loaded.recipe.sampling.steps), **set_values(flags)}
    settings = Settings(format, fps, hold, scale)
    for start in range(0, number, MOST):
        part = slice(start, start + MOST)
        trajectory = loaded.trajectory(
            classes[part] if classes else None,
            count=None if classes else 1,
            seed=seed,
            first=start,
            progress=True,
            **changes,
        )
        film = _film(trajectory, show)[select(len(trajectory.t), frames)]
        if layout == "grid":
            print(_save(_in_grid(film), out / "grid", settings))
            return
        for k, name in enumerate(names[part]):
            print(_save(film[:, k], out / name, settings))


@dataclass(frozen=True)
class Settings:
    """How animations are written; see :func:`save_animation`."""

    format: Format
    fps: float
    hold: float
    scale: int


def _save(film: "Tensor", stem: Path, settings: Settings) -> Path:
    """Write one animation."""
    from ..utils.files import whole_file
    from ..viz.animations import SUFFIXES, save_animation

    path = stem.with_name(f"{stem.name}{SUFFIXES[settings.format]}")
    with whole_file(path) as temporary:
        save_animation(temporary, film, **asdict(settings))
    return path


def _few(classes: list[int] | None, named: bool) -> list[int] | None:
    """The classes of a grid: those that were named, or all, but not hundreds."""
    if classes is not None and not named and len(classes) > MOST:
        warn(f"of {len(classes)} classes, the first {MOST} are shown: name others to see them")
        return classes[:MOST]
    return classes


def _columns(number: int) -> int:
    """Images in a row of a grid: five, or as many as make a square of many."""
    return max(min(5, number), math.isqrt(number - 1) + 1)


def _film(trajectory: "Trajectory", show: str) -> "Tensor":
    """(moments, images, channels, height, width) of what is to be seen."""
    from ..viz.animations import side_by_side

    match show:
        case "x":
            return trajectory.x
        case "x0":
            return trajectory.x0
    return side_by_side(trajectory.x, trajectory.x0)


def _in_grid(film: "Tensor") -> "Tensor":
    """All images of each moment in one."""
    import torch

    from ..viz.grids import tile

    return torch.stack([tile(moment, _columns(len(moment))) for moment in film])


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(gif, section_flags(Sampling()))
