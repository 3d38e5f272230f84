"""What is left out of a folder of pictures, counted by reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..utils.console import printable

HIDDEN = "hidden"
NO_PICTURE = "no picture"
DANGLING = "a link to nowhere"
LOOP = "a link to a folder that holds it"
UNREADABLE = "may not be read"
SPECIAL = "no file"
OTHER_SPLIT = "neither the training nor the test split"


@dataclass
class LeftOut:
    """What is not taken: for each reason, how many files or folders, and the first.

    ``remarks`` are what else is unusual, in words.
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, Path] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, reason: str, path: Path) -> None:
        """Count one more file or folder.

        Args:
            reason: why it is left out.
            path: its path.
        """
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, path)

    def lines(self, reasons: Sequence[str] | None = None) -> list[str]:
        """The remarks, and a line for each reason, of those given or of all."""
        left_out = [
            f"{count:,} left out ({reason}), {printable(str(self.first[reason]))} first"
            for reason, count in self.counts.items()
            if reasons is None or reason in reasons
        ]
        return self.remarks + left_out
