"""Networks, by name. They map (x_t, steps, labels) to an image-shaped output and know nothing of
diffusion."""

from .lean import Lean
from .unet import UNet

NETS = {"lean": Lean, "unet": UNet}

__all__ = ["NETS", "Lean", "UNet"]
