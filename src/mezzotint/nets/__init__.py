"""Networks. They map (x_t, steps, labels) to an image-shaped output and know nothing of
diffusion."""

from .critic import Critic
from .lean import Lean
from .unet import UNet

__all__ = ["Critic", "Lean", "UNet"]
