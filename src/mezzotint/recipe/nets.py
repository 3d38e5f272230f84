"""The section ``[net]`` of a recipe: one dataclass per network, selected by ``name``.

``network`` is the ``module:attribute`` of the network. It is called with ``size``, ``channels`` and
``num_classes`` of the images, and with the fields of its section.
"""

from dataclasses import dataclass
from typing import ClassVar

from .fields import option


@dataclass(frozen=True, kw_only=True)
class Lean:
    """Settings of the two-level U-Net for CPUs."""

    network: ClassVar[str] = "mezzotint.nets:Lean"

    name: str = "lean"
    width: int = option(
        32, "channels at the upper level, twice that at the lower", least=1, most=16_384
    )
    blocks: int = option(2, "residual blocks per level, down and up", least=1, most=256)
    patch: int = option(2, "pixels folded into channels, per side", least=1)
    embedding: int = option(128, "width of the time and label embedding", least=2, most=65_536)
    heads: int = option(1, "heads of attention", least=1)
    groups: int = option(
        1, "groups of each group norm; 1 is fastest, 0 is for no norms at all", least=0
    )


@dataclass(frozen=True, kw_only=True)
class UNet:
    """Settings of the U-Net of the original system (see ``docs/bibliography.md``)."""

    network: ClassVar[str] = "mezzotint.nets:UNet"

    name: str = "unet"
    width: int = option(
        64, "channels at the first level, doubled at each further one", least=1, most=16_384
    )
    depth: int = option(4, "levels", least=1, most=8)
    embedding: int = option(128, "width of the time and label embedding", least=2, most=65_536)
    groups: int = option(8, "groups of each group norm", least=1)
