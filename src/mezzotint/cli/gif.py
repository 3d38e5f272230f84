"""``mezzotint gif``"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..recipe.fields import RecipeError
from ..recipe.schema import Sampling
from .common import parse_labels, set_values
from .flags import section_flags, with_flags

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import Trajectory


def gif(
    model: Path,
    /,
    *labels: str,
    out: Path = Path("gifs"),
    layout: Literal["each", "grid"] = "each",
    show: Literal["x", "x0", "both"] = "x",
    format: Literal["gif", "apng", "webp"] = "gif",
    fps: float = 20,
    frames: int = 60,
    hold: float = 1.5,
    scale: int = 6,
    seed: int = 0,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Show the whole denoising, from noise to image: one animation per class, or all in one.

        mezzotint gif runs/digits 0 1 2
        mezzotint gif runs/digits --layout grid --steps 50
        mezzotint gif runs/digits 7 --show both --format webp

    So that there is something to see, it takes at least 50 steps unless told otherwise.

    Parameters
    ----------
    model
        A run's folder or a weights file.
    labels
        Classes, by name or number; all if none is named.
    out
        Folder to write to.
    layout
        An animation for each class, or one of all of them in a grid.
    show
        x: the noisy image; x0: the clean image the model sees in it; both, side by side.
    format
        gif, apng or webp.
    fps
        Frames per second, at most 100.
    frames
        At most so many frames, evenly picked from the steps.
    hold
        Seconds that the last frame stays.
    scale
        Enlargement of each pixel.
    seed
        Seed of the noise.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    from ..model import load
    from ..utils.files import whole_file
    from ..viz.animations import SUFFIXES, frame_duration, save_animation, select

    frame_duration(fps)
    if frames < 2 or scale < 1 or hold < 0:
        raise RecipeError("frames must be at least 2, scale at least 1 and hold not negative")
    loaded = load(model, device)
    classes = parse_labels(labels, loaded.spec.classes)
    most = loaded.recipe.diffusion.timesteps or 50
    changes = {"steps": max(min(50, most), loaded.recipe.sampling.steps), **set_values(flags)}
    trajectory = loaded.trajectory(
        classes, count=None if classes else 1, seed=seed, progress=True, **changes
    )
    film = _film(trajectory, show)[select(len(trajectory.t), frames)]
    names = [loaded.spec.classes[label] for label in classes] if classes else ["image"]
    films = {name: film[:, k] for k, name in enumerate(names)}
    if layout == "grid":
        films = {"grid": _in_grid(film)}
    for name, moving in films.items():
        path = out / f"{name}{SUFFIXES[format]}"
        with whole_file(path) as temporary:
            save_animation(temporary, moving, format=format, fps=fps, hold=hold, scale=scale)
        print(path)


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
    """All images of each moment in one, at most five in a row."""
    import torch

    from ..viz.grids import tile

    return torch.stack([tile(moment, min(5, len(moment))) for moment in film])


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(gif, section_flags(Sampling()))
