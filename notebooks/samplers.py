# %% [markdown]
# # Samplers against the truth
#
# A picture is the work of two: a network that predicts, and a sampler that walks where the network
# points. From the picture alone nobody can tell whose mistake is whose. So here the network is
# replaced by a formula that makes no mistake, and what is left is the sampler's. At the end the
# same samplers draw digits. Half a minute on a laptop.

# %%
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from matplotlib import pyplot
from torch import Tensor

import mezzotint
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Flow, Schedule
from mezzotint.registry import GRIDS, SAMPLERS, SCHEDULES
from mezzotint.samplers import DDIM, DDPM, DPMSolver, Heun, Sampler, denoise, make_grid
from mezzotint.utils import pixels
from mezzotint.viz.grids import tile

MOST_STEPS = 1000  # of the random sampler
FINEST = 400  # steps of the walks whose error is measured
REFERENCE_STEPS = 50  # of the walk that the digits are compared with
BUDGETS = (4, 8, 16, 32)  # evaluations for each digit

print("samplers:", ", ".join(SAMPLERS))
print("time grids:", ", ".join(GRIDS))

# %% [markdown]
# ## Data with a known answer
#
# Let the data be one number, $x_0 \sim N(m, s^2)$ with $m = 0.3$ and $s = 0.5$. After noising,
# $x_t = \alpha_t x_0 + \sigma_t \varepsilon$ has the variance $v_t^2 = \alpha_t^2 s^2 + \sigma_t^2$,
# and the best prediction of $x_0$ is
#
# $$\mathbb E[x_0 \mid x_t] = m + \frac{\alpha_t s^2}{v_t^2}\,(x_t - \alpha_t m).$$
#
# That is a denoiser. It needs no training, and every sampler takes it for a network.

# %%
MEAN = 0.3
STD = 0.5


@dataclass(frozen=True)
class Exact:
    """The best denoiser of N(MEAN, STD^2)."""

    schedule: Schedule

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        level = self.schedule.level(t)
        gain = level.alpha * STD**2 / (level.alpha.square() * STD**2 + level.sigma.square())
        x0 = MEAN + scale(gain, x_t) - gain * level.alpha * MEAN
        return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))


# %% [markdown]
# ## The spread, without a dice roll
#
# This denoiser is a straight line in $x_t$, so all that a sampler makes of its noises
# $z_0, \dots, z_n$ is a sum, $x = a + \sum_k c_k z_k$. Its mean is $a$ and its variance is
# $\sum_k c_k^2$, exactly. To find the numbers, walk once without noise, and once for each noise
# with that one set to 1. All these walks go side by side, as one batch.

# %%


def mean_and_std(sampler: Sampler, schedule: Schedule, grid: Tensor) -> tuple[float, float]:
    """The exact mean and standard deviation of what a sampler makes of this data."""
    rows = torch.eye(len(grid) + 1, dtype=torch.float64)[:, :, None, None, None]
    impulses = partial(next, iter(rows[1:]))  # walk 0 has no noise
    *_, step = sampler(Exact(schedule), impulses(), grid, None, impulses)
    made = step.x.flatten()
    return made[0].item(), (made[1:] - made[0]).norm().item()


