"""The metrics file metrics.jsonl: one JSON object per line, in step order, also after a resume."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..utils.files import naming, read_bytes, whole_file
from ..utils.json_text import parse_json
from ..utils.numbers import json_ready


class MetricsLog:
    """Appends to a metrics file.

    The attribute ``losses`` holds (step, loss) of every entry that has a loss, for the loss curve.

    Args:
        path: metrics.jsonl of a run.
        step: step at which the run continues; entries of later steps, from a killed run, are deleted.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.losses: list[tuple[int, float]] = []
        if path.exists():
            entries = [entry for entry in read_metrics(path) if entry["step"] <= step]
            with whole_file(path) as temporary:
                temporary.write_text("".join(map(_line, entries)), encoding="utf-8")
            for entry in entries:
                self._add_loss(entry)

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry. Numbers that are not finite, which JSON does not have, become null."""
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))
        self._add_loss(entry)

    def _add_loss(self, entry: dict[str, Any]) -> None:
        loss = entry.get("loss")
        if loss is not None:
            self.losses.append((entry["step"], loss))


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(json_ready(entry), allow_nan=False) + "\n"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All entries, without damaged lines, such as a last one that a killed process left incomplete."""
    entries = []
    for line in read_bytes(path).decode(errors="replace").splitlines():
        with suppress(ValueError):
            entry = parse_json(line)
            if _is_entry(entry):
                entries.append(entry)
    return entries


def _is_entry(entry: Any) -> bool:
    """Whether a line that is JSON has a step, and a number or nothing as its loss."""
    if not isinstance(entry, dict) or type(entry.get("step")) is not int:
        return False
    loss = entry.get("loss")
    numbers = [entry["step"], *([] if loss is None else [loss])]
    return all(type(n) is float or (type(n) is int and abs(n) < 2**63) for n in numbers)
