# %% [markdown]
# # Your own pictures
#
# From a folder of pictures to a model that draws more of them: make the folder, look at it, train, draw,
# measure, and know what to do when it looks bad. The pictures are shapes, drawn here, so nothing is
# downloaded, and whether a drawn shape is right can be computed. Half a minute on a laptop.

# %%
import json
import math
import os
import random
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from matplotlib import pyplot
from PIL import Image, ImageDraw
from torch import Tensor

import mezzotint
from mezzotint import build
from mezzotint.cli.doctor import doctor
from mezzotint.evaluation.memorization import nearest
from mezzotint.viz.grids import tile

PICTURES = 300  # of each class
STEPS = 400  # of training
COUNT = 90  # shapes that are measured

folder = Path(mkdtemp())
os.environ["MEZZOTINT_CACHE"] = str(folder / "cache")  # so that all of it is in one folder

# %% [markdown]
# ## A folder for each class
#
# The names of the folders become the names of the classes. Everything that Pillow reads will do, in any size.
# Here each shape has a random size and place. It is drawn eight times too large and then made
# smaller, so that its edges are soft.

# %%
SHAPES = ("circle", "square", "triangle")
SIDE = 16
FINER = 8
chance = random.Random(0)


def picture(shape: str) -> Image.Image:
    """A white shape on black."""
    side = SIDE * FINER
    r = chance.uniform(0.22, 0.42) * side
    x = chance.uniform(r, side - r)
    y = chance.uniform(r, side - r)
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    match shape:
        case "circle":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        case "square":
            pen.rectangle((x - r, y - r, x + r, y + r), fill=255)
        case "triangle":
            pen.polygon(((x - r, y + r), (x + r, y + r), (x, y - r)), fill=255)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


for shape in SHAPES:
    (folder / "pictures" / shape).mkdir(parents=True)
    for number in range(PICTURES):
        picture(shape).save(folder / "pictures" / shape / f"{number:04}.png")

# %% [markdown]
# ## A recipe
#
# What differs from the recipe `digits` is written into a file. A small network is enough for shapes.
# (On the command line: `mezzotint train shapes.toml`.)

# %%
recipe = folder / "shapes.toml"
_ = recipe.write_text(
    f"""\
base = "digits"

[data]
name = 'folder:{folder / "pictures"}'

[net]
width = 24
blocks = 1
embedding = 32

[training]
steps = {STEPS}
batch = 32
warmup = 50
ema = 0.98
log_every = 10
sample_every = {STEPS // 4}
""",
    encoding="utf-8",
)

# %% [markdown]
# ## What is in it?
#
# `doctor` reads every picture before anything is trained: broken files, sizes, classes, copies, and how
# long it would take. (`mezzotint doctor folder:pictures --recipe shapes.toml`.) About one picture in
# ten is kept for testing, by a hash of its name. A copy or a mirror image or two are chance, since
# circles on so few pixels differ in little. A hundred would not be.

# %%
doctor(f"folder:{folder / 'pictures'}", recipe=str(recipe))

data = build.load_data(mezzotint.as_recipe(str(recipe)).data)
test = build.load_data(mezzotint.as_recipe(str(recipe)).data, "test")


def show(images: Tensor, columns: int, title: str = "") -> None:
    """uint8 images, row after row."""
    pyplot.figure(figsize=(0.6 * columns, 0.62 * -(-len(images) // columns)), layout="constrained")
    pyplot.imshow(tile(images, columns)[0], cmap="gray", vmin=0, vmax=255)
    pyplot.title(title, fontsize=9)
    pyplot.axis("off")


some = [data.images[data.labels == label][:10] for label in range(3)]
show(torch.cat(some), 10, ", ".join(data.classes))

# %% [markdown]
# ## How to tell a circle from a square
#
# By the share of its bounding box that a shape fills. That is a known number for each:
#
# $$\text{circle } \frac{\pi r^2}{(2r)^2} = \frac{\pi}{4}, \qquad \text{square } 1, \qquad
#   \text{triangle } \frac12.$$
#
# Measured on pictures of few pixels it is a little off, so the training pictures say how far.

# %%
EXACT = torch.tensor([math.pi / 4, 1, 1 / 2], dtype=torch.float64)


HEADING = (
    f"{'':18s} {' '.join(f'{name:8s}' for name in data.classes)} accuracy\n"
    f"{'closed form':18s} {' '.join(f'{share:<8.3f}' for share in EXACT.tolist())}"
)


def filled(images: Tensor) -> Tensor:
    """The share of its bounding box that each shape fills; 0 for a black picture."""
    white = (images[:, 0] > 127).double()
    box = white.amax(2).sum(1) * white.amax(1).sum(1)
    return white.sum((1, 2)) / box.clamp(min=1)


def report(name: str, images: Tensor, labels: Tensor) -> float:
    """Print the mean share of each class, and how often it is nearest to the number of its own class."""
    shares = filled(images)
    means = [f"{shares[labels == k].mean().item():<8.3f}" for k in range(3)]
    right = ((shares[:, None] - EXACT).abs().argmin(1) == labels).double().mean().item()
    print(f"{name:18s} {' '.join(means)} {right:.3f}")
    return right


print(HEADING)
floor = report("training pictures", data.images, data.labels)
assert floor > 0.95
for label in range(3):
    assert abs(filled(data.images[data.labels == label]).mean() - EXACT[label]) < 0.1

# %% [markdown]
# ## Train
#
# A run is a folder. While it trains, it keeps grids of samples, a column for each class, from the
# same noise each time. Look at these first: they tell more than the loss.

# %%
run = mezzotint.train(str(recipe), folder / "run", log=print)

grids = sorted((run / "samples").iterdir())
_, row = pyplot.subplots(1, len(grids) + 1, figsize=(9, 2.4), layout="constrained")
for axes, path in zip(row, grids, strict=False):
    axes.imshow(np.asarray(Image.open(path)), cmap="gray")
    axes.set_title(f"step {int(path.stem.removeprefix('step-'))}", fontsize=8)
    axes.axis("off")
entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
row[-1].plot([entry["step"] for entry in entries], [entry["loss"] for entry in entries])
_ = row[-1].set(xlabel="step", ylabel="loss", yscale="log")

# %% [markdown]
# ## Draw, and measure
#
# Guidance (Ho and Salimans 2022) exaggerates what the label changes. More of it can make the classes
# easier to tell apart, and it pulls the shapes away from what they are: watch the share that a
# circle fills.

# %%
model = mezzotint.load(run)
labels = torch.arange(COUNT) % 3
drawn = {}
right = {}
print(HEADING)
for guidance in (1.0, 1.5, 3.0):
    drawn[guidance] = model.sample(labels, guidance=guidance, seed=1)
    right[guidance] = report(f"guidance {guidance}", drawn[guidance], labels)
best = max(right, key=right.__getitem__)
by_class = [drawn[best][labels == label][:10] for label in range(3)]
show(torch.cat(by_class), 10, f"guidance {best}")
assert right[best] > 0.75 or STEPS < 400, right  # chance is a third

# %% [markdown]
# ## By heart?
#
# A model that repeats its training pictures draws well and is of no use. So the distance of each drawn
# picture to the nearest training picture is compared with that of test pictures, which were not
# learnt from. Much less would be learnt by heart; more, as here, comes from edges that are not yet clean.

# %%
medians = {
    name: nearest(images, data.images).summary()["median"]
    for name, images in (("drawn", drawn[1.0]), ("test", test.images))
}
for name, median in medians.items():
    print(f"{name:5s} median distance to the nearest training picture: {median:.1f}")
assert medians["drawn"] > 0.5 * medians["test"]

# %% [markdown]
# ## When it looks bad
#
# | what you see | what helps |
# |---|---|
# | grey mush, and the loss still falls | more steps: `--steps` |
# | good shapes in the wrong class | more guidance; look for pictures in the wrong folder |
# | all alike, thick, too bright | less guidance |
# | specks and ragged edges | more steps, a longer average of the weights (`--ema 0.999`), a wider network |
# | training pictures again, only sharper | more pictures or fewer steps: it learns them by heart |
# | a rare class is bad | `--balance classes`, and more pictures of it |
# | the loss is not finite | a smaller `--learning-rate` |
# | everything mirrored now and then | mirrored copies in the folder: `doctor` counts them |
#
# Change one thing at a time, keep the seed, and compare grids of the same step. Colour pictures begin
# with the recipe `rgb32`; `docs/data.md` has all that a folder can be.

# %% [markdown]
# ## Exercises
#
# 1. Let squares be turned by a random angle. Which of the three numbers changes, and what does the
#    model draw?
# 2. Train with 30 pictures of each class instead of 300, for the same number of steps. What does the
#    distance to the nearest training picture say?
# 3. Add a fourth folder of your own, or photographs with `size = 32` in the recipe, and run `doctor` on it.
