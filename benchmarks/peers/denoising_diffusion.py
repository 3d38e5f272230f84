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

from importlib.metadata import version

import torch
from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
from ema_pytorch import EMA
from torch import Tensor

from common import batches, parameters, parse, parser, report, sample, train, training_set


def make_network() -> Unet:
    """The README's network, for one channel and ten classes."""
    return Unet(dim=64, dim_mults=(1, 2, 4, 8), num_classes=10, channels=1)


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--sampling-timesteps", type=int, default=250, help="1000: ancestral; fewer: DDIM"
    )
    options.add_argument(
        "--guidance", type=float, default=6.0, help="the library's cond_scale; cannot be 1"
    )
    args = parse(options)

    images, labels = training_set(args.mnist, pad=2)
    data = batches((images + 1) / 2, labels, 64)  # the library wants [0, 1] and scales by itself
    network = make_network()
    diffusion = GaussianDiffusion(
        network, image_size=32, timesteps=1000, sampling_timesteps=args.sampling_timesteps
    )
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=8e-5, betas=(0.9, 0.99))
    ema = EMA(diffusion, beta=0.995, update_every=10)

    def step(share: float) -> int:
        x, labels = next(data)
        diffusion(x, classes=labels).backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
        return len(x)

    trained = train(step, args.seconds)
    if ema.step <= ema.update_after_step:
        # Until then the library's average is a copy of the weights, up to 10 updates old.
        ema.copy_params_from_model_to_ema()
    averaged = ema.ema_model.eval()

    def draw(labels: Tensor) -> Tensor:
        return averaged.sample(labels, cond_scale=args.guidance) * 2 - 1

    sampled = sample(draw, args, conditional=True)
    report(
        system="denoising-diffusion-pytorch",
        version=version("denoising-diffusion-pytorch"),
        parameters=parameters(network),
        **trained,
        sampler="ddim" if diffusion.is_ddim_sampling else "ddpm",
        evaluations=2 * args.sampling_timesteps,  # with and without the label
        **sampled,
        note=f"32x32, guidance {args.guidance:g}, batch 64, EMA 0.995",
    )


if __name__ == "__main__":
    main()
