"""The notebooks' sources, which ``make notebooks`` runs: what they take from the package is there, and those
that check what they say still find it so, with smaller numbers."""

import ast
import pkgutil
import re
import tempfile
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from matplotlib import pyplot

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))

# What makes a notebook quick, and nothing else.
SMALL: dict[str, dict[str, Any]] = {
    "guidance": {"WALKS": 400, "COUNT": 20, "GUIDANCES": (0.0, 1.0, 4.0)},
    "inpainting": {"PAIRS": 500, "EVALUATIONS": (8, 96)},
    "one_step": {"MOST_STEPS": 120, "WALK_STEPS": 10, "COUNT": 20},
    "own_network": {"STEPS": 20, "DRAWS": 2000, "COUNT": 50},
    "own_pictures": {"PICTURES": 40, "STEPS": 8, "COUNT": 9},
    "samplers": {"FINEST": 80, "REFERENCE_STEPS": 16, "BUDGETS": (4, 16)},
}


def with_constants(source: Path, values: dict[str, Any]) -> ast.Module:
    """A notebook whose constants have other values; each must be there."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    left = dict(values)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in left:
                node.value = ast.parse(repr(left.pop(name)), mode="eval").body
    assert not left
    return ast.fix_missing_locations(tree)


def test_there_are_notebooks() -> None:
    assert {"diffusion", "experiments", "films", *SMALL} <= {source.stem for source in SOURCES}


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


CITATION = re.compile(r"([A-Z][a-z]+(?: et al\.| and [A-Z][a-z]+)) (\d{4}b?)")


def test_the_page_of_notebooks_lists_all_and_what_they_cite_is_in_the_bibliography() -> None:
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)\.py` \|", page, re.MULTILINE)
    assert sorted(listed) == [source.stem for source in SOURCES]
    entries = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")
    texts = [source.read_text(encoding="utf-8").replace("#", " ") for source in SOURCES]
    cited = set(CITATION.findall(" ".join(" ".join(texts).split())))
    assert len(cited) >= 8
    assert not {f"{who} {year}" for who, year in cited if f"| {who} {year} |" not in entries}


@pytest.mark.slow  # continuous integration runs the notebooks in full
@pytest.mark.parametrize("name", SMALL)
def test_what_a_notebook_claims_holds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has assertions of its own. Shapes are checked elsewhere, and checks take most of the time."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    source = next(source for source in SOURCES if source.stem == name)
    assert "\n# ## Exercises\n#\n# 1. " in source.read_text(encoding="utf-8")
    tree = with_constants(source, SMALL[name])
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(tree)) >= 3
    module = compile(tree, str(source), "exec")
    with torch.random.fork_rng(devices=[]), pyplot.rc_context({"backend": "agg"}):
        exec(module, {"__name__": name})
        assert len(pyplot.get_fignums()) >= 2
        pyplot.close("all")
