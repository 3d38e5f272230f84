"""The README's commands and snippets run as they are written, on a model small enough for a test.

Those of ELSEWHERE are parsed, in test_docs.py.
"""

from pathlib import Path

import pytest

import mezzotint
from common import tiny_recipe
from mezzotint import classic
from mezzotint.cli import main
from mezzotint.utils.assets import ASSETS
from models import random_model_file
from pages import blocks, commands, pages

README = pages("README.md")["README.md"]
ELSEWHERE = ("studio", "export")
COMMANDS = [
    words
    for program, *words in commands(README)
    if program == "mezzotint" and words[0] not in ELSEWHERE
]
SNIPPETS = blocks(README, "python")

# What makes a command quick, and nothing else.
SMALL = {
    "train": ["--steps", "2", "--net.width", "8", "--blocks", "1", "--sampling.steps", "2"],
    "refine": ["--steps", "2", "--batch", "4"],
    "distill": ["--steps", "2", "--batch", "4", "--sample-every", "0"],
    "evaluate": ["--count", "140", "--steps", "1"],
    **{verb: ["--steps", "3"] for verb in ("gif", "inpaint", "edit")},
    "morph": ["--frames", "3"],
}
# Only a few-step model has a critic.
SMALLER = {"refine runs/fast": ["--critic", "8"]}


def quick(tokens: list[str]) -> list[str]:
    """A command with what makes it quick."""
    return [*tokens, *SMALL.get(tokens[0], []), *SMALLER.get(" ".join(tokens[:2]), [])]


@pytest.mark.slow  # continuous integration runs it
def test_the_commands_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    verbs = []
    for tokens in COMMANDS:
        verbs.append(tokens[0])
        with pytest.raises(SystemExit) as stopped:
            main(quick(tokens))
        assert stopped.value.code in (0, None), tokens
    assert {"train", "refine", "distill", "doctor", "evaluate"} <= set(verbs)
    assert {"sample", "gif", "forward", "info", "inpaint", "edit", "morph"} <= set(verbs)
    assert (tmp_path / "runs/digits/model.safetensors").is_file()
    assert (tmp_path / "gifs/0.gif").is_file()


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_model_file(tmp_path / "model.safetensors", tiny_recipe(), size=28)
    monkeypatch.setattr(mezzotint, "train", lambda recipe: weights, raising=False)
    # The original takes a thousand steps of 51 million parameters: three show that it runs.
    monkeypatch.setattr(classic, "num_timesteps", 3)
    names: dict[str, object] = {}
    exec(SNIPPETS[number], names)
    found = names.get("images", names.get("samples"))
    assert found is not None
    shape = tuple(found[-1].shape) if isinstance(found, list) else tuple(found.shape)  # type: ignore[attr-defined]
    assert shape in ((2, 1, 28, 28), (10, 1, 32, 32))


def rows_of(text: str) -> dict[str, list[str]]:
    """The tables of a page: the first cell of each row, and the others."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.mark.parametrize(("column", "name"), enumerate(["digits", "digits-fast"]))
def test_the_readmes_figures_are_those_of_the_models_cards(column: int, name: str) -> None:
    card, shown = rows_of((ASSETS / "models" / f"{name}.md").read_text()), rows_of(README)
    compared = 0
    for measure, (mean, spread, floor) in card.items():
        if measure in shown and measure != "measure":
            assert shown[measure][column] == f"{mean} ± {spread}", measure
            assert shown[measure][-1] == floor, measure
            compared += 1
    assert compared >= 5
