"""Samplers: ways from noise to an image, each a generator of :class:`Step`."""

from .consistency import Multistep
from .ddim import DDIM
from .ddpm import DDPM
from .denoise import denoise
from .dpm import DPMSolver
from .grids import make_grid
from .heun import Heun
from .noise import ImageNoise
from .options import SamplingOptions
from .step import Noise, Sampler, Step, make_sampler
from .trajectory import Trajectory

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolver",
    "Heun",
    "ImageNoise",
    "Multistep",
    "Noise",
    "Sampler",
    "SamplingOptions",
    "Step",
    "Trajectory",
    "denoise",
    "make_grid",
    "make_sampler",
]
