"""The result of an evaluation as JSON, as a table and as Markdown."""

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
from ..registry import MEASURES
from ..utils.files import whole_file
from ..utils.numbers import json_ready
from .features import SHIPPED
from .measure import Measured, Reference


@dataclass
class Evaluation:
    """The result of an evaluation.

    Attributes:
        values: For each measure, one value per seed.
        floor: For each measure that has one, its value for real images.
        protocol: Everything needed to reproduce the values.
        shown: Images and measures of the first seed, for figures.
    """

    values: dict[str, list[float]]
    floor: dict[str, float]
    protocol: dict[str, Any]
    shown: tuple[Samples, Measured] = field(repr=False)

    def to_json(self) -> str:
        """Return JSON with values, mean and standard deviation, floors and protocol."""
        results = {
            name: {
                "mean": statistics.fmean(values),
                "std": spread(values),
                "seeds": values,
                "floor": self.floor.get(name),
            }
            for name, values in self.values.items()
        }
        confusion = self.shown[1].confusion
        document = {
            "results": results,
            "confusion": None if confusion is None else confusion.tolist(),
            "protocol": self.protocol,
        }
        return json.dumps(json_ready(document), indent=1, allow_nan=False)


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
    protocol = evaluation.protocol
    lines = ["| measure | mean | spread | floor |", "|---|---:|---:|---:|"]
    for row in table(evaluation):
        lines.append("| " + " | ".join(row[:4]) + " |")
    sampling = protocol.get("sampling", {})
    options = ", ".join(
        f"{k} {v}" for k, v in sampling.items() if k in ("sampler", "steps", "guidance")
    )
    seeds = f", seeds {protocol['seeds']}" if "seeds" in protocol else ""
    lines.append(
        f"\n{protocol['images']:,} images{seeds}{', ' + options if options else ''};"
        f" features {protocol['features']['network']}, SHA-256"
        f" {protocol['features']['sha256'][:12]}; mezzotint {protocol['version']}, torch"
        f" {protocol['torch']}, {protocol['hardware']}, {protocol['date']}.\n"
    )
    return "\n".join(lines)


def table(evaluation: Evaluation) -> list[tuple[str, str, str, str, str]]:
    """Return rows of text: measure, mean, standard deviation over seeds, floor, and what is better."""
    rows: list[tuple[str, str, str, str, str]] = []
    for key, values in evaluation.values.items():
        measure = MEASURES[key]
        digits = measure.decimals
        mean = f"{statistics.fmean(values):.{digits}f}"
        std = spread(values)
        deviation = "" if std is None else f"{std:.{digits}f}"
        floor = f"{evaluation.floor[key]:.{digits}f}" if key in evaluation.floor else ""
        name = _display_name(key, measure.label, evaluation.protocol)
        rows.append((name, mean, deviation, floor, measure.better))
    return rows


def _display_name(key: str, name: str, protocol: dict[str, Any]) -> str:
    """The name of a measure; "digit-FID" only for distances in the shipped classifiers' features."""
    role = "witness" if key.endswith("_witness") else "features"
    network: str = protocol[role]["network"]
    if not key.startswith("digit_fid") or network in SHIPPED.values():
        return name
    return f"Frechet distance, {network}"


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
