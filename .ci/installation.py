"""A release in a new environment: installed with every pin, and used as the README says."""

import re
import shlex
import sys
import tempfile
from pathlib import Path

from artifacts import Fault, run

QUICK = ("sample", "gif", "inpaint", "edit", "morph", "forward", "doctor")
"""Verbs of the README that need no run of one's own and take seconds."""


def install(root: Path, out: Path, home: Path) -> str:
    """The wheel with every pin and nothing else, in a new environment."""
    run([sys.executable, "-m", "venv", home], root)
    pip = [home / "bin" / "python", "-m", "pip"]
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if "==" in line]
    run([*pip, "install", "--quiet", "--no-deps", "-r", "constraints.txt"], root)
    run([*pip, "install", "--quiet", "--no-deps", next(out.glob("*.whl"))], root)
    return f"{len(pins)} pins; pip check: {run([*pip, 'check'], root).strip()}"


def readme_commands(root: Path) -> list[list[str]]:
    """The commands of the README that need no run and take seconds."""
    text = (root / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^ {4}mezzotint (.+)$", text, re.MULTILINE)
    commands = [shlex.split(line, comments=True) for line in found]
    return [
        words for words in commands if words[0] in QUICK and not any("runs/" in w for w in words)
    ]


def use(root: Path, home: Path, own: str) -> str:
    """The installed command line does what the README says, in an empty folder."""
    program = home / "bin" / "mezzotint"
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder) / "cache")
        told = run([program, "--version"], Path(folder)).strip()
        if told != own:
            raise Fault(f"the installed version is {told}, not {own}")
        run([program, "--help"], Path(folder))
        commands = readme_commands(root)
        for words in commands:
            run([program, *words], Path(folder), XDG_CACHE_HOME=cache)
    return ", ".join(words[0] for words in commands)
