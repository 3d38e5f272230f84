"""Samplers, by name: ways from noise to an image, each a generator of :class:`Step`."""

from .consistency import Multistep
from .ddim import DDIM
from .ddpm import DDPM
from .denoise import denoise
from .dpm import DPMSolver
from .grids import GRIDS, make_grid
from .heun import Heun
from .noise import ImageNoise
from .step import Noise, Sampler, Step

SAMPLERS: dict[str, Sampler] = {
    "ddpm": DDPM(),
    "ddpm-large": DDPM(variance="large"),
    "ddim": DDIM(),
    "dpm++": DPMSolver(),
    "heun": Heun(),
    "consistency": Multistep(),
}

__all__ = [
    "DDIM",
    "DDPM",
    "GRIDS",
    "SAMPLERS",
    "DPMSolver",
    "Heun",
    "ImageNoise",
    "Multistep",
    "Noise",
    "Sampler",
    "Step",
    "denoise",
    "make_grid",
]
