"""Models as folders that diffusers loads, and back.

For example::

    from mezzotint.export.diffusers import MezzotintPipeline, export_diffusers

    export_diffusers("digits", Path("digits-for-diffusers"))
    pipe = MezzotintPipeline.from_pretrained("digits-for-diffusers")

``export_diffusers`` and ``import_diffusers`` need no diffusers; ``MezzotintPipeline`` does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .read import import_diffusers
from .write import export_diffusers

if TYPE_CHECKING:
    from .installed import MezzotintPipeline

__all__ = ["MezzotintPipeline", "export_diffusers", "import_diffusers"]


def __getattr__(name: str) -> Any:
    if name != "MezzotintPipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(".installed", __name__).MezzotintPipeline
