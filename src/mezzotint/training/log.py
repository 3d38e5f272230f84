"""The metrics file metrics.jsonl: one JSON object per line, in step order, also after a resume."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..utils.files import naming, whole_file
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
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):
            entries.append(json.loads(line))
    return entries
