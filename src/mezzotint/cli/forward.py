"""``mezzotint forward``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..recipe.fields import RecipeError
from ..utils.output import output_file
from .modules import loading_modules


def forward(
    recipe: str = "ddpm",
    /,
    *times: float,
    label: str | None = None,
    number: int = 0,
    schedule: str | None = None,
    seed: int = 0,
    scale: int = 4,
    out: Path | None = None,
) -> None:
    """Show the forward process as a strip of images, from clean to pure noise.

        mezzotint forward ddpm
        mezzotint forward ddpm 0 0.1 0.5 1 --label 3
        mezzotint forward ddpm --schedule cosine

    In a terminal that can show pictures, the strip is shown too, or as many of its images as there
    is room for; MEZZOTINT_PICTURES=0 or NO_COLOR in the environment switches that off.

    Parameters
    ----------
    recipe
        Whose data and noise schedule to show.
    times
        Times from 0, clean, to 1, noise; eleven even ones if none is given. Step i of T is i/T.
    label
        Class of the image; 7, or the first one, if not given.
    number
        Which of the class's training images.
    schedule
        Another schedule than the recipe's: linear, cosine, original-linear, original-cosine or flow.
    seed
        Seed of the noise.
    scale
        Enlargement of each pixel.
    out
        A .png file.
    """
    from ..recipe.presets import as_recipe
    from ..utils.classes import file_names
    from .common import parse_labels
    from .pictures import kind_of_output, write_grid

    chosen = as_recipe(recipe)
    if schedule is not None:
        # What a network would predict does not matter here; "v" goes with every schedule.
        timesteps = None if schedule == "flow" else chosen.diffusion.timesteps or 1000
        other = {"schedule": schedule, "timesteps": timesteps, "parametrization": "v"}
        chosen = as_recipe(chosen, {"diffusion": other})
    if out is not None:
        out = output_file(out, (".png",))
    if any(not 0 <= time <= 1 for time in times):
        raise RecipeError(f"times = {list(times)}: each must be from 0, clean, to 1, noise")
    kind = kind_of_output()
    with loading_modules():
        import torch

        from .. import build
        from ..diffusion.process import diffuse
        from ..utils import pixels
        from ..utils.randomness import generator

    data = build.load_data(chosen.data)
    if label is None and data.classes:
        label = "7" if "7" in data.classes else data.classes[0]
    rows = torch.arange(len(data))
    if classes := parse_labels([label] if label else [], data.classes):
        rows = (data.labels == classes[0]).nonzero()[:, 0]
    if not 0 <= number < len(rows):
        of_class = f" of class {label}" if label else ""
        raise RecipeError(f"number = {number}: there are {len(rows)} images{of_class}")
    t = torch.tensor(times or [k / 10 for k in range(11)], dtype=torch.float64)
    clean = pixels.to_float(data.images[rows[number]]).expand(len(t), -1, -1, -1)
    noise = torch.randn(clean.shape[1:], generator=generator(seed)).expand_as(clean)
    strip = diffuse(clean, noise, build.make_schedule(chosen.diffusion).level(t))
    name = file_names([label])[0] if label else number
    out = out or Path(f"forward-{chosen.diffusion.schedule}-{name}.png")
    write_grid(out, pixels.to_uint8(strip), len(t), scale, kind, even=True)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return forward
