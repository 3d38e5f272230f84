"""Train a network of your own on MNIST, and draw with it: a minute on two cores.

    python examples/own_network.py

Any module called as (x_t, timestep, labels) will do: images (batch, 1, 28, 28), timesteps 0 to 1000, classes,
of which 10 is "no label".
"""

import sys

import torch
from torch import Tensor, nn

from mezzotint.data import open_data
from mezzotint.diffusion.denoiser import Guided, NetworkDenoiser
from mezzotint.diffusion.parametrizations import flow
from mezzotint.diffusion.schedules import Flow
from mezzotint.objectives import DenoisingObjective
from mezzotint.recipe.schema import Training
from mezzotint.samplers import Heun, denoise, make_grid
from mezzotint.training.trainer import Trainer
from mezzotint.utils.pixels import to_uint8
from mezzotint.viz.grids import tile, to_pillow


class Mine(nn.Module):
    """A small stack of convolutions on folded pixels; time and label shift its features."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.time, self.label = nn.Linear(16, width), nn.Embedding(11, width)
        self.first, self.last = (
            nn.Conv2d(16, width, 3, padding=1),
            nn.Conv2d(width, 16, 3, padding=1),
        )
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(6))

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor | None) -> Tensor:
        waves = (timestep[:, None] / 1000 * 2 ** torch.arange(8).to(x)).frac() * 6.2832
        labels = torch.full_like(timestep, 10).long() if labels is None else labels
        shift = self.time(torch.cat([waves.sin(), waves.cos()], 1)) + self.label(labels)
        h = self.first(nn.functional.pixel_unshuffle(x, 4))
        for block in self.blocks:
            h = h + block(nn.functional.silu(h + shift[:, :, None, None]))
        return nn.functional.pixel_shuffle(self.last(h), 4)


data = open_data("mnist")
settings = Training(steps=int(sys.argv[1]) if sys.argv[1:] else 800, learning_rate=0.02, ema=0.99)
objective = DenoisingObjective(null_label=10, label_dropout=0.1)
trainer = Trainer(NetworkDenoiser(Mine(), Flow(), flow), objective, data, settings)
trainer.run()

trained = NetworkDenoiser(trainer.state.sampling_network, Flow(), flow)
grid, labels = make_grid("trailing", Flow(), 20), torch.arange(10)
steps = denoise(
    Guided(trained, 2.0),
    Heun(),
    grid,
    labels,
    range(10),
    data.spec.shape,
    seed=4,
    device=trainer.device,
)
images = torch.cat([to_uint8(step.x.cpu()) for step in steps if step.final])
to_pillow(tile(images, 10), 4).save("own-network.png")
print("own-network.png")
