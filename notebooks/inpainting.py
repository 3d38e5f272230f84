# %% [markdown]
# # Inpainting against the exact answer
#
# A part of an image is known, the rest is missing. What is right? Not *one* rest: there are many.
# Right is a draw from $p(\text{rest} \mid \text{known})$. Here is a case in which that distribution
# is known exactly, so that each way of inpainting can be measured; after that, digits. Half a
# minute on a laptop.

# %%
import math
from dataclasses import dataclass

import torch
from matplotlib import pyplot
from torch import Tensor

import mezzotint
from mezzotint.build import load_data
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule, flow
from mezzotint.editing import Plan
from mezzotint.editing.inpainting import make_method
from mezzotint.editing.known import Known
from mezzotint.registry import INPAINTERS
from mezzotint.samplers import make_grid, make_sampler
from mezzotint.viz.grids import tile

PAIRS = 5_000  # pairs of pixels that are drawn
EVALUATIONS = (8, 24, 96)  # of the denoiser, for each pair

print("methods:", ", ".join(INPAINTERS))

# %% [markdown]
# ## Two pixels
#
# Let an image be two pixels with mean 0, variance 1 and correlation $r = 0.9$. The first is known.
# Then
#
# $$x_2 \mid x_1 \sim N(r x_1,\; 1 - r^2).$$
#
# All is linear and normal, so the best denoiser is a matrix: in the directions $(1, 1)$ and $(1,
# -1)$, in which the data have variances $\lambda = 1 \pm r$, the best prediction is $\mathbb E[x_0
# \mid x_t] = \frac{\alpha \lambda}{\alpha^2 \lambda + \sigma^2} x_t$. A perfect few-step model
# gives instead the end of the deterministic path, $\sqrt{\lambda / (\alpha^2 \lambda + \sigma^2)}\,
# x_t$.

# %%
R = 0.9


@dataclass(frozen=True)
class Pair:
    """The exact denoiser of the two pixels, or the exact few-step model."""

    schedule: Schedule
    few_step: bool

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        level = self.schedule.level(t)
        variances = torch.tensor([1 + R, 1 - R], dtype=torch.float64)
        directions = torch.tensor([[1, 1], [1, -1]], dtype=torch.float64) / math.sqrt(2)
        noisy = level.alpha**2 * variances + level.sigma**2
        gain = (variances / noisy).sqrt() if self.few_step else level.alpha * variances / noisy
        x0 = x_t @ (directions * gain @ directions.T)
        return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))


# %% [markdown]
# ## How far from right
#
# What a method draws is normal too, $x_2 \mid x_1 \sim N(a x_1, b^2)$ with some $a$ and $b$. Its
# Wasserstein-2 distance to the truth, in the mean over $x_1$, is $\sqrt{(a - r)^2 + (b - \sqrt{1 -
# r^2})^2}$. Drawing $x_2$ without a look at $x_1$ has $a = 0$ and $b = 1$.

# %%


def distance(name: str, steps: int, seed: int = 0) -> float:
    """The distance between what a method draws and the exact conditional."""
    source = torch.Generator().manual_seed(seed)

    def noise() -> Tensor:
        return torch.randn(PAIRS, 1, 1, 2, generator=source, dtype=torch.float64)

    first = noise()[..., :1]
    known = Known(
        torch.cat([first, torch.zeros_like(first)], -1), torch.tensor([[[[False, True]]]])
    )
    few_step = INPAINTERS[name.partition(":")[0]].few_step
    method = make_method(name, few_step)
    plan = Plan(
        Pair(flow(), few_step),
        make_sampler("consistency" if few_step else "ddim"),
        make_grid("trailing", flow(), steps),
        clip=False,
    )
    plan = method.plan(plan, known)
    for step in plan.walk(plan.denoiser, noise(), plan.grid, None, noise):
        second = step.x[..., 1:]
    a = ((second * first).mean() / first.square().mean()).item()
    b = (second - a * first).std().item()
    return math.hypot(a - R, b - math.sqrt(1 - R**2))


