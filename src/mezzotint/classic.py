"""The original system in its own words, a thin face over the rest of the package.

The original is GabiYamato/DDPM-diffusion, https://github.com/GabiYamato/DDPM-diffusion.

    from mezzotint.classic import GabiDiffUnet, sampling
    model = GabiDiffUnet(in_channels=1, image_size=32)
    model.load_state_dict(torch.load("saved_model.pth", weights_only=True)["model"])
    samples = sampling(model, (10, 1, 32, 32), labels=torch.arange(10))

Its tables have 1001 entries, of which steps 1000 to 1 are visited, and its noise is torch's global
one. Where it differs from the rest of the package: step 0 is not quite clean, so the last step
leaves noise of about 0.007 in the image, less than one level of grey.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from .diffusion.denoiser import Labels
from .diffusion.level import Images, NoiseLevel, scale
from .diffusion.parametrizations import eps, invert
from .diffusion.process import diffuse, posterior
from .diffusion.schedules import cosine_betas, linear_betas
from .nets import UNet
from .nets.blocks import fold_standardization

num_timesteps = 1001

Steps = Int[Tensor, " batch"]


class GabiDiffUnet(UNet):
    """The original's network under the original's name and arguments. Its ``image_size`` of 28 does
    not pass four levels, so 32 is the default here."""

    def __init__(
        self,
        time_emb_dim: int = 128,
        num_classes: int = 10,
        in_channels: int = 3,
        resnet_depth: int = 4,
        image_size: int = 32,
    ) -> None:
        super().__init__(
            size=(image_size, image_size),
            channels=in_channels,
            num_classes=num_classes,
            depth=resnet_depth,
            embedding=time_emb_dim,
        )


def linear_schedule(num_timesteps: int) -> Float[Tensor, " num_timesteps"]:
    """Betas from 1e-4 to 0.02."""
    return linear_betas(num_timesteps)


def cosine_schedule(num_timesteps: int, s: float = 0.008) -> Float[Tensor, " num_timesteps"]:
    """Cosine betas, clipped to 1e-4..0.999."""
    return cosine_betas(num_timesteps, s)


betas_t = linear_schedule(num_timesteps)
alphas_bar_t = (1 - betas_t.double()).cumprod(0)


def _level(t: Steps) -> NoiseLevel:
    alpha_bar = alphas_bar_t[t.cpu()]
    return NoiseLevel(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def sample_q(x0: Images, t: Steps, noise: Images | None = None) -> Images:
    """``x_t`` for clean images at steps ``t`` (batch,) in 0..1000."""
    return diffuse(x0, torch.randn_like(x0) if noise is None else noise, _level(t))


@torch.no_grad()
def sample_p(
    model: nn.Module, x_t: Images, t: Steps, labels: Labels | None = None, clipping: bool = True
) -> Images:
    """One reverse step, from ``t`` (batch,) in 1..1000, the same for all images, to ``t - 1``."""
    level = _level(t)
    x0 = invert(eps, level, x_t, model(x_t, t, labels)).x0
    if clipping:
        x0 = x0.clamp(-1, 1)
    mean, std = posterior(x_t, x0, level, _level(t - 1))
    if t[0].item() == 1:
        return mean
    return mean + scale(std, torch.randn_like(x_t))


@torch.no_grad()
def sampling(
    model: nn.Module,
    shape: tuple[int, int, int, int],
    labels: Labels | None = None,
    image_noise_steps_to_keep: int = 1,
) -> list[Images]:
    """Images from noise, by 1000 reverse steps; the states after the last
    ``image_noise_steps_to_keep`` of them, on the CPU, the image last."""
    if isinstance(model, UNet):
        model = fold_standardization(copy.deepcopy(model))  # once, instead of at each of 1000 steps
    device = next(model.parameters()).device
    images = torch.randn(shape, device=device)
    labels = None if labels is None else labels.to(device)
    kept = []
    for step in tqdm(range(num_timesteps - 1, 0, -1), desc="sampling timestep"):
        t = torch.full((shape[0],), step, device=device)
        images = sample_p(model, images, t, labels)
        if step <= image_noise_steps_to_keep:
            kept.append(images.cpu())
    return kept


def compute_loss(
    model: nn.Module,
    x0: Images,
    t: Steps,
    labels: Labels | None = None,
    noise: Images | None = None,
) -> Float[Tensor, ""]:
    """The L1 distance between the noise and the model's guess of it."""
    noise = torch.randn_like(x0) if noise is None else noise
    return F.l1_loss(noise, model(sample_q(x0, t, noise), t, labels))
