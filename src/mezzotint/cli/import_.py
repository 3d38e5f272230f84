"""``mezzotint import``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..utils.output import output_file


def import_(checkpoint: Path, /, *, out: Path | None = None, size: int = 32) -> None:
    """Convert a checkpoint of the original system into a weights file that samples alike.

        mezzotint import saved_model.pth --out original.safetensors

    Parameters
    ----------
    checkpoint
        The original's saved_model.pth: {model, optimizer, epoch, batch_index}. Loaded as tensors
        only; code in it is never run.
    out
        A .safetensors file; beside the checkpoint if not given.
    size
        Side of the images in pixels, which the checkpoint does not tell.
    """
    from ..export.original import import_original

    checkpoint = checkpoint.expanduser()
    out = output_file(out or checkpoint.with_suffix(".safetensors"), (".safetensors",))
    import_original(checkpoint, out, size)
    print(out)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return import_
