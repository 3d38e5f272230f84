"""``mezzotint inpaint``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.schema import Sampling
from .edits import Output, draw
from .flags import section_flags, with_flags
from .modules import loading_modules


def inpaint(
    model: Path,
    image: str,
    mask: str,
    /,
    *labels: str,
    method: str | None = None,
    count: int = 1,
    seed: int = 0,
    out: Path | None = None,
    scale: int | None = None,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Repaint a part of an image, so that it fits the rest.

        mezzotint inpaint digits test:0 bottom 7 --count 10
        mezzotint inpaint digits-fast drawing.png mask.png 3 8
        mezzotint inpaint digits test:3 left --out film.gif

    Pixels that are kept come back exactly as they were.

    Parameters
    ----------
    model
        A run's folder, a weights file or a shipped model's name.
    image
        A picture, which is brought to the size of the model's images; or test:0, test:1, ... for an image of
        the model's test set.
    mask
        A picture of the same size, white where to repaint; or top, bottom, left, right or center.
    labels
        Classes of what is to come out; if none is given, the model is not told.
    method
        replace (distilled models); pigdm or repaint:jump=1,repeats=4 (others). If not given, what measured
        best: replace or repaint.
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
        from .inputs import read_image, read_mask

    output = Output("inpaint", out, scale, seed, count)
    loaded = load(model, device)
    edit = loaded.inpainting(read_image(image, loaded), read_mask(mask, image, loaded.spec), method)
    draw(loaded, edit, labels, output, flags)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(inpaint, section_flags(Sampling()))
