"""A diffusion model as a classifier: the label with the smallest denoising error wins.

(Li et al. 2023, "Your diffusion model is secretly a zero-shot classifier", eq. 6).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..diffusion.level import Images
from ..diffusion.process import diffuse


@torch.inference_mode()
def denoising_errors(
    denoiser: Denoiser, x0: Images, classes: int, generator: torch.Generator, draws: int = 8
) -> Float[Tensor, "batch classes"]:
    """Return the mean squared error of the predicted image under each label.

    The noise levels are stratified over t in [0.3, 0.9], where the class still matters and part of the
    image is still visible. All labels share the same noise, so that only the label makes a difference.

    Args:
        denoiser: The class-conditional model.
        x0: (batch, channels, height, width) clean images in [-1, 1], on the denoiser's device.
        classes: Number of classes; labels are 0 to classes - 1.
        generator: CPU source of the times and of the noise.
        draws: Number of noise levels per image, at least 1.

    Returns:
        (batch, classes) errors on the CPU, mean over pixels and noise levels.
    """
    errors = torch.zeros(len(x0), classes)
    for k in range(draws):
        u = (k + torch.rand(len(x0), generator=generator, dtype=torch.float64)) / draws
        t = denoiser.schedule.snap(0.3 + 0.6 * u)
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        x_t = diffuse(x0, eps, denoiser.schedule.level(t))
        for label in range(classes):
            labels = torch.full((len(x0),), label, device=x0.device)
            prediction = denoiser(x_t, t, labels)
            errors[:, label] += (prediction.x0 - x0).square().flatten(1).mean(1).cpu() / draws
    return errors
