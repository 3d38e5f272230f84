"""diffusers' UNet2DModel on MNIST with class labels.

Network and default recipe: the class-conditioned MNIST example of the Hugging Face course,
https://github.com/huggingface/diffusion-models-class/blob/main/unit2/02_class_conditioned_diffusion_model_example.ipynb
(28x28, blocks of 32, 64 and 64 channels, squared-cosine betas, MSE on the noise, Adam at 1e-3,
batch 128, no EMA), with two differences: the label enters through the library's own
``num_class_embeds`` instead of four extra input channels, and the last of the 1000 timesteps, which
the example never draws, is trained too.

``--recipe tutorial`` trains the same network as the library's training tutorial does,
https://huggingface.co/docs/diffusers/tutorials/basic_training (linear betas, AdamW at 1e-4, batch
16, gradients clipped to norm 1, a warm-up and cosine decay; its warm-up of 500 in 3,150 steps is
kept as a share of the time).
"""

import math
from importlib.metadata import version

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import Tensor

from common import batches, parameters, parse, parser, report, sample, train, training_set

WARMUP = 500 / 3150
RECIPES = {
    "course": {"betas": "squaredcos_cap_v2", "batch": 128},
    "tutorial": {"betas": "linear", "batch": 16},
}


def make_network() -> UNet2DModel:
    """The course's network."""
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=10,
    )


def warmup_then_cosine(share: float) -> float:
    """What the tutorial multiplies its learning rate by after this share of the training."""
    if share < WARMUP:
        return share / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (share - WARMUP) / (1 - WARMUP)))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sampler", choices=["ddpm", "dpm++"], default="ddpm")
    options.add_argument("--recipe", choices=sorted(RECIPES), default="course")
    args = parse(options)
    recipe = RECIPES[args.recipe]
    tutorial = args.recipe == "tutorial"

    data = batches(*training_set(args.mnist), recipe["batch"])
    network = make_network()
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule=recipe["betas"])
    if tutorial:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    else:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(share: float) -> int:
        x, labels = next(data)
        noise = torch.randn_like(x)
        timesteps = torch.randint(0, 1000, (len(x),))
        noisy = scheduler.add_noise(x, noise, timesteps)
        loss = F.mse_loss(network(noisy, timesteps, labels).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        if tutorial:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = 1e-4 * warmup_then_cosine(share)
        optimizer.step()
        return len(x)

    trained = train(step, args.seconds)
    network.eval()
    if args.sampler == "ddpm":
        sampler, evaluations = scheduler, 1000
    else:
        # The library asks for this threshold where the betas are squared-cosine.
        threshold = -math.inf if tutorial else -5.1
        sampler = DPMSolverMultistepScheduler.from_config(
            scheduler.config, lambda_min_clipped=threshold
        )
        evaluations = 20

    @torch.no_grad()
    def draw(labels: Tensor) -> Tensor:
        sampler.set_timesteps(evaluations)
        x = torch.randn(len(labels), 1, 28, 28)
        for timestep in sampler.timesteps:
            x = sampler.step(network(x, timestep, labels).sample, timestep, x).prev_sample
        return x

    sampled = sample(draw, args, conditional=True)
    report(
        system="diffusers",
        version=version("diffusers"),
        parameters=parameters(network),
        **trained,
        sampler=args.sampler,
        evaluations=evaluations,
        **sampled,
        note=f"UNet2DModel 32-64-64, {args.recipe} recipe, batch {recipe['batch']}, no EMA",
    )


if __name__ == "__main__":
    main()
