# %% [markdown]
# # From a thousand steps to one
#
# The first diffusion models asked their network a thousand times for an image. `digits-fast` asks
# once or twice. In between lie a few ideas, each of them a few lines here. Half a minute on a laptop.

# %%
from time import perf_counter

import torch
from matplotlib import pyplot
from torch import Tensor

import mezzotint
from mezzotint import build
from mezzotint.diffusion.process import diffuse
from mezzotint.evaluation.features import extract_features, load_classifier
from mezzotint.utils import pixels
from mezzotint.viz.grids import tile

MOST_STEPS = 1000  # of the slowest way
WALK_STEPS = 20  # of the paths whose bend is measured
COUNT = 100  # digits whose accuracy is measured

model = mezzotint.load("digits", "cpu")
fast = mezzotint.load("digits-fast", "cpu")
labels = torch.tensor([2, 3, 5, 8])


def show(rows: dict[str, Tensor]) -> None:
    """Rows of images in [-1, 1], each with its name."""
    columns = len(next(iter(rows.values())))
    picture = tile(pixels.to_uint8(torch.cat([*rows.values()])), columns)[0]
    pyplot.figure(figsize=(0.75 * columns + 1.2, 0.8 * len(rows)), layout="constrained")
    pyplot.imshow(picture, cmap="gray", vmin=0, vmax=255)
    pyplot.yticks([16 + 30 * row for row in range(len(rows))], list(rows), fontsize=7)
    pyplot.tick_params(length=0)
    pyplot.xticks([])
    pyplot.box(False)


# %% [markdown]
# ## Five ways, one noise
#
# 1. **DDPM** (Ho et al. 2020): each step draws $x_s$ from $q(x_s \mid x_t, \hat x_0)$, which is a little less
#    noise and a little new noise. It is right if steps are small: a thousand.
# 2. **DDIM** (Song et al. 2021): the same network, but the predicted noise is kept,
#    $x_s = \alpha_s \hat x_0 + \sigma_s \hat\varepsilon$. Each noise now has one path and one image, and
#    a path is easier to follow than a random walk: fifty.
# 3. **DPM-Solver++** (Lu et al. 2022b): a path bends, so use the last two predictions to see where it
#    goes: a dozen.
# 4. **Consistency** (Song et al. 2023): train another network, which says where the path *ends*:
#    two, or
# 5. **one**.
#
# The first three walk with `digits`, the others jump with `digits-fast`.

# %%
ways = {
    "DDPM": (model, "ddpm", MOST_STEPS),
    "DDIM": (model, "ddim", 50),
    "DPM-Solver++": (model, "dpm++", 12),
    "consistency, 2": (fast, "consistency", 2),
    "consistency, 1": (fast, "consistency", 1),
}
drawn = {}
seconds = {}
for name, (walker, sampler, steps) in ways.items():
    took = []
    for _ in range(1 if steps == MOST_STEPS else 3):  # the least of three, where that is quick
        begin = perf_counter()
        images = walker.sample(labels, sampler=sampler, steps=steps, seed=6)
        took.append((perf_counter() - begin) / len(labels))
    drawn[name] = pixels.to_float(images)
    seconds[name] = min(took)
show(drawn)

print(f"{'':15s} evaluations  time per image (the last = 1)")
for name, (_, _, steps) in ways.items():
    print(f"{name:15s} {steps:11d} {seconds[name] / seconds['consistency, 1']:14.1f}")
assert seconds["DDPM"] > seconds["DDIM"] > seconds["DPM-Solver++"] > seconds["consistency, 1"]

# %% [markdown]
# Time goes with the number of evaluations; nothing else costs much. (DDPM draws noise in each step.)
#
# ## Why not one step of the old model?
#
# At $t = 1$ there is nothing but noise. Nothing about the image can be seen in it, so the best
# prediction of $x_0$ is the average of all images of that label, whatever the noise:
#
# $$\hat x_0(x_1, 1, y) = \mathbb E[x_0 \mid y].$$
#
# The average can be computed from the training images. Below is that average, what `digits`
# predicts from three different noises, and what `digits-fast` predicts from the same three.

# %%
data = build.load_data(mezzotint.as_recipe("digits").data)
averages = []
spreads = []
for label in range(10):
    members = pixels.to_float(data.images[data.labels == label])
    averages.append(members.mean(0))
    spreads.append((members - averages[-1]).square().mean().sqrt())
average = torch.stack(averages)
spread = torch.stack(spreads)

start = torch.tensor(1.0, dtype=torch.float64)
every = torch.arange(10)
source = torch.Generator().manual_seed(0)
noises = torch.randn(3, 1, 1, 28, 28, generator=source).expand(3, 10, 1, 28, 28)
with torch.inference_mode():
    sees = [torch.stack([m.denoiser(z, start, every).x0 for z in noises]) for m in (model, fast)]
rows = {"average": average}
for name, predictions in zip(("digits", "digits-fast"), sees, strict=True):
    rows |= {f"{name}, noise {k}": x0 for k, x0 in enumerate(predictions, 1)}
show(rows)

apart = [((x0 - average).square().mean((2, 3, 4)).sqrt() / spread).mean().item() for x0 in sees]
print(f"digits:      {apart[0]:.2f} of the spread of real digits away from their average")
print(f"digits-fast: {apart[1]:.2f}")
assert apart[0] < 0.5
assert 0.8 < apart[1] < 1.2

# %% [markdown]
# The old model predicts a blur near the average. (Not exactly on it: no network is exact, and this one
# was refined to be surer of its labels.) The new one predicts a digit, as far from the average as
# real ones are, and another one for each noise. One step of DDIM shows just this blur.
#
# ## The bend
#
# With $\alpha = 1 - t$ and $\sigma = t$ the direction of the path is
# $\hat\varepsilon - \hat x_0 = (x_t - \hat x_0)/t$: straight at the predicted image. If the prediction never
# changed, the path would be straight, and one step would be enough. So the bend of a path is how
# much $\hat x_0$ changes along it. Walk ten paths with many steps, and ask both models at each
# moment where this will end.

# %%
walk = [*model.denoise(every, seed=6, sampler="heun", steps=WALK_STEPS)]
end = walk[-1].x
times = torch.tensor([step.t for step in walk[:-1]], dtype=torch.float64)
with torch.inference_mode():
    jumps = [fast.denoiser(step.x, t, every).x0 for step, t in zip(walk[:-1], times, strict=True)]


def distance(images: list[Tensor]) -> list[float]:
    """How far each is from the end of the path: RMS over pixels."""
    return [(image - end).square().mean().sqrt().item() for image in images]


changes = {"digits": distance([s.x0 for s in walk[:-1]]), "digits-fast": distance(jumps)}
_, axes = pyplot.subplots(figsize=(5.5, 3), layout="constrained")
for name, values in changes.items():
    axes.plot(times, values, marker=".", label=name)
axes.set(xlabel="t", ylabel="distance of $\\hat{x}_0$ to the end", xlim=(1.02, 0))
_ = axes.legend()
assert changes["digits-fast"][0] < 0.8 * changes["digits"][0]
middle = WALK_STEPS // 2
assert changes["digits-fast"][middle] < 0.8 * changes["digits"][middle]
show({"the end": end, "digits from t = 1": walk[0].x0, "digits-fast from t = 1": jumps[0]})

# %% [markdown]
# Most of the bend is where most of the noise is. There the old model still averages over many images, and
# the new one has chosen. It was trained for that, without ever being told the end of a path: two
# points of one path must have the same end (Song et al. 2023),
#
# $$f(x_t, t) = f(x_r, r) \quad\text{where } x_r \text{ is one step of the old model from } x_t, \qquad
#   f(x_0, 0) = x_0.$$
#
# The last equation is the only place where the truth comes in; the first hands it on to the
# noisy end. The old model is the teacher, the new one begins as a copy of it, and the gap between the
# two times shrinks as the training goes on (Geng et al. 2024). From $t = 1$ it does not hit the end of
# the teacher's path exactly, and it need not: afterwards it was refined against a critic, which asks
# whether a digit looks real, and not whose end it is.
#
# ## Two steps
#
# A jump can be corrected: put half of the noise back, and jump again. The second jump sees the
# first image, and only has to mend it. Strokes get cleaner; a shape that is quite wrong stays wrong.

# %%
half = torch.tensor(0.5, dtype=torch.float64)
with torch.inference_mode():
    first = fast.denoiser(noises[0], start, every).x0
    again = diffuse(first, noises[1], fast.denoiser.schedule.level(half))
    second = fast.denoiser(again, half, every).x0
show({"first jump": first, "half noise again": again, "second jump": second})

asked = torch.arange(COUNT) % 10
judge = load_classifier("digits-plain")
tries = {
    "DPM-Solver++, 12": (model, "dpm++", 12),
    "DDIM, 1 (the blur)": (model, "ddim", 1),
    "consistency, 2": (fast, "consistency", 2),
    "consistency, 1": (fast, "consistency", 1),
}
variety = {}
for name, (walker, sampler, steps) in tries.items():
    images = walker.sample(asked, sampler=sampler, steps=steps, seed=1)
    right = (extract_features(judge, images).logits.argmax(1) == asked).double().mean().item()
    error = (right * (1 - right) / COUNT) ** 0.5
    of_a_label = [
        images[asked == label].double().std(0).square().mean().sqrt() for label in range(10)
    ]
    variety[name] = torch.stack(of_a_label).mean().item()
    print(
        f"{name:19s} accuracy {right:.3f} ± {error:.3f}, spread {variety[name]:.0f} levels of grey"
    )
assert variety["DDIM, 1 (the blur)"] < 0.5 * variety["DPM-Solver++, 12"]
assert variety["consistency, 1"] > 0.8 * variety["DPM-Solver++, 12"]

# %% [markdown]
# A blur can be recognized too, so the accuracy alone does not tell what went wrong; the spread over
# digits of one label does. So few digits do not order the other three;
# ten thousand of each do, in `docs/results.md`.

# %% [markdown]
# ## Exercises
#
# 1. Draw with `digits` and `sampler="ddim"` in 1, 2, 4 and 8 steps from one noise. At which step does the
#    blur become a digit?
# 2. `fast.sample(..., steps=8)` makes eight jumps. Do more jumps help, by the accuracy above?
# 3. Jump from the middle: noise a *training* image to $t = 0.5$, and ask `digits-fast` for the end
#    with the right label and with a wrong one. At which $t$ does the label win?
