"""``mezzotint import``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..recipe.fields import RecipeError
from ..utils.output import output_file
from .modules import loading_modules

ENDINGS = (".safetensors",)


def import_(checkpoint: Path, /, *, out: Path | None = None, size: int | None = None) -> None:
    """Convert a checkpoint of the original system, or an exported folder, into a weights file.

        mezzotint import saved_model.pth --out original.safetensors
        mezzotint import digits-for-diffusers --out digits.safetensors

    The weights file samples as what it was made from does.

    Parameters
    ----------
    checkpoint
        The original's saved_model.pth: {model, optimizer, epoch, batch_index}. Loaded as tensors
        only; code in it is never run. Or a folder that was exported for diffusers, whose code is not
        run either.
    out
        A .safetensors file; beside the checkpoint if not given.
    size
        Side of the images in pixels, which the original's checkpoint does not tell; 32 if not given.
    """
    with loading_modules():
        from ..export.diffusers import import_diffusers
        from ..export.original import import_original

    checkpoint = checkpoint.expanduser()
    if checkpoint.is_dir():
        if size is not None:
            raise RecipeError(f"size = {size}: the folder {checkpoint} tells it itself")
        beside = checkpoint.absolute()
        out = output_file(out or beside.with_name(f"{beside.name}.safetensors"), ENDINGS)
        import_diffusers(checkpoint, out)
    else:
        out = output_file(out or checkpoint.with_suffix(".safetensors"), ENDINGS)
        import_original(checkpoint, out, 32 if size is None else size)
    print(out)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return import_
