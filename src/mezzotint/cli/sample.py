"""``mezzotint sample``."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.fields import RecipeError
from ..recipe.schema import Sampling
from ..utils.classes import file_names
from ..utils.output import output_file
from .common import parse_labels, set_values
from .flags import section_flags, with_flags
from .modules import loading_modules

ENDINGS = (".png", ".npz")


def sample(
    model: Path,
    /,
    *labels: str,
    count: int = 1,
    seed: int = 0,
    out: Path | None = None,
    batch: int = 64,
    scale: int | None = None,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Generate images of all classes, or of some.

        mezzotint sample runs/digits 7 --count 16
        mezzotint sample runs/digits 3 1 4 --guidance 2 --steps 20
        mezzotint sample runs/digits --count 1000 --out digits.npz

    The same seed gives the same images, whatever the batch. Options left out are as the model's
    recipe has them. In a terminal that can show pictures, a .png is shown too, as far as there is
    room; MEZZOTINT_PICTURES=0 or NO_COLOR in the environment switches that off.

    Parameters
    ----------
    model
        A run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the Hugging Face Hub.
    labels
        Classes, by name, or by position where no class is a number; all if none is given.
    count
        Images of each class.
    seed
        Seed of the noise.
    out
        A .png (a grid, one row per class) or .npz (images, uint8, and labels).
    batch
        Images computed at once.
    scale
        Enlargement of each pixel in the .png; 4 if not given.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    with loading_modules():
        from ..loading import load
        from ..model import MOST_IMAGES
        from .pictures import kind_of_output, write_grid, write_npz

    if not 1 <= count <= MOST_IMAGES:
        raise RecipeError(f"count = {count}: it must be from 1 to {MOST_IMAGES}")
    if batch < 1 or (scale is not None and scale < 1):
        raise RecipeError(f"batch = {batch} and scale = {scale}: both must be at least 1")
    if out is not None and out.suffix == ".npz" and scale is not None:
        raise RecipeError(f"scale = {scale}: only a .png is enlarged, not {out}")
    if out is not None:
        output_file(out, ENDINGS)
    kind = kind_of_output()
    loaded = load(model, device)
    classes = parse_labels(labels, loaded.spec.classes)
    repeated = None if classes is None else [label for label in classes for _ in range(count)]
    total = count if repeated is None else len(repeated)
    named = file_names(loaded.spec.classes)
    words = "-".join(named[label] for label in classes or []) if labels else "all"
    default = f"{file_names([model.stem])[0]}-{words[:100]}-seed{seed}.png"
    path = output_file(out or Path(default), ENDINGS, total * math.prod(loaded.spec.shape))
    images = loaded.sample(
        repeated,
        count=None if repeated else count,
        seed=seed,
        batch=batch,
        progress=True,
        **set_values(flags),
    )
    if path.suffix.lower() == ".npz":
        write_npz(path, images, repeated)
        return
    columns = count if repeated is not None and count > 1 else min(total, 10)
    write_grid(path, images, columns, scale or 4, kind)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(sample, section_flags(Sampling()))
