"""metrics.jsonl: one JSON object a line, in step order, also across resumes."""

import json
import math
from pathlib import Path
from typing import Any

from ..utils.files import whole_file


class MetricsLog:
    """Appends to a file of metrics.

    Args:
        path: metrics.jsonl of a run.
        step: where the run goes on: entries beyond, of a run that was killed, are dropped first.

    ``losses``: (step, loss) of every entry that has a loss, for the loss curve.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.losses: list[tuple[int, float]] = []
        if path.exists():
            entries = [entry for entry in read_metrics(path) if entry["step"] <= step]
            with whole_file(path) as temporary:
                temporary.write_text("".join(map(_line, entries)), encoding="utf-8")
            for entry in entries:
                self._note(entry)

    def write(self, entry: dict[str, Any]) -> None:
        """Add one entry. Numbers that JSON does not have are written as null."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))
        self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        loss = entry.get("loss")
        if loss is not None:
            self.losses.append((entry["step"], loss))


def _line(entry: dict[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in entry.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All entries; a last line that was cut by a kill is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries
