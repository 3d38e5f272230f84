# %% [markdown]
# # Guidance, and what it costs
#
# Guidance makes a model surer of what it was asked for. It is often said to sharpen the
# distribution: to draw from $p(x)\,p(y \mid x)^s$. It does not, and a mixture of two Gaussians is enough to
# see it. Then digits: what is gained, and what is lost. Half a minute on a laptop.

# %%
from dataclasses import dataclass

import torch
from matplotlib import pyplot
from torch import Tensor

import mezzotint
from mezzotint import build
from mezzotint.diffusion.denoiser import Guided
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Flow
from mezzotint.evaluation.distances import distances
from mezzotint.evaluation.features import extract_features, load_classifier
from mezzotint.samplers import Heun, make_grid
from mezzotint.viz.grids import tile

WALKS = 4000  # of the closed form
COUNT = 100  # digits for each setting
STEPS = 8  # that draw them
GUIDANCES = (0.0, 0.5, 1.0, 2.0, 4.0)

# %% [markdown]
# ## Two Gaussians
#
# Class 0 is $N(-1, s^2)$ and class 1 is $N(1, s^2)$, with $s = 0.7$, and both are equally likely. Without a
# label the data are the mixture. With noise all this stays Gaussian: class $y$ becomes
# $N(\alpha_t m_y, v_t^2)$ with $v_t^2 = \alpha_t^2 s^2 + \sigma_t^2$. So the best denoiser is known with a
# label, and without: there each class predicts, weighted by how likely it is,
#
# $$p(y \mid x_t) \propto \exp\!\left(-\frac{(x_t - \alpha_t m_y)^2}{2 v_t^2}\right).$$

# %%
CENTRES = (-1.0, 1.0)
STD = 0.7
flow = Flow()


@dataclass(frozen=True)
class Mixture:
    """The best denoiser of two Gaussians, with a label and without."""

    schedule: Flow = flow

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Prediction:
        level = self.schedule.level(t)
        variance = level.alpha.square() * STD**2 + level.sigma.square()
        gain = level.alpha * STD**2 / variance
        apart = [x_t - level.alpha * centre for centre in CENTRES]
        if labels is None:
            logits = torch.stack([-d.square() / (2 * variance) for d in apart])
            weights = logits.softmax(0)
        else:
            chosen = labels.view(-1, 1, 1, 1)
            weights = torch.stack([(chosen == y).to(x_t) for y in range(2)])
        means = [centre + gain * d for centre, d in zip(CENTRES, apart, strict=True)]
        x0 = sum(w * mean for w, mean in zip(weights, means, strict=True))
        return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))


# %% [markdown]
# ## What guidance is
#
# A denoiser knows the slope of the log-density, the score:
# $\nabla \log p_t(x) = -\hat\varepsilon / \sigma_t$. Guidance by $s$ puts $u + s\,(c - u)$ in its place,
# with $c$ for the label and $u$ without (Ho and Salimans 2022). So at each time alone it is the score of
#
# $$g_t(x) \propto p_t(x \mid y)^s\, p_t(x)^{1-s} \propto p_t(x)\,p_t(y \mid x)^s.$$
#
# At $t = 0$ this is the sharpened density $g_0$. A walk down to $g_0$ would have to follow the scores of
# *$g_0$ with noise added*. Is that $g_t$? Sharpen and then add noise, or add noise and then sharpen:

# %%
WEIGHT = 3.0
LABEL = 1
x = torch.linspace(-12, 12, 4801, dtype=torch.float64)
dx = (x[1] - x[0]).item()


def gaussian(x: Tensor, mean: float | Tensor, std: float | Tensor) -> Tensor:
    """The density of N(mean, std^2)."""
    return (-0.5 * ((x - mean) / std).square()).exp() / (std * (2 * torch.pi) ** 0.5)


classes = [gaussian(x, centre, STD) for centre in CENTRES]
sharp = classes[LABEL] ** WEIGHT * ((classes[0] + classes[1]) / 2) ** (1 - WEIGHT)
sharp /= sharp.sum() * dx


def guided_score(t: Tensor, guidance: float, at: Tensor) -> Tensor:
    """The score that the sampler sees."""
    labels = torch.full((len(at),), LABEL)
    prediction = Guided(Mixture(), guidance)(at.view(-1, 1, 1, 1), t, labels)
    return -prediction.eps.flatten() / flow.level(t).sigma


