"""Where on the way from noise to an image a model loses variety.

    python benchmarks/variety.py digits --judge choosing.safetensors
    python benchmarks/variety.py runs/digits --judge choosing.safetensors --times 1 --guidance 1 1.25 1.5

Real training images are noised up to a time and denoised by the model; 1 is pure noise. What is lost between
two times is the difference of their rows. The judge is a classifier of `mezzotint train-classifier`; for
choices, take one that measures nothing else. Images have the proportions of the data.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint import build, load
from mezzotint.data import ImageData
from mezzotint.evaluation.features import Classifier, extract_features, load_classifier
from mezzotint.evaluation.frechet import Moments, frechet_distance, moments
from mezzotint.model import Model
from mezzotint.utils.device import prepare
from mezzotint.utils.progress import progress

REFERENCE = 20_000
"""Training images that the others are compared with, at most."""

BATCH = 250


class Directions:
    """Features of real images: their moments, and the directions in which they vary, the widest first."""

    def __init__(self, judge: Classifier, images: Tensor) -> None:
        self.judge = judge
        self.moments = moments(extract_features(judge, images).features)
        variances, vectors = torch.linalg.eigh(self.moments.covariance)
        self.variances = variances.flip(0)
        self.vectors = vectors.flip(1)

    def shares(self, other: Moments) -> Tensor:
        """The variance of other images along each direction, as a share of that of the real ones."""
        return (self.vectors.T @ other.covariance @ self.vectors).diagonal() / self.variances

    def row(self, what: str, images: Tensor, labels: Tensor) -> list[str]:
        """A row of the table."""
        output = extract_features(self.judge, images)
        other = moments(output.features)
        shares = self.shares(other)
        right = (output.logits.argmax(1) == labels).double().mean().item()
        ink = images.double().mean((1, 2, 3))
        spread = torch.stack([ink[labels == label].std() for label in labels.unique()]).mean()
        return [
            what,
            f"{frechet_distance(other, self.moments):.3f}",
            f"{right:.4f}",
            f"{shares[:8].mean():.3f}",
            f"{shares[8:24].mean():.3f}",
            f"{spread:.2f}",
        ]


def denoised(model: Model, data: ImageData, time: float, guidance: float) -> Tensor:
    """Images of the data, noised up to a time and denoised."""
    results = []
    starts = range(0, len(data), BATCH)
    for first in progress(starts, len(starts), f"t = {time:g}, guidance {guidance:g}", "batch"):
        rows = slice(first, first + BATCH)
        edit = model.image_to_image(data.images[rows], time)
        results.append(
            model.sample(
                data.labels[rows], seed=0, first=first, batch=BATCH, edit=edit, guidance=guidance
            )
        )
    return torch.cat(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a run, a weights file, or a shipped model's name")
    parser.add_argument("--judge", type=Path, required=True, help="classifier that measures")
    parser.add_argument("--times", nargs="+", type=float, default=[1, 0.9, 0.8, 0.7, 0.5])
    parser.add_argument("--guidance", nargs="+", type=float, default=[1.0])
    parser.add_argument("--count", type=int, default=5000, help="images of each row")
    arguments = parser.parse_args()
    prepare()
    model = load(arguments.model)
    train = build.load_data(model.recipe.data)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    chosen = order[: arguments.count]
    others = order[arguments.count :][-REFERENCE:]  # never one of the chosen
    data = ImageData(train.images[chosen], train.labels[chosen], train.classes)
    directions = Directions(load_classifier(arguments.judge), train.images[others])
    rows = [directions.row("real images", data.images, data.labels)]
    for time, guidance in product(arguments.times, arguments.guidance):
        images = denoised(model, data, time, guidance)
        rows.append(directions.row(f"{time:g}, {guidance:g}", images, data.labels))
    headings = ["from t, guidance", "distance", "accuracy"]
    headings += ["variance, directions 1 to 8", "9 to 24", "ink, spread in a class"]
    print(machine.table(headings, rows))
    print(f"\n{arguments.model}, {arguments.count:,} images. {machine.describe()}.")


if __name__ == "__main__":
    main()
