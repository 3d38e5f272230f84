"""``mezzotint morph``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.fields import RecipeError
from ..recipe.schema import Sampling
from .common import parse_labels, set_values
from .flags import section_flags, with_flags
from .modules import loading_modules


def morph(
    model: Path,
    start: str,
    end: str,
    /,
    *,
    frames: int = 25,
    seed: int = 0,
    end_seed: int | None = None,
    out: Path | None = None,
    scale: int | None = None,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Turn one sample into another, step by step: a film, or a strip of images.

        mezzotint morph digits 3 8
        mezzotint morph digits 1 1 --end-seed 5
        mezzotint morph digits-fast 4 9 --frames 10 --out strip.png

    The noise and the class are mixed, not the images: each frame is a sample of its own.

    Parameters
    ----------
    model
        A run's folder, a weights file or a shipped model's name.
    start
        Class of the first image.
    end
        Class of the last image.
    frames
        Number of images, 2 to 1000.
    seed
        Seed of the first image, which is that of `mezzotint sample MODEL START --seed SEED`.
    end_seed
        Seed of the last image; that of the first one if not given, so that only the class changes.
    out
        A film, there and back again: .gif, .webp, .apng; or a .png (a strip), .npz (images, uint8).
    scale
        Enlargement of each pixel in a picture or film; 4 if not given.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    with loading_modules():
        import torch

        from ..loading import load
        from ..utils.classes import file_names
        from .pictures import (
            FILMS,
            columns_of,
            kind_of_output,
            result_file,
            write_film,
            write_grid,
            write_npz,
        )

    if scale is not None and (scale < 1 or (out is not None and out.suffix == ".npz")):
        raise RecipeError(f"scale = {scale}: pictures and films are enlarged, at least by 1")
    names = file_names([start, end])
    path = result_file(out, f"morph-{names[0]}-{names[1]}-seed{seed}.gif")
    kind = kind_of_output()
    loaded = load(model, device)
    labels = parse_labels([start, end], loaded.spec.classes) or []
    images = loaded.morph(
        labels[0], labels[1], frames=frames, seed=seed, end_seed=end_seed, **set_values(flags)
    )
    if path.suffix.lower() in FILMS:
        there_and_back = torch.cat([images, images[1:-1].flip(0)])
        write_film(path, there_and_back[:, None], 1, scale or 4)
    elif path.suffix.lower() == ".npz":
        write_npz(path, images, None)
    else:
        write_grid(path, images, columns_of(frames), scale or 4, kind)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(morph, section_flags(Sampling()))
