"""The package as a whole: what imports what, what is public, what is explained."""

import ast
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import mezzotint

ROOT = Path(__file__).parent.parent
PACKAGE = Path(mezzotint.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return str(path.relative_to(PACKAGE))


def run_python(code):
    """The output of ``code`` in a fresh interpreter."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_modules_import_only_those_below_them():
    tool = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run(
        [tool, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    "code",
    ["import mezzotint", "import mezzotint; mezzotint.RECIPES, mezzotint.as_recipe('ddpm')"],
    ids=["import", "recipes"],
)
def test_torch_is_not_loaded_before_it_is_needed(code):
    assert run_python(f"{code}; import sys; print('torch' in sys.modules)") == "False"


def test_what_only_training_needs_is_not_loaded_to_sample():
    code = "import mezzotint, sys; mezzotint.load('digits-fast').sample([7])"
    parts = ["mezzotint.objectives", "mezzotint.training", "matplotlib", "accelerate", "scipy"]
    assert run_python(f"{code}; print([x for x in {parts} if x in sys.modules])") == "[]"


@pytest.mark.parametrize("name", mezzotint.__all__)
def test_every_public_name_resolves_and_is_listed(name):
    assert getattr(mezzotint, name) is not None
    assert name in dir(mezzotint)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'modle'"):
        mezzotint.modle  # noqa: B018
    assert not hasattr(mezzotint, "Modle")


def test_the_version_is_a_version():
    assert [part.isdecimal() for part in mezzotint.__version__.split(".")] == [True] * 3


def test_the_package_is_marked_as_typed():
    assert resources.files("mezzotint").joinpath("py.typed").is_file()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_class_and_function_that_is_public_is_explained(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Running the package as a program is all that __main__ does.
    silent = [] if ast.get_docstring(tree) or path.name == "__main__.py" else ["the module"]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    silent += [
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_longer_than_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_nothing_is_written_where_a_killed_command_leaves_it_for_good() -> None:
    """Temporary folders of Python stay when a process is killed; `files.temporary_folder` is found again."""
    for path in MODULES:
        names = re.findall(r"TemporaryDirectory|mkdtemp|NamedTemporaryFile", path.read_text())
        assert not names, path


CITATION = re.compile(
    r"([A-Z][A-Za-z-]+(?: et al\.| and [A-Z][A-Za-z]+)?) \(?((?:19|20)\d\d[a-z]?)(?=[,;:.)\s\"])"
)
NO_NAMES = {"January", "February", "Python"}


def test_every_citation_has_an_entry_in_the_bibliography() -> None:
    page = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")
    cited = set()
    for path in MODULES:
        text = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split())
        for who, year in CITATION.findall(text):
            if who not in NO_NAMES:
                cited.add(f"{who} {year}")
    assert len(cited) > 40
    missing = {name for name in cited if f"| {name} |" not in page}
    assert not missing


def test_every_entry_of_the_bibliography_has_a_title_and_a_link() -> None:
    page = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")
    entries = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert len(entries) > 40
    for entry in entries:
        assert re.fullmatch(r"\| .+ \d{4}b? \| \[.+\]\(https://[^)]+\) \|", entry), entry
