"""What the package is installed with and what it brings: every pin, every licence, every file."""

import glob
import gzip
import hashlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mezzotint.utils.assets import ASSETS
from pages import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = SETTINGS["project"]["optional-dependencies"]
DIRECT = {
    "build": SETTINGS["build-system"]["requires"],
    "package": SETTINGS["project"]["dependencies"],
    **EXTRAS,
}
"""Requirements of pyproject.toml, by what they are for."""

LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = dict(line.split("==") for line in LINES if not line.startswith("#"))
PINNED = {canonicalize_name(name): version for name, version in PINS.items()}
INSTALLED = {canonicalize_name(one.metadata["Name"]): one for one in metadata.distributions()}

GPU = re.compile(r"nvidia-|cuda-|triton")
"""Libraries of torch's builds for GPUs, which come with the build."""


def of_torch() -> bool:
    """Whether the installed torch is the pinned one; .ci/matrix.py runs the tests with others."""
    return bool(INSTALLED["torch"].version.partition("+")[0] == PINNED["torch"])


another_torch = pytest.mark.skipif(not of_torch(), reason="the pins are those of another torch")


def needed() -> Iterator[tuple[str, Requirement]]:
    """Every requirement of the package, of its extras, of its build, and of what is installed for them; with
    who has it."""
    waiting = [(use, Requirement(line)) for use, lines in DIRECT.items() for line in lines]
    seen = set()
    while waiting:
        whose, requirement = waiting.pop()
        yield whose, requirement
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if name not in INSTALLED or (name, extra) in seen:
                continue
            seen.add((name, extra))
            for line in INSTALLED[name].requires or ():
                further = Requirement(line)
                applies = further.marker is None or further.marker.evaluate({"extra": extra})
                if applies and not GPU.match(further.name):
                    waiting.append((name, further))


# --- Pins.


def test_no_package_is_pinned_twice() -> None:
    assert len(PINNED) == len(LINES) - 1


@pytest.mark.parametrize("use", DIRECT)
def test_every_requirement_of_the_package_and_its_extras_is_pinned_to_what_it_allows(
    use: str,
) -> None:
    for requirement in map(Requirement, DIRECT[use]):
        version = PINNED[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


@another_torch
def test_every_requirement_of_a_requirement_is_pinned_to_what_it_allows() -> None:
    found = list(needed())
    assert len(found) > 200
    wrong = {
        f"{whose} needs {requirement}; pinned: {version}"
        for whose, requirement in found
        if not (version := PINNED.get(canonicalize_name(requirement.name)))
        or not requirement.specifier.contains(version, prereleases=True)
    }
    assert not wrong


@another_torch
def test_what_is_installed_is_what_is_pinned() -> None:
    versions = {name: one.version.partition("+")[0] for name, one in INSTALLED.items()}
    others = {
        f"{name}: installed {versions[name]}, pinned {version}"
        for name, version in PINNED.items()
        if versions.get(name, version) != version
    }
    assert not others


@another_torch
def test_nothing_is_pinned_that_nothing_needs() -> None:
    names = {canonicalize_name(requirement.name) for _, requirement in needed()}
    # Requirements of what is not installed here are not known here.
    assert not {name for name in PINNED if name in INSTALLED} - names


# --- Licences.

TABLE = re.findall(
    r"^\| `(.+?)` \| .+ \| .+ \| (.+) \|$",
    (ROOT / "docs" / "licences.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
FOLDERS = ("src/mezzotint/assets", "docs/images", "tests/reference")
"""Where everything is listed."""
PROSE = {".py", ".md", ".toml", ".txt", ".typed"}
"""Elsewhere, what is not of these kinds is listed."""


def to_be_listed() -> set[str]:
    """Files that are not our code and prose, by their paths."""
    found = set()
    for place in ("src", "docs/images", "examples", "space", "tests"):
        for path in (ROOT / place).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            own = path.suffix in PROSE and not name.startswith(FOLDERS)
            made = "__pycache__" in path.parts or ".egg-info/" in name
            if path.is_file() and not own and not made:
                found.add(name)
    return found


def listed(pattern: str) -> set[str]:
    """The files that a row of the page is about."""
    found = glob.glob(pattern, root_dir=ROOT, recursive=True)
    return {Path(name).as_posix() for name in found if (ROOT / name).is_file()}


def test_every_file_that_is_not_code_has_one_row_in_the_list_of_licences() -> None:
    rows = [(name, pattern) for pattern, _ in TABLE for name in listed(pattern)]
    names = [name for name, _ in rows]
    assert set(names) == to_be_listed()
    assert len(names) == len(set(names)), rows


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in TABLE])
def test_every_row_of_the_list_of_licences_is_about_a_file_and_states_a_licence(
    pattern: str,
) -> None:
    assert listed(pattern)
    assert re.match(r"(MIT|CC BY-SA 3\.0)\b", dict(TABLE)[pattern])


MD5_OF_MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""Of the unpacked files of its makers."""


@pytest.mark.parametrize("name", MD5_OF_MNIST)
def test_mnist_is_the_one_of_its_makers(name: str) -> None:
    content = gzip.decompress((ASSETS / "mnist" / f"{name}.gz").read_bytes())
    assert hashlib.md5(content).hexdigest() == MD5_OF_MNIST[name]


# --- Files.


def tracked() -> set[str]:
    """The files that git does not ignore."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name for name in names.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_has_the_files_of_the_package_and_the_sdist_those_of_the_repository() -> None:
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    names = tracked()
    wheel = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    package = {name.removeprefix("src/") for name in names if name.startswith("src/mezzotint/")}
    assert wheel == package
    assert {"mezzotint/py.typed", "mezzotint/assets/page/index.html"} <= wheel
    sdist = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert sdist | {".gitignore", "pyproject.toml"} == names  # which every sdist has