blind = math.hypot(R, 1 - math.sqrt(1 - R**2))
rows = {
    "replace": [distance("replace", n) for n in EVALUATIONS],
    "repaint, 4 walks": [distance("repaint:repeats=4", n // 4) for n in EVALUATIONS],
    "pigdm": [distance("pigdm", n) for n in EVALUATIONS],
}
print(f"{'evaluations':>20}", *(f"{n:>7}" for n in EVALUATIONS))
for name, values in rows.items():
    print(f"{name:>20}", *(f"{value:7.3f}" for value in values))
print(f"{'without a look':>20} {blind:7.3f}")
assert rows["replace"][-1] < rows["replace"][0] / 3
assert max(values[-1] for values in rows.values()) < 0.15 < blind

# %%
figure, axes = pyplot.subplots(figsize=(5, 3.2))
for name, values in rows.items():
    axes.loglog(EVALUATIONS, values, "o-", label=name)
axes.axhline(blind, color="grey", linestyle=":", label="without a look")
axes.set_xlabel("evaluations")
axes.set_ylabel("distance to the truth")
axes.legend()
figure.tight_layout()
pyplot.show()

# %% [markdown]
# **Replacing** (few-step models, Song et al. 2023) forgets a little of the past with each fresh
# noise, and comes as near as you have time for. **RePaint** (Lugmayr et al. 2022) walks parts of
# the way again, so that the two parts of the image can agree; with one walk it stays far off:

# %%
once = [distance("repaint:repeats=1", n) for n in EVALUATIONS]
print("one walk:", *(f"{value:.3f}" for value in once))
assert once[-1] > 2 * rows["repaint, 4 walks"][-1]

# %% [markdown]
# **PiGDM** (Song et al. 2023, "Pseudoinverse-guided diffusion models") looks at how the prediction
# of the known pixels changes with $x_t$, and steers by that gradient. It is near at once, and stays
# where it is: it takes the spread of $x_0$ given $x_t$ to be the same in all directions, which no
# number of steps mends.

# %% [markdown]
# ## Digits
#
# The lower half is missing. Nobody knows the exact answer now; `benchmarks/inpainting.py` measures
# what can be measured.

# %%
ordinary = mezzotint.load("digits", "cpu")
few_step = mezzotint.load("digits-fast", "cpu")
test = load_data(ordinary.recipe.data, "test")
mask = torch.zeros(28, 28, dtype=torch.bool)
mask[14:] = True
images = test.images[:10]
labels = test.labels[:10].tolist()
rests = [
    ordinary.inpaint(images, mask, labels, method="pigdm", steps=12),
    ordinary.inpaint(images, mask, labels, method="repaint", steps=6),
    few_step.inpaint(images, mask, labels, method="replace", steps=24),
]
for drawn in rests:
    assert torch.equal(drawn[:, :, ~mask], images[:, :, ~mask])  # known pixels, to the bit
hidden = images.masked_fill(mask, 60)
figure, axes = pyplot.subplots(figsize=(8, 4))
axes.imshow(tile(torch.cat([images, hidden, *rests]), 10)[0], cmap="gray")
axes.set_title("test digits; what is known; pigdm; repaint; replace")
axes.axis("off")
pyplot.show()

# %% [markdown]
# And the same upper half under other labels: what a model does when the two disagree.

# %%
upper = test.images[3]
drawn = ordinary.inpaint(upper, mask, list(range(10)), steps=12)
figure, axes = pyplot.subplots(figsize=(8, 1.2))
axes.imshow(tile(drawn, 10)[0], cmap="gray")
axes.axis("off")
pyplot.show()

# %% [markdown]
# ## Exercises
#
# 1. Give `repaint` a jump of several steps (`repaint:jump=4,repeats=4`) at equal evaluations. When
# does it help?
# 2. Where does the distance of `pigdm` come from: from $a$ or from $b$? Print both, and try $r =
# 0.5$.
# 3. Draw a mask that keeps every other column only. Which methods still see the whole?
