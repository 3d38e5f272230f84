# %% [markdown]
# # Your own network
#
# Anything that is called as `(x_t, timestep, labels)` and answers in the shape of `x_t` can be trained.
# Here it is four layers on points in the plane: small enough to train in seconds, and for points in
# the plane the best possible network is known. So it can be said how good the loss is, which is
# otherwise never known. Fifteen seconds on a laptop.

# %%
import math

import torch
from matplotlib import pyplot
from torch import Tensor, nn

from mezzotint.data import ImageData
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.parametrizations import flow
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import Flow
from mezzotint.objectives import DenoisingObjective
from mezzotint.recipe.schema import Training
from mezzotint.samplers import Heun, denoise, make_grid
from mezzotint.training.trainer import Trainer
from mezzotint.utils import pixels

POINTS = 200  # to train on
STEPS = 1500  # of training
DRAWS = 20_000  # noisy points on which losses are compared
COUNT = 500  # points that are drawn

# %% [markdown]
# ## Data
#
# A point in the plane is an image of one row and two pixels. Images are whole numbers from 0 to 255
# outside and lie in $[-1, 1]$ inside, so the points lie on a fine grid. There are no classes.

# %%
chance = torch.Generator().manual_seed(0)


def spiral(turns: Tensor) -> Tensor:
    """Points (n, 2) of a spiral with one and a half turns, from 0, the centre, to 1."""
    angles = 3 * math.pi * turns
    return 0.9 * turns[:, None] * torch.stack([angles.cos(), angles.sin()], 1)


images = pixels.to_uint8(spiral(torch.rand(POINTS, generator=chance).sqrt())).view(-1, 1, 1, 2)
data = ImageData(images, labels=torch.zeros(len(images), dtype=torch.int64), classes=())
points = pixels.to_float(data.images).flatten(1)
print(data.spec)

# %% [markdown]
# ## The network
#
# It is told the noisy point and the time, both as waves of several frequencies, as positions are told to
# transformers (Vaswani et al. 2017): it is easier to make a sharp function of these than of bare
# numbers. The argument `timestep` runs from 0 to 1000, and `labels` is `None` where there are no classes.


# %%
def waves(values: Tensor, count: int) -> Tensor:
    """Sine and cosine of numbers (n, d) at ``count`` frequencies, as (n, 2 * count * d)."""
    phases = (math.pi * values[:, :, None] * 2.0 ** torch.arange(count)).flatten(1)
    return torch.cat([phases.sin(), phases.cos()], 1)


