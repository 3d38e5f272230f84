"""Editing of images with a trained model: inpainting, image to image, morphing.

An edit changes how images are sampled and nothing else: it wraps the denoiser, begins elsewhere or holds
pixels fixed. ``Model.inpaint``, ``Model.edit`` and ``Model.morph`` use it; see :class:`Edit`.
"""

from .base import Edit, Plan
from .editor import Editor
from .image_to_image import ImageToImage
from .inpainting import Inpainting

__all__ = ["Edit", "Editor", "ImageToImage", "Inpainting", "Plan"]
