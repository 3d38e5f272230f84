"""What `make demo` does, scaled to the budget: the recipe ``digits``, then a short refinement.

Schedules have to know their end before they begin, so the speed of some steps decides how many there
will be; those are not kept, and not counted. The refinement gets what the training has left of the
budget, at the speed that the training had. All else is counted: sample grids, checkpoints, and drawing
the images that the model is refined against (of FLOPs, only those of sample grids are left out).
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torch import Tensor

import mezzotint
from common import Sampling, parse, parser, report, with_flops
from mezzotint import build
from mezzotint.cli.refine import refined
from mezzotint.recipe.toml import override
from mezzotint.runs.initial import find_initial
from mezzotint.runs.train import make_trainer
from mezzotint.utils import pixels
from mezzotint.utils.device import prepare

# What the second part takes, as a share of the first.
SECOND = 0.35
COUNTED_SAMPLES = 100
"""Images that are drawn to count the FLOPs of one."""


def refinement_of_the_demo() -> dict[str, float]:
    """The flags of `make demo`'s refinement, from the Makefile."""
    makefile = Path(__file__).parents[2] / "Makefile"
    flags = next(r for r in makefile.read_text().splitlines() if r.startswith("REFINED := "))
    words = flags.split()[2:]
    return dict(zip(words[::2], map(float, words[1::2]), strict=True))


def affordable(recipe: mezzotint.Recipe, seconds: float) -> float:
    """How many times the demo's steps take so many seconds."""
    rates: list[float] = []
    short = override(recipe, {"training": {"steps": 200, "log_every": 20}})
    trainer = make_trainer(short, build.load_data(recipe.data))
    trainer.run(log=lambda entry: rates.append(entry["images_per_second"]))
    steps = seconds * statistics.median(rates[2:]) / recipe.training.batch
    return steps / recipe.training.steps / (1 + SECOND)


def training_flops(trained: mezzotint.Recipe, refined: mezzotint.Recipe) -> float:
    """FLOPs of a training and its refinement: of one step of each, and of drawing some of the samples."""
    data = build.load_data(trained.data)
    _, step = with_flops(make_trainer(trained, data).step)
    initial, samples = with_flops(
        lambda: find_initial(refined, data.spec, None, most=COUNTED_SAMPLES)
    )
    _, refining_step = with_flops(make_trainer(refined, data, initial).step)
    return (
        trained.training.steps * step
        + refined.objective.images / COUNTED_SAMPLES * samples
        + refined.training.steps * refining_step
    )


def train(seconds: float, seed: int) -> tuple[mezzotint.Model, dict[str, float]]:
    """A model that is trained and refined within a budget, and what that has taken."""
    recipe = mezzotint.as_recipe("digits", {"seed": seed})
    share = affordable(recipe, seconds)
    recipe = override(recipe, {"training": {"steps": round(share * recipe.training.steps)}})
    flags = refinement_of_the_demo()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trained = mezzotint.train(recipe, Path(folder) / "trained")
        first = time.perf_counter() - start
        share *= max(0.1, seconds / first - 1) / SECOND
        onward = override(
            refined(str(trained)),
            {
                "seed": seed,
                "training": {
                    "steps": round(share * flags["--steps"]),
                    "learning_rate": flags["--learning-rate"],
                },
                "objective": {
                    "images": round(share * flags["--images"]),
                    "wrong_labels": flags["--wrong-labels"],
                },
                "sampling": {"guidance": flags["--guidance"]},
            },
        )
        model = mezzotint.load(mezzotint.train(onward, Path(folder) / "refined"))
        spent = time.perf_counter() - start
        flops = training_flops(recipe, onward)
    steps = recipe.training.steps + onward.training.steps
    return model, {
        "train_seconds": round(spent, 2),
        "train_images": steps * recipe.training.batch,
        "train_tflop": round(flops / 1e12, 3),
    }


def draw(model: mezzotint.Model, seeds: Iterator[int], labels: Tensor) -> Tensor:
    """Images in [-1, 1] of a batch of labels."""
    return pixels.to_float(model.sample(labels, seed=next(seeds)))


def main() -> None:
    args = parse(parser(__doc__))
    prepare()
    for budget in args.seconds:
        model, trained = train(budget, args.seed)
        seeds = itertools.count(1000 * args.seed)  # one for each batch
        settings = model.recipe.sampling
        samplings = [  # the sampler of the recipe evaluates the network once a step
            Sampling(
                settings.sampler, settings.steps, partial(draw, model, seeds), settings.guidance
            )
        ]
        network = model.denoiser.network
        release = mezzotint.__version__
        report("mezzotint digits", release, budget, trained, samplings, args, network, "refined")


if __name__ == "__main__":
    main()
