# %% [markdown]
# # Experiments
#
# What do the knobs of sampling do? Turn one, draw a few hundred digits, and have a classifier that
# never saw a drawn digit measure them beside what real digits score (the floor). So few images are
# enough to see a direction, not to compare models: for that there is
# `mezzotint evaluate digits --seeds 3`. Three minutes on a laptop.

# %%
import torch
from matplotlib import pyplot

import mezzotint
from mezzotint.evaluation.evaluate import evaluate_model, reference_of
from mezzotint.samplers import make_grid, make_sampler
from mezzotint.utils import pixels
from mezzotint.viz.grids import tile

COUNT = 500
reference = reference_of()
model = mezzotint.load("digits", "cpu")


def show(images: torch.Tensor, columns: int, title: str = "") -> None:
    """uint8 images, row after row."""
    pyplot.figure(figsize=(0.75 * columns, 0.75 * -(-len(images) // columns)), layout="constrained")
    pyplot.imshow(tile(images, columns)[0], cmap="gray", vmin=0, vmax=255)
    pyplot.title(title, fontsize=9)
    pyplot.axis("off")


def curves(model: mezzotint.Model, option: str, values: list) -> None:
    """Distance, accuracy and recall along one option of sampling."""
    found = [evaluate_model(model, reference, count=COUNT, **{option: v}) for v in values]
    _, axes = pyplot.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    for axis, key in zip(axes, ("digit_fid", "accuracy", "recall"), strict=True):
        axis.plot(values, [one.values[key][0] for one in found], marker="o")
        axis.axhline(found[0].floor[key], color="grey", linestyle=":", label="real digits")
        axis.set(xlabel=option, title=key)
    axes[0].legend()


# %% [markdown]
# ## Steps
#
# The walk from noise to digit follows a curve. Few strides cut its corners.

# %%
for steps in (2, 4, 8, 12):
    show(model.sample(labels=list(range(10)), steps=steps, seed=3), 10, f"{steps} steps")
curves(model, "steps", [4, 6, 8, 12])

# %% [markdown]
# ## Guidance
#
# Guidance exaggerates what the label changes: $u + s\,(c - u)$, where $c$ knows the label and $u$
# does not. At 0 the label is ignored, at 1 nothing is exaggerated. More of it makes digits surer of
# what they are, and more alike: accuracy rises, recall falls. This model was refined until it needs
# none.

# %%
for guidance in (0, 1, 3):
    drawn = model.sample(labels=[4] * 10, guidance=guidance, seed=5)
    show(drawn, 10, f"asked for fours, guidance {guidance}")
curves(model, "guidance", [0.5, 1.0, 1.5, 3.0])

# %% [markdown]
# ## A model of few steps
#
# `digits-fast` was distilled from a model like this one: it jumps where the other walks.

# %%
fast = mezzotint.load("digits-fast", "cpu")
for steps in (1, 2, 4):
    show(fast.sample(labels=list(range(10)), steps=steps, seed=3), 10, f"{steps} evaluations")
curves(fast, "steps", [1, 2, 4])

# %% [markdown]
# ## Between two noises
#
# Where a walk begins decides where it ends, so noises halfway between two others give digits
# halfway between theirs. Noises are mixed along the circle, since the straight line between two of
# them is too short to be noise.

# %%
sampling = model.sampling_options()
grid = make_grid(sampling.grid, model.denoiser.schedule, sampling.steps)
ends = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(8))
angles = torch.linspace(0, torch.pi / 2, 10).view(-1, 1, 1, 1)
between = angles.cos() * ends[0] + angles.sin() * ends[1]
for digit in (2, 5):
    label = torch.full((10,), digit)
    with torch.inference_mode():
        denoiser = model.guided_denoiser(sampling)
        walk = make_sampler("dpm++")(denoiser, between, grid, label, lambda: between)
        show(pixels.to_uint8([step.x for step in walk][-1]), 10)

# %% [markdown]
# ## By heart?
#
# A model that had learnt its training images by heart would score well too. So each drawn digit
# (first row) is laid beside the training image nearest to it (second row), and the distances are
# compared with those of test digits, which nobody can have learnt by heart.

# %%
result = evaluate_model(model, reference, count=COUNT)
samples, measured = result.first
nearest = reference.train.images[measured.subject.neighbours.index[:10]]
show(torch.cat([samples.images[:10], nearest]), 10)
print(
    "median distance to the nearest training image:", round(result.values["nearest_median"][0], 1)
)
print("the same of test digits:", round(result.floor["nearest_median"], 1))
