"""k-diffusion's transformer on MNIST with class labels, in its authors' configuration for MNIST.

https://github.com/crowsonkb/k-diffusion, by the first author of Crowson et al. 2024, "Scalable
High-Resolution Pixel-Space Image Synthesis with Hourglass Diffusion Transformers"
(https://arxiv.org/abs/2401.11605). Network, loss, noise levels, optimizer and average are those of
configs/config_mnist_transformer.json as it was when this version was released: 8 blocks of width 256 on
patches of 4x4 pixels, preconditioned as in EDM (Karras et al. 2022), weights soft-min-SNR, AdamW at 5e-4,
gradients clipped to norm 1, EMA with a warm-up, labels dropped in a tenth. The loop of its train.py, with
its batch of 64, is written out, because that downloads MNIST and a network to evaluate with.

Two things differ. Digits are not mirrored, turned or moved, as train.py does now and then. Nothing is
compiled: within minutes that takes longer than it saves.
"""

import os
from copy import deepcopy
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor

os.environ["K_DIFFUSION_USE_COMPILE"] = "0"
import k_diffusion as K

from common import Sampling, batches, parse, parser, report, train, training_set

CLASSES = 10
CONFIG = {
    "model": {
        "type": "image_transformer_v1",
        "input_channels": 1,
        "input_size": [28, 28],
        "patch_size": [4, 4],
        "width": 256,
        "depth": 8,
        "loss_config": "karras",
        "loss_weighting": "soft-min-snr",
        "dropout_rate": 0.05,
        "sigma_data": 0.6162,
        "sigma_min": 1e-2,
        "sigma_max": 80,
        "sigma_sample_density": {"type": "cosine-interpolated"},
    },
    "dataset": {"type": "mnist", "num_classes": CLASSES, "cond_dropout_rate": 0.1},
    "optimizer": {"lr": 5e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 1e-4},
    "ema_sched": {"type": "inverse", "power": 0.6667, "max_value": 0.9999},
}
BATCH = 64
SAMPLINGS = [(50, 1.0), (20, 1.0), (20, 1.5), (20, 2.0)]
"""Steps and guidance: as train.py draws, and faster."""


class Guided(torch.nn.Module):
    """The denoiser under guidance, as train.py has it: labels are replaced by one more class."""

    def __init__(self, denoiser: torch.nn.Module, guidance: float) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.guidance = guidance

    def forward(self, x: Tensor, sigma: Tensor, class_cond: Tensor) -> Tensor:
        if self.guidance == 1:
            return self.denoiser(x, sigma, class_cond=class_cond)
        both = torch.cat([torch.full_like(class_cond, CLASSES), class_cond])
        prediction = self.denoiser(torch.cat([x, x]), torch.cat([sigma, sigma]), class_cond=both)
        without, conditional = prediction.chunk(2)
        return without + self.guidance * (conditional - without)


def main() -> None:
    args = parse(parser(__doc__))
    config = K.config.load_config(CONFIG)
    data = batches(*training_set(args.mnist), BATCH)
    network = K.config.make_model(config)
    averaged = deepcopy(network)
    wrapper = K.config.make_denoiser_wrapper(config)
    model, model_ema = wrapper(network), wrapper(averaged)
    draw_sigmas = K.config.make_sample_density(config["model"])
    settings = config["optimizer"]
    optimizer = torch.optim.AdamW(
        network.param_groups(settings["lr"]),
        lr=settings["lr"],
        betas=tuple(settings["betas"]),
        eps=settings["eps"],
        weight_decay=settings["weight_decay"],
    )
    ema = K.utils.EMAWarmup(
        power=config["ema_sched"]["power"], max_value=config["ema_sched"]["max_value"]
    )

    def step() -> int:
        x, labels = next(data)
        dropped = torch.rand(len(labels)) < config["dataset"]["cond_dropout_rate"]
        labels = labels.masked_fill(dropped, CLASSES)
        with K.utils.enable_stratified():
            sigma = draw_sigmas([len(x)])
        model.loss(x, torch.randn_like(x), sigma, class_cond=labels).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        K.utils.ema_update(model, model_ema, ema.get_value())
        ema.step()
        return len(x)

    @torch.no_grad()
    def draw(steps: int, guidance: float, labels: Tensor) -> Tensor:
        limits = config["model"]["sigma_min"], config["model"]["sigma_max"]
        sigmas = K.sampling.get_sigmas_karras(steps, *limits)
        noise = sigmas[0] * torch.randn(len(labels), 1, 28, 28)
        guided = Guided(model_ema, guidance).eval()
        return K.sampling.sample_dpmpp_2m(
            guided, noise, sigmas, extra_args={"class_cond": labels}, disable=True
        )

    samplings = [
        Sampling("dpm++", steps, partial(draw, steps, guidance), guidance)
        for steps, guidance in SAMPLINGS
    ]
    for budget, trained in train(step, args.seconds):
        report(
            "k-diffusion transformer",
            version("k-diffusion"),
            budget,
            trained,
            samplings,
            args,
            network,
            "width 256, 8 blocks, patches 4x4, batch 64, EMA",
        )


if __name__ == "__main__":
    main()
