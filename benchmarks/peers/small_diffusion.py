"""smalldiffusion's Fashion-MNIST examples on MNIST, with class labels.

``--network dit`` is the library's own class-conditional example,
https://github.com/yuanchenyang/smalldiffusion/blob/main/examples/fashion_mnist_dit_cond.py
(6 transformer blocks on 2x2 patches, DDPM's betas, AdamW at 1e-3, EMA 0.99); ``--network unet`` is
https://github.com/yuanchenyang/smalldiffusion/blob/main/examples/fashion_mnist_unet.py
(64, 64 and 128 channels, log-linear noise levels 0.01 to 20, AdamW at 7e-4, EMA 0.999), given the
label embedding of the other. Both draw with the accelerated sampler (gam 1.6) in 20 steps, without
guidance; the conditional example drops a tenth of the labels, so guidance is tried too.

Two things differ. Digits are not mirrored, and batches are smaller: the examples' 1024 images would
need tens of gigabytes and leave a handful of updates in minutes on a CPU. ``--batch`` sets it.
"""

from functools import partial
from importlib.metadata import version

from accelerate import Accelerator
from smalldiffusion import (
    CondEmbedderLabel,
    DiT,
    Scaled,
    ScheduleDDPM,
    ScheduleLogLinear,
    Unet,
    samples,
    training_loop,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch_ema import ExponentialMovingAverage

from common import Sampling, parse, parser, report, train, training_set

SAMPLINGS = [(20, 1.0), (20, 1.5), (20, 2.0)]
"""Steps and guidance."""
RECIPES = {
    "dit": {
        "schedule": ScheduleDDPM(beta_start=0.0001, beta_end=0.02, N=1000),
        "lr": 1e-3,
        "ema": 0.99,
    },
    "unet": {
        "schedule": ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800),
        "lr": 7e-4,
        "ema": 0.999,
    },
}


def make_network(name: str) -> nn.Module:
    """The examples' networks, both with the label embedding of the conditional one."""
    if name == "dit":
        return DiT(
            in_dim=28,
            channels=1,
            patch_size=2,
            depth=6,
            head_dim=32,
            num_heads=6,
            mlp_ratio=4.0,
            cond_embed=CondEmbedderLabel(32 * 6, 10, 0.1),
        )
    return Scaled(Unet)(
        28,
        1,
        1,
        ch=64,
        ch_mult=(1, 1, 2),
        attn_resolutions=(14,),
        cond_embed=CondEmbedderLabel(64 * 4, 10, 0.1),
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--network", choices=sorted(RECIPES), default="dit")
    options.add_argument("--batch", type=int, default=64)
    args = parse(options)
    recipe = RECIPES[args.network]
    schedule = recipe["schedule"]

    accelerator = Accelerator(cpu=True)
    loader = DataLoader(
        TensorDataset(*training_set(args.mnist)), batch_size=args.batch, shuffle=True
    )
    network = make_network(args.network)
    ema = ExponentialMovingAverage(network.parameters(), decay=recipe["ema"])
    # The library's loop hands control back before each update: the last batch makes none.
    loop = training_loop(
        loader, network, schedule, lr=recipe["lr"], conditional=True, accelerator=accelerator
    )

    def step() -> int:
        state = next(loop)
        ema.update()
        return len(state.x0)

    def draw(steps: int, guidance: float, labels: Tensor) -> Tensor:
        with ema.average_parameters():
            *_, x0 = samples(
                network,
                schedule.sample_sigmas(steps),
                gam=1.6,
                cfg_scale=guidance - 1,  # the library adds it to 1
                batchsize=len(labels),
                cond=labels,
                accelerator=accelerator,
            )
        network.train()
        return x0

    samplings = [
        Sampling("accelerated, gam 1.6", steps, partial(draw, steps, guidance), guidance)
        for steps, guidance in SAMPLINGS
    ]
    for budget, trained in train(step, args.seconds):
        report(
            "smalldiffusion",
            version("smalldiffusion"),
            budget,
            trained,
            samplings,
            args,
            network,
            f"{args.network}, batch {args.batch}, EMA {recipe['ema']}",
        )


if __name__ == "__main__":
    main()
