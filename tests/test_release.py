"""The checklist of a release finds what it is there to find; and what is built twice is the same."""

import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pages import ROOT

sys.path.insert(0, str(ROOT / ".ci"))

import artifacts
from artifacts import Fault
from installation import readme_commands

README = """# Mezzotint

    mezzotint sample digits 7   # a seven
    mezzotint gif runs/mine
    mezzotint train digits
"""
PROJECT = """[project]
name = "mezzotint"
readme = "README.md"
license = "MIT"
license-files = ["LICENSE"]
requires-python = ">=3.11"
"""
METADATA = f"""Metadata-Version: 2.4
Name: mezzotint
Version: 1.2.3
License-Expression: MIT
Requires-Python: >=3.11
Description-Content-Type: text/markdown

{README}"""
INFO = "mezzotint-1.2.3.dist-info"
CODE = "mezzotint/__init__.py"
TREE = {
    "src/mezzotint/__init__.py": '__version__ = "1.2.3"\n',
    "CITATION.cff": "version: 1.2.3\ndate-released: 2026-11-25\n",
    "CHANGELOG.md": "# Changelog\n\n## 1.2.3 (2026-11-25)\n\n## 1.2.2 (2026-01-01)\n",
    "README.md": README,
    "pyproject.toml": PROJECT,
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def release(folder: Path, wheel: Mapping[str, str], sdist: set[str]) -> Path:
    """A folder with a wheel of these files beside its metadata, and an sdist of these names."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "mezzotint-1.2.3-py3-none-any.whl", "w") as archive:
        for name, content in {f"{INFO}/METADATA": METADATA, **wheel}.items():
            archive.writestr(name, content)
    with tarfile.open(folder / "mezzotint-1.2.3.tar.gz", "w:gz") as packed:
        for name in sorted(sdist):
            packed.addfile(tarfile.TarInfo(f"mezzotint-1.2.3/{name}"), io.BytesIO())
    return folder


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository whose files are all tracked."""
    monkeypatch.setattr(artifacts, "tracked", lambda root: sorted(TREE))
    return write(tmp_path / "tree", TREE)


# --- The tree.


def test_what_is_not_committed_is_named(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.txt": "a"})
    artifacts.run(["git", "init", "--quiet"], root)
    artifacts.run(["git", "add", "a.txt"], root)
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    artifacts.run(["git", *who, "commit", "--quiet", "--no-gpg-sign", "-m", "A"], root)
    assert " " not in artifacts.clean_tree(root, rehearsal=False)
    write(root, {"a.txt": "changed", "stray.py": ""})
    with pytest.raises(Fault, match=r"a\.txt; stray\.py"):
        artifacts.clean_tree(root, rehearsal=False)
    assert "2 files not committed" in artifacts.clean_tree(root, rehearsal=True)
    assert artifacts.tracked(root) == ["a.txt", "stray.py"]


def test_a_version_is_the_same_in_three_places(tree: Path) -> None:
    assert artifacts.version(tree, rehearsal=False) == "1.2.3, 2026-11-25"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("CITATION.cff", "version: 1.2.2\ndate-released: 2026-11-25\n", "1.2.2, the package 1.2.3"),
        ("CITATION.cff", "date-released: 2026-11-25\n", "CITATION.cff has no line"),
        ("CHANGELOG.md", "## 1.2.3 (unreleased)\n", r"write '1.2.3 \(2026-11-25\)'"),
        ("CHANGELOG.md", "## 1.2.3 (2026-11-24)\n", r"write '1.2.3 \(2026-11-25\)'"),
        ("CHANGELOG.md", "## 1.2.2 (2026-11-25)\n", r"write '1.2.3 \(2026-11-25\)'"),
    ],
)
def test_a_version_that_differs_is_refused(tree: Path, name: str, content: str, words: str) -> None:
    write(tree, {name: content})
    with pytest.raises(Fault, match=words):
        artifacts.version(tree, rehearsal=False)


def test_a_rehearsal_needs_no_date(tree: Path) -> None:
    write(tree, {"CHANGELOG.md": "## 1.2.3 (unreleased)\n"})
    assert artifacts.version(tree, rehearsal=True) == "1.2.3, without a date in CHANGELOG.md"


# --- The wheel and the sdist.

WHOLE = {*TREE, "PKG-INFO"}


def test_a_release_with_every_file_is_right(tree: Path, tmp_path: Path) -> None:
    out = release(tmp_path / "out", {CODE: "", f"{INFO}/licenses/LICENSE": ""}, WHOLE)
    assert artifacts.contents(tree, out).startswith("3 files in the wheel")
    assert artifacts.metadata(tree, out) == "mezzotint 1.2.3, MIT, with the README"


@pytest.mark.parametrize(
    ("wheel", "sdist", "words"),
    [
        ({}, WHOLE, r"the wheel lacks \['mezzotint/__init__.py'\]"),
        ({CODE: "", "mezzotint/stray.py": ""}, WHOLE, r"has \['mezzotint/stray.py'\]"),
        ({CODE: ""}, WHOLE - {"README.md"}, r"the sdist lacks \['README.md'\]"),
        ({CODE: " " * (artifacts.LARGEST + 1)}, WHOLE, "too large for the wheel: mezzotint/__init"),
    ],
    ids=["missing", "more", "sdist", "large"],
)
def test_a_release_with_other_files_is_refused(
    tree: Path, tmp_path: Path, wheel: dict[str, str], sdist: set[str], words: str
) -> None:
    with pytest.raises(Fault, match=words):
        artifacts.contents(tree, release(tmp_path / "out", wheel, sdist))


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        ({}, "lacks LICENSE"),
        ({f"{INFO}/METADATA": METADATA.replace("MIT", "BSD")}, "License-Expression is 'BSD', not"),
        ({f"{INFO}/METADATA": METADATA.replace("seven", "six")}, "is not the README"),
        ({f"{INFO}/METADATA": METADATA.replace("1.2.3", "1.2.4")}, "Version is '1.2.4'"),
    ],
    ids=["licence", "expression", "readme", "version"],
)
def test_metadata_that_say_something_else_are_refused(
    tree: Path, tmp_path: Path, wheel: dict[str, str], words: str
) -> None:
    with pytest.raises(Fault, match=words):
        artifacts.metadata(tree, release(tmp_path / "out", {CODE: "", **wheel}, WHOLE))


def test_other_bytes_are_refused() -> None:
    artifacts.compare({"a": "1", "b": "2"}, {"b": "2"}, "a build")
    with pytest.raises(Fault, match="a second build gives other bytes: b"):
        artifacts.compare({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, "a second build")


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"-c .*: exit status 3\nsaid"):
        artifacts.run([sys.executable, "-c", "print('said'); raise SystemExit(3)"], tmp_path)


def test_commands_of_the_readme_that_need_a_run_or_minutes_are_left_out(tree: Path) -> None:
    assert readme_commands(tree) == [["sample", "digits", "7"]]
    assert len(readme_commands(ROOT)) >= 5


@pytest.mark.slow
def test_a_release_is_the_same_bytes_wherever_and_whenever_it_is_built(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    assert artifacts.build_twice(ROOT, tmp_path / "out").startswith("twice the same")
    artifacts.contents(ROOT, tmp_path / "out")
    artifacts.metadata(ROOT, tmp_path / "out")
