"""``mezzotint edit``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.schema import Sampling
from .edits import Output, draw
from .flags import section_flags, with_flags
from .modules import loading_modules


def edit(
    model: Path,
    image: str,
    /,
    *labels: str,
    strength: float = 0.7,
    count: int = 1,
    seed: int = 0,
    out: Path | None = None,
    scale: int | None = None,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Turn an image into another: add noise up to a point, and denoise it as a class.

        mezzotint edit digits test:0 9 --strength 0.8
        mezzotint edit digits-fast scribble.png 5 --count 10
        mezzotint edit digits test:0 0 1 2 3 4 5 6 7 8 9 --out film.gif

    Parameters
    ----------
    model
        A run's folder, a weights file or a shipped model's name.
    image
        A picture, which is brought to the size of the model's images; or test:0, test:1, ... for an image of
        the model's test set.
    labels
        Classes of what is to come out; if none is given, the model is not told.
    strength
        How much noise is added: 0 gives the image back, 1 forgets it. All sampling steps are spent below.
    count
        Results for each class.
    seed
        Seed of the noise.
    out
        A .png (a grid, one row per class), .npz (images, uint8, and labels), or a film: .gif, .webp, .apng.
    scale
        Enlargement of each pixel in a picture or film; 4 if not given.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    with loading_modules():
        from ..loading import load
        from .inputs import read_image

    output = Output("edit", out, scale, seed, count)
    loaded = load(model, device)
    draw(loaded, loaded.image_to_image(read_image(image, loaded), strength), labels, output, flags)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(edit, section_flags(Sampling()))
