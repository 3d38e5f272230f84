"""Mezzotint's own recipe ``digits``, scaled to the budget: its schedule has to know its end before it
begins, so the speed of twenty steps decides how many there will be; they are not kept, and not counted.
"""

import itertools
import statistics
import time

import torch

import mezzotint
from common import parameters, parse, parser, report, sample
from mezzotint import build, pixels, runtime
from mezzotint.model import Model
from mezzotint.options import replace
from mezzotint.training.trainer import Trainer


def affordable(recipe: mezzotint.Recipe, data: mezzotint.ImageData, seconds: float) -> int:
    """How many steps of ``recipe`` take so many seconds."""
    rates: list[float] = []
    short = replace(recipe, {"training": {"steps": 20, "log_every": 1}})
    Trainer(short, data, lambda entry: rates.append(entry["images_per_second"])).run()
    return max(1, round(seconds * statistics.median(rates[5:]) / recipe.training.batch))


def main() -> None:
    arguments = parse(parser(__doc__))
    runtime.prepare()
    recipe = mezzotint.as_recipe("digits", {"seed": arguments.seed})
    data = build.load_data(recipe)
    steps = affordable(recipe, data, arguments.seconds)
    recipe = replace(recipe, {"training": {"steps": steps}})
    trainer = Trainer(recipe, data)
    start = time.perf_counter()
    trainer.run()
    spent = time.perf_counter() - start
    network = trainer.state.released.eval()
    model = Model(recipe, trainer.spec, build.make_denoiser(recipe, network), torch.device("cpu"))
    seeds = itertools.count(1000 * arguments.seed)  # one for each batch
    drawn = sample(
        lambda labels: pixels.to_float(model.sample(labels, seed=next(seeds))),
        arguments,
        conditional=True,
    )
    sampling = recipe.sampling
    report(
        system="mezzotint digits",
        version=mezzotint.__version__,
        parameters=parameters(trainer.state.network),
        train_seconds=round(spent, 2),
        train_images=steps * recipe.training.batch,
        sampler=sampling.sampler,
        evaluations=sampling.steps * (1 if sampling.guidance == 1 else 2),
        **drawn,
        note=f"guidance {sampling.guidance}",
    )


if __name__ == "__main__":
    main()