def true_score(t: Tensor, density: Tensor, at: Tensor) -> Tensor:
    """The score of a density with the noise of time t: its mean over all clean x."""
    level = flow.level(t)
    logs = (
        density.clamp(min=1e-300).log() - 0.5 * ((at[:, None] - level.alpha * x) / level.sigma) ** 2
    )
    return (level.alpha * logs.softmax(1) @ x - at) / level.sigma.square()


at = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
_, grid_of_axes = pyplot.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
gaps = []
for axes, time in zip(grid_of_axes, (0.7, 0.4, 0.1), strict=True):
    t = torch.tensor(time, dtype=torch.float64)
    followed = guided_score(t, WEIGHT, at)
    needed = true_score(t, sharp, at)
    gaps.append((followed - needed).abs().max().item())
    axes.plot(at, followed, label="guided score")
    axes.plot(at, needed, "--", label="score of sharpened data")
    axes.set(xlabel="$x_t$", title=f"t = {time}: at most {gaps[-1]:.2f} apart", ylim=(-8, 14))
    axes.title.set_fontsize(9)
    # Without guidance there is nothing to exchange: both are the score of the class.
    torch.testing.assert_close(guided_score(t, 1.0, at), true_score(t, classes[LABEL], at))
grid_of_axes[0].legend(fontsize=7)
assert gaps[0] > 0.5

# %% [markdown]
# They are not the same. With guidance 1 both agree to many digits, so it is not the arithmetic:
# raising to a power and adding noise cannot be exchanged. Near the image, where there is little noise
# left to add, the difference goes away, but then the walk is nearly over.
#
# ## Where the walks end
#
# Heun's method with many steps follows the guided scores. In one dimension walks never cross, so it is enough
# to start at the quantiles of noise: each walk then stands for an equal share of what is drawn.

# %%
quantiles = (torch.arange(WALKS, dtype=torch.float64) + 0.5) / WALKS
noise = torch.special.ndtri(quantiles).view(-1, 1, 1, 1)
labels = torch.full((WALKS,), LABEL)
grid = make_grid("quadratic", flow, 100)


def drawn(guidance: float) -> Tensor:
    """Where the walks end."""
    *_, step = Heun()(Guided(Mixture(), guidance), noise, grid, labels, lambda: noise)
    return step.x.flatten()


def moments(density: Tensor) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean = (x * density).sum() * dx
    return mean.item(), (((x - mean).square() * density).sum() * dx).sqrt().item()


_, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
axes.plot(x, classes[LABEL], color="grey", label="class 1")
axes.plot(x, sharp, "--", color="C1", label=f"sharpened, s = {WEIGHT:g}")
axes.hist(drawn(WEIGHT), bins=60, density=True, color="C0", alpha=0.4, label="drawn with guidance")
axes.set(xlim=(-1.5, 5), xlabel="x")
_ = axes.legend(fontsize=8)
plain = drawn(1.0)
guided = drawn(WEIGHT)
mean, std = moments(sharp)
print(f"class 1: {CENTRES[LABEL]:.3f} ± {STD:.3f}; drawn {plain.mean():.3f} ± {plain.std():.3f}")
print(
    f"sharpened: {mean:.3f} ± {std:.3f}; drawn with guidance {guided.mean():.3f} ± {guided.std():.3f}"
)
assert abs(plain.mean() - CENTRES[LABEL]) < 0.01
assert abs(plain.std() - STD) < 0.01
assert guided.mean() > mean + 0.1  # further out than asked for
assert guided.std() < std - 0.1  # and narrower

# %% [markdown]
# What is drawn is narrower than the sharpened density and lies further out: away from the other class,
# where its own class has little of its mass. That is what "exaggerates the label" means, and why
# guidance is chosen by what comes out and not by a formula.
#
# ## Digits
#
# Three numbers for each guidance, beside the same number of test digits (dotted):
#
# - **accuracy**: how often a classifier that never saw a drawn digit sees what was asked for;
# - **variety**: the mean distance between two digits of one label, in the features of that
#   classifier. (Where the label is ignored it is large, since these are different digits);
# - **ink**: the mean grey level, from 0 to 1.

# %%
model = mezzotint.load("digits", "cpu")
judge = load_classifier("digits-plain")
asked = torch.arange(COUNT) % 10


