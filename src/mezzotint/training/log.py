"""metrics.jsonl: one JSON object a line, in step order, also across resumes."""

import json
from pathlib import Path
from typing import Any

from ..files import whole_file


class MetricsLog:
    """Appends to ``path``; entries beyond ``step``, of a run that was killed, are dropped first."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        if path.exists():
            kept = [entry for entry in read_metrics(path) if entry["step"] <= step]
            with whole_file(path) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept))

    def write(self, entry: dict[str, Any]) -> None:
        """Add one entry."""
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All entries; a last line that was cut by a kill is left out."""
    entries = []
    for line in path.read_text().splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries
