"""The interface of the original system, as a thin layer over the rest of the package.

The original is GabiYamato/DDPM-diffusion, https://github.com/GabiYamato/DDPM-diffusion::

    from mezzotint.classic import GabiDiffUnet, sampling
    model = GabiDiffUnet(in_channels=1, image_size=32)
    model.load_state_dict(torch.load("saved_model.pth", weights_only=True)["model"])
    samples = sampling(model, (10, 1, 32, 32), labels=torch.arange(10))

Its tables have 1001 entries, of which steps 1000 to 1 are visited, and its noise is from torch's global
generator. Unlike in the rest of the package, step 0 is not exactly clean: the last step leaves noise of
about 0.007 in the image, less than the distance of two pixel values.
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
    """The network of the original, with its name and arguments.

    The default ``image_size`` of the original, 28, cannot be halved four times, so it is 32 here.

    Args:
        time_emb_dim: width of the time and label embedding.
        num_classes: number of classes; 0 for no labels.
        in_channels: channels of the images.
        resnet_depth: number of levels.
        image_size: side of the images in pixels.

    Raises:
        ValueError: if ``2**resnet_depth`` does not divide the size.
    """

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
            width=64,
            depth=resnet_depth,
            embedding=time_emb_dim,
            groups=8,
        )


def linear_schedule(num_timesteps: int) -> Float[Tensor, " num_timesteps"]:
    """Betas from 1e-4 to 0.02."""
    return linear_betas(num_timesteps)


def cosine_schedule(num_timesteps: int, s: float = 0.008) -> Float[Tensor, " num_timesteps"]:
    """Cosine betas, clipped to 1e-4..0.999.

    Args:
        num_timesteps: number of betas.
        s: offset of the cosine.

    Returns:
        betas (num_timesteps,).
    """
    return cosine_betas(num_timesteps, s)


betas_t = linear_schedule(num_timesteps)
alphas_bar_t = (1 - betas_t.double()).cumprod(0)


def _level(t: Steps) -> NoiseLevel:
    alpha_bar = alphas_bar_t[t.cpu()]
    return NoiseLevel(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


def sample_q(x0: Images, t: Steps, noise: Images | None = None) -> Images:
    """Add noise to clean images.

    Args:
        x0: clean images (batch, channels, height, width) in [-1, 1].
        t: step of each image (batch,), in 0..1000.
        noise: standard normal noise in the shape of ``x0``; None to draw it.

    Returns:
        noisy images in the shape of ``x0``.
    """
    return diffuse(x0, torch.randn_like(x0) if noise is None else noise, _level(t))


@torch.no_grad()
def sample_p(
    model: nn.Module, x_t: Images, t: Steps, labels: Labels | None = None, clipping: bool = True
) -> Images:
    """One reverse step, from ``t`` to ``t - 1``.

    Args:
        model: network that predicts the noise, called as (x_t, t, labels).
        x_t: noisy images (batch, channels, height, width).
        t: step (batch,) in 1..1000, the same for all images.
        labels: classes (batch,), or None.
        clipping: whether to clamp the predicted image to [-1, 1].

    Returns:
        images at ``t - 1``, in the shape of ``x_t``.
    """
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
    """Sample images by 1000 reverse steps.

    Args:
        model: network that predicts the noise, called as (x_t, t, labels).
        shape: (batch, channels, height, width).
        labels: classes (batch,), or None.
        image_noise_steps_to_keep: number of last steps whose states are returned.

    Returns:
        states of this shape after each of these steps, on the CPU; the last one holds the images.
    """
    if isinstance(model, UNet):
        model = fold_standardization(copy.deepcopy(model))  # once, instead of at each of 1000 steps
    device = next(model.parameters()).device
    images = torch.randn(shape, device=device)
    labels = None if labels is None else labels.to(device)
    states = []
    for step in tqdm(range(num_timesteps - 1, 0, -1), desc="sampling timestep"):
        t = torch.full((shape[0],), step, device=device)
        images = sample_p(model, images, t, labels)
        if step <= image_noise_steps_to_keep:
            states.append(images.cpu())
    return states


def compute_loss(
    model: nn.Module,
    x0: Images,
    t: Steps,
    labels: Labels | None = None,
    noise: Images | None = None,
) -> Float[Tensor, ""]:
    """The mean absolute error of the predicted noise.

    Args:
        model: network that predicts the noise, called as (x_t, t, labels).
        x0: clean images (batch, channels, height, width) in [-1, 1].
        t: step of each image (batch,), in 0..1000.
        labels: classes (batch,), or None.
        noise: standard normal noise in the shape of ``x0``; None to draw it.

    Returns:
        the loss, a scalar.
    """
    noise = torch.randn_like(x0) if noise is None else noise
    return F.l1_loss(noise, model(sample_q(x0, t, noise), t, labels))
