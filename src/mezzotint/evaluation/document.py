"""The document that evaluation.json holds: read, as rows of a table, and as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..registry import MEASURES
from ..utils.files import read_bytes
from ..utils.json_text import parse_json
from ..utils.markdown import inline
from .features import SHIPPED

Row = tuple[str, str, str, str, str]

_NUMBERS = ("mean", "std", "floor")

_FAULTS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What is raised where a key is missing or a value of another type."""


def read(path: Path) -> dict[str, Any]:
    """Read an evaluation.json.

    Args:
        path: Its path.

    Returns:
        The document, with its keys ``results``, ``confusion`` and ``protocol`` alone.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no evaluation.
    """
    try:
        document = parse_json(read_bytes(path))
        _check(document)
    except _FAULTS as error:
        raise ValueError(f"{path} is no evaluation.json of `mezzotint evaluate`") from error
    return {key: document.get(key) for key in ("results", "confusion", "protocol")}


def _check(document: Any) -> None:
    """Raise one of _FAULTS unless everything is there that the functions below use."""
    for name, result in document["results"].items():
        numbers = [result[key] for key in _NUMBERS]
        if not isinstance(name, str) or not all(
            number is None or type(number) in (int, float) for number in numbers
        ):
            raise TypeError(name)
    protocol = document["protocol"]
    protocol.get("weights", {}).get("sha256")
    protocol.get("as_classifier", {"images": 0})["images"]
    markdown(document)


def rows(document: Mapping[str, Any]) -> list[Row]:
    """Return rows of text: measure, mean, standard deviation over seeds, floor, and what is better.

    Args:
        document: Of ``read`` or ``Evaluation.document``.

    Returns:
        A row for each measure; a value that is not finite is "nan", and one that is unknown "".
    """
    table: list[Row] = []
    for key, result in document["results"].items():
        measure = MEASURES.get(key)  # an own measure may be registered elsewhere only
        digits = 4 if measure is None else measure.decimals
        label = key if measure is None else measure.label
        mean = "nan" if result["mean"] is None else f"{result['mean']:.{digits}f}"
        std = "" if result["std"] is None else f"{result['std']:.{digits}f}"
        floor = "" if result["floor"] is None else f"{result['floor']:.{digits}f}"
        name = _display_name(key, label, document["protocol"])
        table.append((name, mean, std, floor, "" if measure is None else measure.better))
    return table


def _display_name(key: str, name: str, protocol: Mapping[str, Any]) -> str:
    """The name of a measure; "digit-FID" only for distances in the shipped classifiers' features."""
    role = "witness" if key.endswith("_witness") else "features"
    network: str = protocol[role]["network"]
    if not key.startswith("digit_fid") or network in SHIPPED.values():
        return name
    return f"Frechet distance, {network}"


def markdown(document: Mapping[str, Any]) -> str:
    """Return the table and a summary of the protocol, in Markdown."""
    lines = ["| measure | mean | spread | floor |", "|---|---:|---:|---:|"]
    for row in rows(document):
        lines.append("| " + " | ".join(map(inline, row[:4])) + " |")
    return "\n".join([*lines, f"\n{inline(_summary(document['protocol']))}\n"])


def _summary(protocol: Mapping[str, Any]) -> str:
    sampling = protocol.get("sampling", {})
    options = ", ".join(
        f"{k} {v}" for k, v in sampling.items() if k in ("sampler", "steps", "guidance")
    )
    seeds = f", seeds {' '.join(map(str, protocol['seeds']))}" if "seeds" in protocol else ""
    return (
        f"{protocol['images']:,} images{seeds}{', ' + options if options else ''};"
        f" features {protocol['features']['network']}, SHA-256"
        f" {protocol['features']['sha256'][:12]}; mezzotint {protocol['version']}, torch"
        f" {protocol['torch']}, {protocol['hardware']}, {protocol['date']}."
    )
