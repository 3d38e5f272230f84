# %% [markdown]
# # Films
#
# A denoising is a list of moments: what the image was, `x`, and the clean image that the model saw
# in it, `x0`. Any of them can be a picture, and all of them a film. (On the command line:
# `mezzotint gif digits 7 --show both`.)

# %%
from pathlib import Path
from tempfile import mkdtemp

import torch
from IPython.display import Image, display
from matplotlib import pyplot

import mezzotint
from mezzotint.samplers import make_grid, make_sampler
from mezzotint.utils import pixels
from mezzotint.viz.animations import save_animation, side_by_side
from mezzotint.viz.grids import tile

folder = Path(mkdtemp())
model = mezzotint.load("digits", "cpu")
film = model.trajectory(labels=list(range(10)), steps=40, seed=2)
print(tuple(film.x.shape))  # moments, images, channels, height, width

# %% [markdown]
# ## A strip
#
# Every fifth moment of a three, above as it is, below as the model sees it. It has decided on a
# shape long before the noise is gone.

# %%
moments = torch.cat([film.x[::5, 3], film.x0[::5, 3]])
pyplot.figure(figsize=(8, 2), layout="constrained")
pyplot.imshow(tile(moments, len(moments) // 2)[0], cmap="gray", vmin=0, vmax=255)
_ = pyplot.axis("off")

# %% [markdown]
# ## One digit, both views

# %%
both = side_by_side(film.x[:, 3], film.x0[:, 3])
save_animation(folder / "both.gif", both, scale=6)
display(Image(filename=folder / "both.gif"))

# %% [markdown]
# ## All ten at once

# %%
grid = torch.stack([tile(moment, 5) for moment in film.x])
save_animation(folder / "grid.gif", grid, scale=3)
display(Image(filename=folder / "grid.gif"))

# %% [markdown]
# ## When it decides
#
# How far is what the model sees from what comes out? Noise is removed evenly; the decision is not
# made evenly.

# %%
apart = (film.x0.float() - film.x[-1:].float()).square().mean((2, 3, 4)).sqrt()
_, axes = pyplot.subplots(figsize=(5, 3), layout="constrained")
for digit in range(10):
    axes.plot(film.t, apart[:, digit], label=str(digit), linewidth=1)
axes.set(xlabel="t", ylabel="levels of grey from the end", xlim=(1, 0))
_ = axes.legend(fontsize=7, ncols=2)

# %% [markdown]
# ## The same noise, other labels
#
# Ten labels, one noise: what they have in common is slant and weight, which the noise decides, and
# not the label.

# %%
start = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(4))
sampling = model.sampling_options(steps=40)
times = make_grid(sampling.grid, model.denoiser.schedule, sampling.steps)
with torch.inference_mode():
    denoiser, starts = model.guided_denoiser(sampling), start.expand(10, -1, -1, -1)
    walk = make_sampler("dpm++")(denoiser, starts, times, torch.arange(10), lambda: start)
    same = [tile(pixels.to_uint8(step.x), 5) for step in walk]
save_animation(folder / "same.gif", torch.stack(same), scale=3)
display(Image(filename=folder / "same.gif"))
