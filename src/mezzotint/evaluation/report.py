"""What an evaluation found, as JSON, as a table and as Markdown."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.samples import Samples
from ..registry import MEASURES
from ..utils.files import whole_file
from .features import SHIPPED
from .measure import Measured


@dataclass
class Evaluation:
    """``values``: per measure, one number a seed; ``floor``: what real images score; ``protocol``:
    everything needed to get them again; ``shown``: the first seed's images and findings."""

    values: dict[str, list[float]]
    floor: dict[str, float]
    protocol: dict[str, Any]
    shown: tuple[Samples, Measured] = field(repr=False)

    def to_json(self) -> str:
        """The numbers, their mean and spread, the floors and the protocol."""
        results = {
            name: {
                "mean": statistics.fmean(found),
                "std": statistics.stdev(found) if len(found) > 1 else None,
                "seeds": found,
                "floor": self.floor.get(name),
            }
            for name, found in self.values.items()
        }
        confusion = self.shown[1].confusion
        return json.dumps(
            {
                "results": results,
                "confusion": None if confusion is None else confusion.tolist(),
                "protocol": self.protocol,
            },
            indent=1,
        )


def to_markdown(evaluation: Evaluation) -> str:
    """The table, and how it was made, in Markdown."""
    protocol = evaluation.protocol
    lines = ["| measure | mean | spread | floor |", "|---|---:|---:|---:|"]
    for row in table(evaluation):
        lines.append("| " + " | ".join(row[:4]) + " |")
    sampling = protocol.get("sampling", {})
    how = ", ".join(
        f"{k} {v}" for k, v in sampling.items() if k in ("sampler", "steps", "guidance")
    )
    seeds = f", seeds {protocol['seeds']}" if "seeds" in protocol else ""
    lines.append(
        f"\n{protocol['images']:,} images{seeds}{', ' + how if how else ''};"
        f" features {protocol['features']['network']}, SHA-256"
        f" {protocol['features']['sha256'][:12]}; mezzotint {protocol['version']}, torch"
        f" {protocol['torch']}, {protocol['hardware']}, {protocol['date']}.\n"
    )
    return "\n".join(lines)


def table(evaluation: Evaluation) -> list[tuple[str, str, str, str, str]]:
    """Rows of (measure, mean, spread over seeds, floor, what is better), as text."""
    rows: list[tuple[str, str, str, str, str]] = []
    for key, found in evaluation.values.items():
        measure = MEASURES[key]
        digits = measure.decimals
        spread = f"{statistics.stdev(found):.{digits}f}" if len(found) > 1 else ""
        floor = f"{evaluation.floor[key]:.{digits}f}" if key in evaluation.floor else ""
        name = _own_name(key, measure.label, evaluation.protocol)
        rows.append((name, f"{statistics.fmean(found):.{digits}f}", spread, floor, measure.better))
    return rows


def _own_name(key: str, name: str, protocol: dict[str, Any]) -> str:
    """Digit-FID is a distance in the shipped classifiers' features, and in no others'."""
    role = "witness" if key.endswith("_witness") else "features"
    network: str = protocol[role]["network"]
    if not key.startswith("digit_fid") or network in SHIPPED.values():
        return name
    return f"Frechet distance, {network}"


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """``evaluation.json`` and ``evaluation.md`` in ``folder``."""
    contents = {
        folder / "evaluation.json": evaluation.to_json(),
        folder / "evaluation.md": to_markdown(evaluation),
    }
    for path, content in contents.items():
        with whole_file(path) as temporary:
            temporary.write_text(content)
    return list(contents)
