"""The result of an evaluation, and the files that it is written to."""

import json
import math
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..data.samples import Samples
from ..utils.files import whole_file
from ..utils.numbers import json_ready
from .document import Row, markdown, rows
from .measure import Measured, Reference


@dataclass
class Evaluation:
    """The result of an evaluation.

    Attributes:
        values: For each measure, one value per seed.
        floor: For each measure that has one, its value for real images.
        protocol: Everything needed to reproduce the values.
        first: Images and measures of the first seed, for figures.
    """

    values: dict[str, list[float]]
    floor: dict[str, float]
    protocol: dict[str, Any]
    first: tuple[Samples, Measured] = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Return values, mean and standard deviation, floors and protocol, as in evaluation.json."""
        results = {
            name: {
                "mean": statistics.fmean(values),
                "std": spread(values),
                "seeds": values,
                "floor": self.floor.get(name),
            }
            for name, values in self.values.items()
        }
        confusion = self.first[1].confusion
        return {
            "results": results,
            "confusion": None if confusion is None else confusion.tolist(),
            "protocol": self.protocol,
        }

    def to_json(self) -> str:
        """Return :meth:`document` as JSON."""
        return json.dumps(json_ready(self.document()), indent=1, allow_nan=False)


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of several finite values; None if there is none."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return statistics.stdev(values)


def common_protocol(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Return the part of the protocol that every evaluation has.

    Args:
        samples: The images that were measured.
        reference: Data set and classifiers that measured them.

    Returns:
        Counts, names and hashes of the classifiers, hardware, versions and date, all JSON values.
    """
    counts = None if samples.labels is None else torch.bincount(samples.labels).tolist()
    return {
        "images": len(samples.images),
        "images_per_class": counts,
        "reference": f"the {len(reference.test):,} images of the test split",
        "features": {"network": reference.judge.name, "sha256": reference.judge.sha256},
        "witness": {"network": reference.witness.name, "sha256": reference.witness.sha256},
        "resize": "bilinear, antialiased, to the classifier's size where it differs",
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "version": __version__,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def to_markdown(evaluation: Evaluation) -> str:
    """Return the table and a summary of the protocol, in Markdown."""
    return markdown(evaluation.document())


def table(evaluation: Evaluation) -> list[Row]:
    """Return rows of text: measure, mean, standard deviation over seeds, floor, and what is better."""
    return rows(evaluation.document())


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write ``evaluation.json`` and ``evaluation.md``.

    Args:
        evaluation: The result to write.
        folder: Folder, created if missing; files of these names are replaced.

    Returns:
        Paths of the two files.
    """
    contents = {
        folder / "evaluation.json": evaluation.to_json(),
        folder / "evaluation.md": to_markdown(evaluation),
    }
    for path, content in contents.items():
        with whole_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return list(contents)