def measure(images: Tensor) -> tuple[float, float, float]:
    """Accuracy, variety and ink of digits whose labels are ``asked``."""
    seen = extract_features(judge, images)
    varieties = []
    for label in range(10):
        features = seen.features[asked == label]
        pairs = len(features) * (len(features) - 1)
        varieties.append((distances(features, features).sum() / pairs).item())
    right = (seen.logits.argmax(1) == asked).double().mean().item()
    return right, sum(varieties) / 10, images.double().mean().item() / 255


test = build.load_data(mezzotint.as_recipe("digits").data, "test")
members = [(test.labels == label).nonzero()[:, 0] for label in range(10)]
real = measure(test.images[[members[k % 10][k // 10].item() for k in range(COUNT)]])
images = {g: model.sample(asked, guidance=g, steps=STEPS, seed=1) for g in GUIDANCES}
found = {g: measure(images[g]) for g in GUIDANCES}

_, three = pyplot.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for number, (axes, name) in enumerate(zip(three, ("accuracy", "variety", "ink"), strict=True)):
    axes.plot(GUIDANCES, [found[g][number] for g in GUIDANCES], marker="o")
    axes.axhline(real[number], color="grey", linestyle=":")
    axes.set(xlabel="guidance", title=name)
error = (found[1.0][0] * (1 - found[1.0][0]) / COUNT) ** 0.5
print(f"accuracy at guidance 1: {found[1.0][0]:.3f} ± {error:.3f}, of {COUNT} digits")
strong = GUIDANCES[-1]
assert found[0.0][0] < 0.5 < found[1.0][0]
assert found[strong][1] < 0.9 * found[1.0][1]  # less various
assert found[strong][2] > 1.1 * found[1.0][2]  # more ink
assert abs(found[1.0][1] / real[1] - 1) < 0.2  # which real digits do not call for

# %% [markdown]
# At 0 the label is not heard at all, and at 1 this model does what it is asked for: it was refined
# until it needs no guidance. What more of it can add to the accuracy is less than so few digits can
# show, and what it takes away is plain: the digits of a label come closer together than real ones,
# and the strokes get fatter. A model that was trained for minutes only gains more from it: its
# recipe, `digits`, says 1.5. Below are fours, each column from one noise.

# %%
pyplot.figure(figsize=(8, 0.8 * len(GUIDANCES)), layout="constrained")
fours = torch.cat([images[g][asked == 4][:10] for g in GUIDANCES])
pyplot.imshow(tile(fours, 10)[0], cmap="gray", vmin=0, vmax=255)
pyplot.title("guidance " + ", ".join(f"{g:g}" for g in GUIDANCES), fontsize=9)
_ = pyplot.axis("off")

# %% [markdown]
# ## In an interval
#
# At high noise guidance decides too early which of the usual shapes it will be; at low noise there
# is nothing left to decide. So it may act in the middle alone (Kynkaanniemi et al. 2024). It also costs less,
# since only there the denoiser is asked twice.

# %%
times = make_grid("trailing", flow, STEPS)[:-1]
print(f"guidance {strong:g}".ljust(14), " accuracy  variety    ink  evaluations", sep="")
kept = {(0.0, 1.0): found[strong]}
for interval in ((0.6, 1.0), (0.2, 0.8), (0.0, 0.6)):
    kept[interval] = measure(
        model.sample(asked, guidance=strong, interval=interval, steps=STEPS, seed=1)
    )
for (low, high), (right, variety, ink) in kept.items():
    twice = int(((times > low) & (times <= high)).sum())
    print(f"({low:g}, {high:g}]".ljust(14), end="")
    print(f"{right:9.3f} {variety:8.3f} {ink:6.3f} {STEPS + twice:12d}")
print(f"{'real digits':14s}{real[0]:9.3f} {real[1]:8.3f} {real[2]:6.3f}")
assert kept[0.0, 0.6][1] > kept[0.0, 1.0][1]

# %% [markdown]
# The loss of variety and the fat strokes come from the noisy half of the walk: guided there alone, the
# digits are as alike as those that were guided all the way; guided in the other half, much of what
# was lost is back.

# %% [markdown]
# ## Exercises
#
# 1. Set `STD = 0.2`, so that the classes hardly overlap. Do sharpening and guidance now agree, and why?
# 2. Repeat the first plot of digits with the model of a short training
#    (`as_recipe("digits", {"training": {"steps": 300}})`). Where is its best guidance?
# 3. `digits-fast` was trained without label dropout. What happens if it is guided, and why?
