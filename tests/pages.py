"""The pages of the documentation, and what in them is to be run."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAMS = ("mezzotint", "torchrun", "srun", "make", "python", "python3", "pip", "apt", "git", "hf")
"""First words of the commands that stand in pages, each in a line with four spaces before it."""


def pages(*places: str) -> dict[str, str]:
    """The text of each page by its path: of files, and of all pages in folders.

    Args:
        places: paths below the root.
    """
    found = [ROOT / place for place in places]
    paths = [p for f in found for p in ([f] if f.is_file() else sorted(f.rglob("*.md")))]
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in paths
        if "_build" not in path.parts
    }


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The commands of a page, word by word, without comments; several between && are several."""
    unfenced = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    joined = re.sub(r"\\\n +", "", unfenced)
    found = []
    for line in joined.splitlines():
        if re.match(rf" {{4}}(?:{'|'.join(PROGRAMS)}) ", line):
            for part in line.split("&&"):
                found.append(shlex.split(part, comments=True))
    return found


def mentioned(text: str) -> list[list[str]]:
    """The commands that sentences and tables mention, word by word, up to a pipe."""
    found = re.findall(r"`(mezzotint [a-z][^`]*)`", text)
    return [shlex.split(command.partition(" |")[0]) for command in found]
