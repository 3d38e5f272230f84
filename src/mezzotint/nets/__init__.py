"""Networks: they map (x_t, steps, labels) to an output of the images' shape.

They know nothing of diffusion.
"""

from .critic import Critic, FeatureCritic
from .lean import Lean
from .unet import UNet

__all__ = ["Critic", "FeatureCritic", "Lean", "UNet"]
