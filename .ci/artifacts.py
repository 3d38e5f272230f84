"""What a release consists of: the tree, the wheel and the sdist, and what must be true of them."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from email.parser import Parser
from pathlib import Path

PACKAGE = "src/mezzotint/"

LARGEST = 3_000_000
"""Bytes that a file of the wheel may have."""
LARGER = {"mezzotint/assets/mnist/train-images-idx3-ubyte.gz": 10_000_000}
"""Those that may have more: a data set is as large as it is."""
WHOLE = 20_000_000
"""Bytes that the wheel may have."""


class Fault(Exception):
    """Why a step has failed."""


def run(words: Sequence[str | Path], folder: Path, **changes: str) -> str:
    """The output of a command.

    Args:
        words: the command.
        folder: where it runs.
        changes: of its environment.

    Raises:
        Fault: with the end of its output, if it fails.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env={**kept, **changes},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        command = shlex.join(map(str, words))
        raise Fault(f"{command}: exit status {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


# --- The tree


def tracked(root: Path) -> list[str]:
    """The files of the tree that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = run(command, root).split("\0")
    return sorted(name for name in names if name and (root / name).is_file())


def clean_tree(root: Path, rehearsal: bool) -> str:
    """Nothing is uncommitted."""
    changed = run(["git", "status", "--porcelain"], root).splitlines()
    if changed and not rehearsal:
        raise Fault("not committed: " + "; ".join(line[3:] for line in changed))
    commit = run(["git", "rev-parse", "--short", "HEAD"], root).strip()
    return f"{commit}, {len(changed)} files not committed" if changed else commit


def version(root: Path, rehearsal: bool) -> str:
    """The version of the package, which the changelog and the citation have too, with the same date."""
    code = (root / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    own = _found(r'^__version__ = "(.+)"$', code, "__init__.py")
    cited = _found(r"^version: (\S+)$", citation, "CITATION.cff")
    dated = _found(r"^date-released: (\S+)$", citation, "CITATION.cff")
    heading = _found(r"^## (.+)$", changelog, "CHANGELOG.md")
    if cited != own:
        raise Fault(f"CITATION.cff has version {cited}, the package {own}")
    if heading == f"{own} (unreleased)" and rehearsal:
        return f"{own}, without a date in CHANGELOG.md"
    if heading != f"{own} ({dated})":
        raise Fault(f"CHANGELOG.md begins with {heading!r}: write '{own} ({dated})'")
    return f"{own}, {dated}"


def _found(pattern: str, text: str, name: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise Fault(f"{name} has no line like {pattern}")
    return match[1]


# --- The wheel and the sdist


def copy_tree(root: Path, to: Path) -> Path:
    """A copy of the tree's files, made now by this user: of other times and modes."""
    for name in tracked(root):
        copy = to / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, copy)
        if os.access(root / name, os.X_OK):
            copy.chmod(copy.stat().st_mode | 0o100)
    return to


def build(tree: Path, out: Path, *kinds: str) -> list[Path]:
    """The files that hatchling builds of a tree."""
    targets = [word for kind in kinds or ("sdist", "wheel") for word in ("-t", kind)]
    run([sys.executable, "-m", "hatchling", "build", "-d", out, *targets], tree)
    return sorted(out.iterdir())


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """In the block, files are made with this mask of their modes."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of files, by their names."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def build_twice(root: Path, out: Path) -> str:
    """Two builds, of copies in different folders, made at different times by users with different masks,
    and the wheel of the sdist: all the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        first = digests(build(copy_tree(root, work / "one"), out))
        time.sleep(2.1)  # what a zip file takes for a time has steps of two seconds
        with umask(0o077):
            second = digests(build(copy_tree(root, work / "another" / "place"), work / "out"))
        compare(first, second, "a second build")
        unpacked = unpack(next(out.glob("*.tar.gz")), work / "unpacked")
        compare(first, digests(build(unpacked, work / "of-sdist", "wheel")), "the sdist's build")
    return "twice the same: " + ", ".join(f"{name} {value[:12]}" for name, value in first.items())


def compare(first: dict[str, str], second: dict[str, str], what: str) -> None:
    """Refuse a build that differs from the first."""
    different = [name for name, value in second.items() if first.get(name) != value]
    if different:
        raise Fault(f"{what} gives other bytes: {', '.join(different)}")


def unpack(sdist: Path, to: Path) -> Path:
    """The tree in an sdist."""
    with tarfile.open(sdist) as archive:
        archive.extractall(to, filter="data")
    return next(to.iterdir())


def contents(root: Path, out: Path) -> str:
    """The wheel has the package's files, the sdist all that git tracks, and none is too large."""
    names = tracked(root)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    package = {name.removeprefix("src/") for name in names if name.startswith(PACKAGE)}
    _same({name for name in sizes if ".dist-info/" not in name}, package, "the wheel")
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    _same(packed, {*names, "PKG-INFO"}, "the sdist")
    large = [name for name, size in sizes.items() if size > LARGER.get(name, LARGEST)]
    if large:
        raise Fault(f"too large for the wheel: {', '.join(large)}")
    if (whole := next(out.glob("*.whl")).stat().st_size) > WHOLE:
        raise Fault(f"the wheel has {whole:,} bytes")
    return f"{len(sizes)} files in the wheel, {whole:,} bytes; {len(packed)} in the sdist"


def _same(found: set[str], expected: set[str], what: str) -> None:
    if found != expected:
        missing, more = sorted(expected - found), sorted(found - expected)
        raise Fault(f"{what} lacks {missing} and has {more}")


def metadata(root: Path, out: Path) -> str:
    """What the wheel says of itself is what pyproject.toml and the README say."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wheel = next(out.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        home = next(name for name in names if name.endswith("/METADATA"))
        said = Parser().parsestr(archive.read(home).decode())
    expected = {
        "Name": project["name"],
        "Version": wheel.name.split("-")[1],
        "License-Expression": project["license"],
        "Requires-Python": project["requires-python"],
        "Description-Content-Type": "text/markdown",
    }
    wrong = [key for key, value in expected.items() if said[key] != value]
    if wrong:
        raise Fault("; ".join(f"{key} is {said[key]!r}, not {expected[key]!r}" for key in wrong))
    if said.get_payload() != (root / project["readme"]).read_text(encoding="utf-8"):
        raise Fault("the description is not the README")
    lost = [name for name in project["license-files"] if not any(n.endswith(name) for n in names)]
    if lost:
        raise Fault(f"the wheel lacks {', '.join(lost)}")
    return f"{said['Name']} {said['Version']}, {said['License-Expression']}, with the README"
