"""The notebooks' sources, which ``make notebooks`` runs: what they take from the package is there."""

import ast
import pkgutil
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


def test_there_are_notebooks() -> None:
    assert [source.stem for source in SOURCES] == ["diffusion", "experiments", "films"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_what_a_notebook_imports_is_there(source: Path) -> None:
    tree = ast.parse(source.read_text())
    taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in taken if (node.module or "").startswith("mezzotint")]
    assert ours
    for node in ours:
        for alias in node.names:
            assert pkgutil.resolve_name(f"{node.module}.{alias.name}") is not None


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_begins_with_words_and_every_cell_is_marked(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert lines[:2] == ["# %% [markdown]", f"# # {lines[1][4:]}"]
    assert sum(line.startswith("# %%") for line in lines) >= 8
