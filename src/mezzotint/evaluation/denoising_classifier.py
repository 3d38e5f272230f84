"""The model as a classifier: an image's label is the one under which it is denoised best
(Li et al. 2023, "Your diffusion model is secretly a zero-shot classifier", eq. 6)."""

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
    """The mean squared error of x0 under each label, over ``draws`` noise levels between 0.3 and 0.9,
    where the class still matters and something of the image is left.

    All labels see the same noise, so that only the label makes the difference.
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