linear = SCHEDULES["linear"](1000)
kinds: dict[str, tuple[Sampler, Sequence[int]]] = {
    "DDPM": (DDPM(), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, MOST_STEPS)),
    "DDIM": (DDIM(), (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "DPM-Solver++(2M)": (DPMSolver(), (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "Heun": (Heun(), (1, 2, 4, 8, 16, 32, 64, 128)),
}
_, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
for name, (sampler, counts) in kinds.items():
    grids = [make_grid("trailing", linear, n) for n in counts]
    stds = [mean_and_std(sampler, linear, grid)[1] for grid in grids]
    axes.plot([len(sampler.evaluations(grid)) for grid in grids], stds, marker=".", label=name)
    print(f"{name:17s} 16 steps: {stds[counts.index(16)]:.4f}   {counts[-1]:4d}: {stds[-1]:.4f}")
    assert stds[0] < 0.01
    assert abs(stds[-1] - STD) < 0.01
    assert max(stds) < STD or name == "DPM-Solver++(2M)"
axes.axhline(STD, color="grey", linestyle=":", label="the data")
axes.set(xscale="log", xlabel="evaluations of the denoiser", ylabel="standard deviation")
_ = axes.legend(fontsize=8)

# %% [markdown]
# Read it from the left. **One step** gives a standard deviation of almost 0: pure noise says nothing of the
# image, so the best prediction is the mean, always the same one. **More steps**, and every sampler
# climbs to $0.5$. On the way corners are cut, and the images are less varied than the data.
# DPM-Solver++ alone overshoots a little, because it extrapolates.
#
# DDPM (Ho et al. 2020) draws new noise in every step, and needs most of them. DDIM (Song et al.
# 2021) draws none, and neither do DPM-Solver++ (Lu et al. 2022b) and Heun's method (Karras et al. 2022);
# these two use a second answer of the denoiser to bend with the path.

# %% [markdown]
# ## The order of a method
#
# Without new noise, a sampler solves a differential equation, the probability flow (Song et al. 2021,
# "Score-Based Generative Modeling"). For this data its solution is known: $(x_t - \alpha_t m) / v_t$
# stays what it is. So a walk from time $t$ to time $u$ has to multiply the spread by $v_u / v_t$.
#
# A method has the order $p$ if its error falls as $n^{-p}$: twice the steps, $2^p$ times less. In a
# plot with two logarithmic axes that is a line of slope $-p$. The steps here are even in
# $\lambda = \log(\alpha/\sigma)$, from $-5$ to $3$; they end before the last noise is gone.

# %%
flow = Flow()


def spread(t: Tensor) -> float:
    """The standard deviation v_t of the data at a time."""
    level = flow.level(t)
    return math.hypot(level.alpha.item() * STD, level.sigma.item())


expected = {"DDIM": 1, "DPM-Solver++(2M)": 2, "Heun": 2}
counts = [n for n in (5, 10, 20, 40, 80, 160, 320) if n <= FINEST]
_, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
for name, order in expected.items():
    errors = []
    for n in counts:
        grid = flow.time_of(2 * torch.linspace(-5, 3, n + 1, dtype=torch.float64))
        _, std = mean_and_std(kinds[name][0], flow, grid)
        errors.append(abs(std - spread(grid[-1]) / spread(grid[0])))
    measured = math.log2(errors[-2] / errors[-1])
    axes.plot(counts, errors, marker=".", label=f"{name}: order {measured:.2f}")
    assert abs(measured - order) < 0.1, (name, measured)
axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="error of the standard deviation")
_ = axes.legend(fontsize=8)

# %% [markdown]
# The orders are those of the papers: 1, 2 and 2. A step of Heun's costs two evaluations and one of
# DPM-Solver++ one, because it remembers the answer before.

# %% [markdown]
# ## The last step
#
# Whatever happened before, the last step goes to $\sigma = 0$, and there all samplers do the same:
# they take the denoiser's word, $\hat x_0$. But that is an average over all images that could be
# behind the noise, and averages are less spread. With $\sigma$ and $\alpha$ at the time before, the
# spread shrinks by
#
# $$\frac{\alpha s}{\sqrt{\alpha^2 s^2 + \sigma^2}} \approx 1 - \frac{\sigma^2}{2\alpha^2 s^2}.$$
#
# No order helps against it. It takes a grid whose last time before 0 has little noise.

# %%
grid = torch.tensor([0.1, 0.0], dtype=torch.float64)  # one step, from alpha = 0.9 to the image
for name, (sampler, _) in kinds.items():
    shrunk = mean_and_std(sampler, flow, grid)[1] * spread(grid[0]) / STD
    assert abs(shrunk - 0.9 * STD / spread(grid[0])) < 1e-12, name
print(f"from t = 0.1 to 0, every sampler: the spread times {shrunk:.4f}")

# %% [markdown]
# ## Grids
#
# So a grid is a compromise: steps near the image make the last one harmless, and are missing
# elsewhere. `trailing` (Lin et al. 2024) has equal strides; `quadratic` (Song et al. 2021, "DDIM") takes
# small ones near the image; `log-snr` (Lu et al. 2022) and `karras` (Karras et al. 2022) spread theirs
# over a fixed range of noise levels. On the left are the times of twelve steps, on the right is the
# error of DPM-Solver++ on each grid. (Where a curve has a notch, the error changes its sign.)

# %%
names = [name for name in GRIDS if name != "linspace"]  # trailing, where time is continuous
counts = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
_, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for row, name in enumerate(names):
    times = make_grid(name, flow, 12)
    left.plot(times, [-row] * len(times), ".", label=name)
    grids = [make_grid(name, flow, n) for n in counts]
    errors = [abs(mean_and_std(DPMSolver(), flow, grid)[1] - STD) for grid in grids]
    right.plot(counts, errors, marker=".", label=name)
    ratio = times[-2] / (1 - times[-2])
    print(f"{name:9s} 12 steps: sigma/alpha before the last {ratio:.4f}, error {errors[5]:.4f}")
left.set(xlabel="t", xlim=(1.03, -0.03), yticks=[-row for row in range(len(names))])
left.set_yticklabels(names)
right.set(xscale="log", yscale="log", xlabel="steps", ylabel="error of the standard deviation")
_ = right.legend(fontsize=8)

# %% [markdown]
# None is best for every number of steps, and what is best here, for one Gaussian, need not be best for
# digits.

# %% [markdown]
# ## Digits
#
# Now with a network. Nobody knows the exact answer here, but a walk of many small steps of Heun's
# method is near to it, from the same noise. How far from it do fewer evaluations end?

# %%
model = mezzotint.load("digits", "cpu")
labels = torch.arange(10)


def digits(sampler: Sampler, grid: Tensor) -> Tensor:
    """Ten digits, from the same ten noises at each call."""
    steps = denoise(model.denoiser, sampler, grid, labels, range(10), model.spec.shape, seed=3)
    return [step.x for step in steps][-1]


answer = digits(Heun(), make_grid("quadratic", flow, REFERENCE_STEPS))
drawn: dict[str, list[Tensor]] = {}
for name in ("DDPM", *expected):
    sampler = kinds[name][0]
    steps = [n // 2 if name == "Heun" else n for n in BUDGETS]
    drawn[name] = [digits(sampler, make_grid("trailing", flow, n)) for n in steps]

_, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
apart = {name: [(x - answer).square().mean().sqrt().item() for x in drawn[name]] for name in drawn}
for name, distances in apart.items():
    left.plot(BUDGETS, distances, marker=".", label=name)
left.set(yscale="log", xlabel="evaluations", ylabel="RMS distance to the answer")
left.set_xscale("log", base=2)
left.legend(fontsize=8)
rows = torch.cat([answer, *(drawn[name][1] for name in drawn)])
right.imshow(tile(pixels.to_uint8(rows), 10)[0], cmap="gray", vmin=0, vmax=255)
right.set_title(f"the answer; {BUDGETS[1]} evaluations of {', '.join(drawn)}", fontsize=7)
right.axis("off")
for name in ("DDIM", "DPM-Solver++(2M)", "Heun"):
    assert all(later < earlier for earlier, later in pairwise(apart[name])), (name, apart[name])
sixteen = BUDGETS.index(16)
assert apart["DPM-Solver++(2M)"][sixteen] < apart["DDIM"][sixteen]

# %% [markdown]
# The distance of DDPM does not fall, and this is no fault: its new noises lead to other digits. It
# has to be judged by what it makes of many noises, as above. The other three come nearer and nearer
# to the same digits, and with 16 evaluations DPM-Solver++ is nearer than DDIM. The lines are not as
# straight as those of the formula: a network is not as smooth as a straight line.

# %% [markdown]
# ## Exercises
#
# 1. `DDIM(eta=0.5)` puts half of DDPM's noise back. Where is its curve in the first plot? And that of
#    `DDPM(variance="large")`: is the spread still below the data's?
# 2. Let the data be narrow, `STD = 0.05`. Which of the grids suffers most, and why does the last step
#    now matter more?
# 3. Write the midpoint method as a generator of `Step`, as in `examples/own_sampler.py`, and measure
#    its order.