class Mine(nn.Module):
    """Four layers on a point and its time."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 12 + 16, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor | None) -> Tensor:
        point = x.flatten(1)
        t = timestep[:, None] / 2000  # half a turn of the slowest wave
        return self.layers(torch.cat([point, waves(point, 3), waves(t, 8)], 1)).view_as(x)


# %% [markdown]
# ## Training
#
# A `NetworkDenoiser` says what the network's answer means: with the parametrization `flow` it is the
# velocity $\varepsilon - x_0$ (Lipman et al. 2023). The objective says what is minimized, and the trainer
# does it. `trainer.run()` trains to the end with a progress bar; as an iterator it gives each step.

# %%
torch.manual_seed(0)
schedule = Flow()
objective = DenoisingObjective(null_label=0)
settings = Training(steps=STEPS, batch=256, learning_rate=0.02, warmup=50, ema=0.99)
trainer = Trainer(NetworkDenoiser(Mine(), schedule, flow), objective, data, settings, seed=1)
losses = [result.loss.item() for result in trainer]
trained = NetworkDenoiser(trainer.state.sampling_network.eval(), schedule, flow)
print(
    f"the loss of the first step {losses[0]:.3f}, of the last hundred {sum(losses[-100:]) / 100:.3f}"
)

# %% [markdown]
# Is that good? The loss does not go to 0 and never could: many clean points and noises make the
# same noisy point, and the network can only answer their average.
#
# ## The best possible network
#
# That average is known. From the training points $x_1, \dots, x_n$, the noisy point $x_t$ came from $x_i$
# with the probability
#
# $$p_i \propto \exp\!\left(-\frac{|x_t - (1-t)\,x_i|^2}{2t^2}\right), \qquad
#   \hat x_0 = \sum_i p_i x_i, \qquad v^*(x_t, t) = \frac{x_t - \hat x_0}{t}.$$
#
# It is a network without weights, and goes wherever a network goes.


# %%
class Best(nn.Module):
    """The velocity with the least squared error for these training points."""

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor | None) -> Tensor:
        t = timestep[:, None].double() / 1000
        noisy = x.flatten(1).double()
        clean = points.double()
        squares = (noisy[:, None] - (1 - t[:, None]) * clean).square().sum(2)
        x0 = (-squares / (2 * t.square())).softmax(1) @ clean
        return ((noisy - x0) / t).to(x).view_as(x)


best = NetworkDenoiser(Best(), schedule, flow)

# %% [markdown]
# Both are asked about the same noisy points. For any network $v$ the loss is a sum of two parts, since
# $\varepsilon - x_0 - v^*$ has the mean 0 at each noisy point, and so is uncorrelated with every function
# of it, $v - v^*$ too:
#
# $$\mathbb E\,|v - (\varepsilon - x_0)|^2
#   = \mathbb E\,|v^* - (\varepsilon - x_0)|^2 + \mathbb E\,|v - v^*|^2.$$
#
# The first part nobody can help, the second is what the network has still to learn. The notebook
# checks it: the difference of both losses against the distance of both answers.

# %%
source = torch.Generator().manual_seed(5)
rows = torch.randint(len(points), (DRAWS,), generator=source)
x0 = pixels.to_float(data.images[rows])
noise = torch.randn(DRAWS, 1, 1, 1, 2, generator=source)
draws = objective.draw(DRAWS, schedule, source, progress=1.0)
x_t = diffuse(x0, noise[:, 0], schedule.level(draws.t))
with torch.inference_mode():
    ours, least = (objective.loss(who, x0, None, draws, noise) for who in (trained, best))
    answers = [who.output(x_t, draws.t, None) for who in (trained, best)]
gap = (answers[0] - answers[1]).square().flatten(1).mean(1)
excess = (ours - least).mean().item()
error = ((ours - least - gap).std() / DRAWS**0.5).item()
print(f"loss {ours.mean():.4f}, best possible {least.mean():.4f}")
print(f"difference {excess:.4f} ± {error:.4f}, distance of the answers {gap.mean():.4f}")
assert abs(excess - gap.mean().item()) < 4 * error
assert ours.mean() > least.mean()
assert ours.mean() < 1.1 * least.mean() or STEPS < 1500

bins = torch.arange(20).repeat_interleave(DRAWS // 20)  # the times are drawn in order
_, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3), layout="constrained")
smooth = torch.tensor(losses).unfold(0, min(20, STEPS), 1).mean(1)
left.plot(smooth, linewidth=0.8, label="training, mean of 20 steps")
left.axhline(least.mean(), color="grey", linestyle=":", label="best possible")
left.set(xlabel="step", ylabel="loss", ylim=(0, 1.3))
for values, name in ((ours, "trained"), (least, "best possible")):
    means = [values[bins == k].mean().item() for k in range(20)]
    right.plot([(k + 0.5) / 20 for k in range(20)], means, marker=".", label=name)
right.set(xlabel="t", ylabel="loss")
left.legend(fontsize=8)
_ = right.legend(fontsize=8)

# %% [markdown]
# Almost all of the loss is of the first kind, and it is not the same at all times. At $t = 1$ the noise is
# in plain sight, and only the point has to be guessed: the loss is the variance of the points. In the middle
# both have to be. Near $t = 0$ the best network knows each training point and sees by how much it was moved;
# there a network that does not know them by heart is worst. A loss alone says little. Compared with another
# one, on the same data and times, it says something.
#
# ## Drawing
#
# The trained denoiser goes where any denoiser goes: into a sampler. The grid has small steps near the
# end, so that the last of them does not average over neighbours.

# %%
grid = make_grid("quadratic", schedule, 30)
fine = spiral(torch.linspace(0, 1, 2000))


def drawn(denoiser: NetworkDenoiser) -> Tensor:
    """Points (n, 2) that a denoiser makes of noise."""
    walk = denoise(denoiser, Heun(), grid, None, range(COUNT), data.spec.shape, seed=2)
    return [step.x for step in walk][-1].flatten(1)


new = spiral(torch.rand(COUNT, generator=chance).sqrt())
made = {"training points": points, "trained": drawn(trained), "best possible": drawn(best)}
_, three = pyplot.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
for axes, (name, places) in zip(three, made.items(), strict=True):
    axes.scatter(*places.T, s=3)
    axes.set(title=name, xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")


def far(places: Tensor, others: Tensor) -> float:
    """The median distance to the nearest of other points."""
    return torch.cdist(places, others).min(1).values.median().item()


print("median distance   to the spiral   to a training point")
for name, places in (made | {"new points": new}).items():
    print(f"{name:17s} {far(places, fine):13.4f} {far(places, points):21.4f}")
assert far(made["best possible"], points) < 0.1 * far(new, points)
assert far(made["trained"], points) > 0.5 * far(new, points)
assert far(made["trained"], fine) < 0.05 or STEPS < 1500

# %% [markdown]
# The best possible network draws its training points and nothing else: the least loss is reached by
# learning by heart. The trained one also draws what lies between them, if a little beside the spiral,
# and is the more useful for it. So where data are few, the least training loss is not the aim.

# %% [markdown]
# ## Exercises
#
# 1. Train with `width=16` and with four times the steps. Which part of the loss changes, and how far can
#    it fall?
# 2. Give the two halves of the spiral labels, `classes=("in", "out")`: add an `nn.Embedding(3, ...)` to
#    the network and `label_dropout=0.1` to the objective, and draw with `Guided`.
# 3. Use the parametrization `x0` in place of `flow`. What is the best possible loss now, and why can the
#    two not be compared?
