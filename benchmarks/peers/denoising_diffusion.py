"""denoising-diffusion-pytorch's class-conditional U-Net on MNIST.

The classifier-free-guidance module with its own defaults,
https://github.com/lucidrains/denoising-diffusion-pytorch/blob/main/denoising_diffusion_pytorch/classifier_free_guidance.py
(dim 64, multipliers 1, 2, 4, 8, labels dropped half of the time, 1000 timesteps, cosine betas, MSE
on the noise, guidance 6 rescaled by 0.7), trained as in the README of that repository: Adam at 8e-5
with betas (0.9, 0.99), 32 images twice per update (one batch of 64 here), gradients clipped to norm
1, EMA 0.995 every 10 updates, 250 sampling timesteps. Its Trainer knows no labels, so its loop is
written out.

Images are padded to 32x32, because the network halves them three times, and cropped back to 28x28.
"""

from functools import partial
from importlib.metadata import version

import torch
from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
from ema_pytorch import EMA
from torch import Tensor

from common import Sampling, batches, parse, parser, report, train, training_set

OWN_TIMESTEPS = 250
SAMPLINGS = [(OWN_TIMESTEPS, 6.0, 4), (50, 6.0, 16), (50, 2.0, 16)]
"""Timesteps, guidance (1 fails in the library) and images at a time: as in the README, and two faster."""


def make_network() -> Unet:
    """The README's network, for one channel and ten classes."""
    return Unet(dim=64, dim_mults=(1, 2, 4, 8), num_classes=10, channels=1)


def main() -> None:
    args = parse(parser(__doc__))
    images, labels = training_set(args.mnist, pad=2)
    data = batches((images + 1) / 2, labels, 64)  # the library wants [0, 1] and scales by itself
    network = make_network()
    diffusion = GaussianDiffusion(
        network, image_size=32, timesteps=1000, sampling_timesteps=OWN_TIMESTEPS
    )
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=8e-5, betas=(0.9, 0.99))
    ema = EMA(diffusion, beta=0.995, update_every=10)

    def step() -> int:
        x, labels = next(data)
        diffusion(x, classes=labels).backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
        return len(x)

    def draw(timesteps: int, guidance: float, labels: Tensor) -> Tensor:
        averaged = ema.ema_model.eval()
        averaged.sampling_timesteps = timesteps
        return averaged.sample(labels, cond_scale=guidance) * 2 - 1

    samplings = [
        Sampling("ddim", timesteps, partial(draw, timesteps, guidance), guidance, batch)
        for timesteps, guidance, batch in SAMPLINGS
    ]
    for budget, trained in train(step, args.seconds):
        if ema.step <= ema.update_after_step:
            # Until then the library's average is a copy of the weights, up to 10 updates old.
            ema.copy_params_from_model_to_ema()
        report(
            "denoising-diffusion-pytorch",
            version("denoising-diffusion-pytorch"),
            budget,
            trained,
            samplings,
            args,
            network,
            "32x32, batch 64, EMA 0.995, guidance rescaled by 0.7",
        )


if __name__ == "__main__":
    main()
