"""The critic of a section ``adversarial``: of pixels, or of the features that a trained model finds."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..diffusion.denoiser import Labels, NetworkDenoiser
from ..diffusion.level import Images, scale
from ..nets.blocks import Features
from ..nets.critic import Critic, FeatureCritic, FindFeatures
from .base import Context


def make_critic(section: Any, context: Context) -> nn.Module:
    """The critic that a section asks for, with random weights.

    Args:
        section: ``adversarial``, of the recipe.
        context: the images' size and classes, and the model to start from.

    Returns:
        a module called as (images, labels), which returns one score for each image.

    Raises:
        ValueError: if there is no model to start from, or its features are wanted and it gives none.
    """
    initial = context.require_initial(section.name)
    if section.critic_features == "own":
        return Critic(
            size=context.size,
            channels=context.channels,
            num_classes=context.classes,
            width=section.critic,
        )
    if not hasattr(type(initial.network), "features"):  # a method, not a layer of this name
        raise ValueError(
            f"objective.critic_features = 'model': the network {type(initial.network).__name__} has no method"
            " features; say 'own'"
        )
    find = features_of(initial, section.instance_noise)
    device = next(initial.network.parameters()).device
    image = torch.zeros(1, context.channels, *context.size, device=device)
    with torch.no_grad():
        shapes = [(f.shape[1], f.shape[2], f.shape[3]) for f in find(image, None)]
    return FeatureCritic(find, shapes=shapes, num_classes=context.classes, width=section.critic)


def features_of(denoiser: NetworkDenoiser, noise: float) -> FindFeatures:
    """What a denoiser finds in images with noise.

    Args:
        denoiser: whose network has a method ``features``.
        noise: the standard deviation of the noise in the images. At one time of the schedule, the ratio of
            noise and image is the same.

    Returns:
        a function of images (batch, channels, height, width) with noise and of labels (batch,).
    """
    schedule = denoiser.schedule
    log_snr = -2 * torch.tensor(noise, dtype=torch.float64).log()
    t = schedule.snap(schedule.time_of(log_snr))
    alpha = schedule.level(t).alpha

    def find(images: Images, labels: Labels | None) -> Sequence[Features]:
        return denoiser.features(scale(alpha, images), t, labels)

    return find
