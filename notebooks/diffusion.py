# %% [markdown]
# # Diffusion, from noise to a seven
#
# One idea in three steps: destroy images with noise, learn to see through the noise, walk back.
# Each step is a few lines here, made of the same parts that the package trains with. Two minutes on
# a laptop.

# %%
from itertools import pairwise

import torch
from matplotlib import pyplot

import mezzotint
from mezzotint import build
from mezzotint.diffusion.denoiser import NetworkDenoiser
from mezzotint.diffusion.process import diffuse
from mezzotint.registry import SCHEDULES
from mezzotint.samplers import make_grid, make_sampler
from mezzotint.utils import pixels
from mezzotint.viz.grids import tile


def show(images: torch.Tensor, columns: int, title: str = "") -> None:
    """Images in [-1, 1], row after row."""
    picture = tile(pixels.to_uint8(images), columns)[0]
    pyplot.figure(figsize=(0.75 * columns, 0.75 * -(-len(images) // columns)), layout="constrained")
    pyplot.imshow(picture, cmap="gray", vmin=0, vmax=255)
    pyplot.title(title, fontsize=9)
    pyplot.axis("off")


torch.manual_seed(0)
recipe = mezzotint.as_recipe("digits")
data = build.load_data(recipe.data)
digits, labels = pixels.to_float(data.images), data.labels

# %% [markdown]
# ## 1. Destroy
#
# At time $t$ an image has become $x_t = \alpha_t x_0 + \sigma_t \varepsilon$: a share of itself,
# and a share of normal noise. A *schedule* says how the shares change between $t = 0$, the clean
# image, and $t = 1$, noise. Nothing about this is learnt.

# %%
times = torch.linspace(0, 1, 11, dtype=torch.float64)
seven = digits[labels == 7][:1].expand(11, -1, -1, -1)
noise = torch.randn(1, *seven.shape[1:]).expand_as(seven)
for name in ("linear", "cosine", "flow"):
    schedule = SCHEDULES[name](None if name == "flow" else 1000)
    show(diffuse(seven, noise, schedule.level(times)), 11, name)

# %% [markdown]
# The three look alike for a reason: each is a straight line in other clothes. Divide $x_t$ by
# $\alpha_t + \sigma_t$, and what is left is $(1 - u)\,x_0 + u\,\varepsilon$ for all of them, with
# $u = \sigma_t / (\alpha_t + \sigma_t)$.

# %%
_, axes = pyplot.subplots(figsize=(4, 3), layout="constrained")
for name in ("linear", "cosine", "flow"):
    level = SCHEDULES[name](None if name == "flow" else 1000).level(times)
    axes.plot(times, level.log_snr, marker=".", label=name)
axes.set(xlabel="t", ylabel="log SNR", ylim=(-12, 12))
_ = axes.legend()

# %% [markdown]
# ## 2. Learn to see through it
#
# A network looks at $x_t$, $t$ and the label, and guesses. What it is asked for is a matter of
# taste: the noise, the image, or, as here, the direction $\varepsilon - x_0$ from one to the other.
# The loss is the plain squared error. That is all of training.

# %%
network = build.make_network(recipe.net, data.spec).train()
flow = build.make_schedule(recipe.diffusion)
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
STEPS, losses = 400, []

for step in range(STEPS):
    rows = torch.randint(len(digits), (64,))
    x0, eps = digits[rows], torch.randn(64, 1, 28, 28)
    t = (torch.arange(64) + torch.rand(64, dtype=torch.float64)) / 64  # evenly over the batch
    x_t = diffuse(x0, eps, flow.level(t))
    guess = network(x_t, (1000 * t).float(), labels[rows])
    loss = (guess - (eps - x0)).square().mean()
    loss.backward()
    optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / STEPS)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

_, axes = pyplot.subplots(figsize=(4, 3), layout="constrained")
axes.plot(losses, linewidth=0.7)
_ = axes.set(xlabel="step", ylabel="loss", yscale="log")

# %% [markdown]
# What does it see? From its guess $v$ of $\varepsilon - x_0$ follows the clean image,
# $\hat x_0 = x_t - t\,v$: an average over every seven that could be behind the noise. The noisier,
# the vaguer. Above what it looks at, below what it sees.

# %%
network.eval().requires_grad_(False)
denoiser: NetworkDenoiser = build.make_denoiser(recipe.diffusion, network)
later = times[1:]
looks = diffuse(seven[1:], noise[1:], flow.level(later))
sees = denoiser(looks, later, torch.full((10,), 7)).x0
show(torch.cat([looks, sees]), 10)

# %% [markdown]
# ## 3. Walk back
#
# From pure noise, take the direction it answers, go a little way, and ask again. On straight lines
# this is Euler's method for a differential equation, and DDIM under another name.

# %%
wanted = torch.arange(10)
x = torch.randn(10, 1, 28, 28)
strides = torch.linspace(1, 0, 21, dtype=torch.float64)
for t, s in pairwise(strides):
    seen = denoiser(x, t, wanted)
    x = ((1 - s) * seen.x0 + s * seen.eps).float()
show(x, 10, "400 steps of training, 20 of sampling")

# %% [markdown]
# A *sampler* is such a walk. The package has them as generators, so that a film is only a list of
# what they yield. From the same noise they end at nearly the same digits. (A step of Heun's asks the
# network twice, so that four of them cost as much as seven or eight of the others.)

# %%
start = torch.randn(10, 1, 28, 28)
for name, steps in (("ddim", 8), ("dpm++", 8), ("heun", 4)):
    grid = make_grid("trailing", flow, steps)
    walk = make_sampler(name)(denoiser, start, grid, wanted, lambda: torch.randn(10, 1, 28, 28))
    show([step.x for step in walk][-1], 10, f"{name}, {steps} steps")

# %% [markdown]
# Four hundred steps are few. The network that the package brings is half as wide again, had ten
# thousand of them, and was then shown its own mistakes (`mezzotint refine`).

# %%
model = mezzotint.load("digits", "cpu")
show(pixels.to_float(model.sample(labels=[k % 10 for k in range(30)], seed=1)), 10)
