"""diffusers' UNet2DModel on MNIST with class labels.

Network and recipe: the class-conditioned MNIST example of the Hugging Face course,
https://github.com/huggingface/diffusion-models-class/blob/main/unit2/02_class_conditioned_diffusion_model_example.ipynb
(28x28, blocks of 32, 64 and 64 channels, squared-cosine betas, MSE on the noise, Adam at 1e-3,
batch 128, no EMA), with two differences: the label enters through the library's own
``num_class_embeds`` instead of four extra input channels, and the last of the 1000 timesteps, which
the example never draws, is trained too.

Labels are never dropped, so there is no guidance. The example draws in all 1000 steps, which nobody would
wait for on a CPU; here, the library's faster samplers do.
"""

from functools import partial
from importlib.metadata import version

import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DModel,
)
from torch import Tensor

from common import Sampling, batches, parse, parser, report, train, training_set

BATCH = 128
Sampler = DDIMScheduler | DPMSolverMultistepScheduler


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


def main() -> None:
    args = parse(parser(__doc__))
    data = batches(*training_set(args.mnist), BATCH)
    network = make_network()
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> int:
        x, labels = next(data)
        noise = torch.randn_like(x)
        timesteps = torch.randint(0, 1000, (len(x),))
        noisy = scheduler.add_noise(x, noise, timesteps)
        loss = F.mse_loss(network(noisy, timesteps, labels).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(x)

    @torch.no_grad()
    def draw(sampler: Sampler, evaluations: int, labels: Tensor) -> Tensor:
        network.eval()
        sampler.set_timesteps(evaluations)
        x = torch.randn(len(labels), 1, 28, 28)
        for timestep in sampler.timesteps:
            x = sampler.step(network(x, timestep, labels).sample, timestep, x).prev_sample
        network.train()
        return x

    # The library asks for this threshold where the betas are squared-cosine.
    dpm = DPMSolverMultistepScheduler.from_config(scheduler.config, lambda_min_clipped=-5.1)
    ddim = DDIMScheduler.from_config(scheduler.config)
    samplings = [
        Sampling("dpm++", 20, partial(draw, dpm, 20)),
        Sampling("ddim", 20, partial(draw, ddim, 20)),
        Sampling("ddim", 50, partial(draw, ddim, 50)),
    ]
    for budget, trained in train(step, args.seconds):
        note = f"UNet2DModel 32-64-64, course recipe, batch {BATCH}, no EMA"
        version_of_peer = version("diffusers")
        report("diffusers", version_of_peer, budget, trained, samplings, args, network, note)


if __name__ == "__main__":
    main()
