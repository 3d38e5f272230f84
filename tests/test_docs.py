"""The pages of docs/ and the README: commands, snippets, examples, links.

Commands that draw or describe run, on small models that stand in for runs and for large counts. ONLY_PARSED
are taken apart by the real command line, down to the recipe that they would train: every verb, flag, value,
recipe, data set and model of theirs exists. The README's own commands all run, in test_readme.py.
"""

import dataclasses
import doctest
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyclopts.exceptions import MissingArgumentError
from PIL import Image

from common import few_step_recipe, tiny_recipe
from mezzotint import weights
from mezzotint.cli import VERBS, distill, main, make_app, refine
from mezzotint.cli.flags import nested
from mezzotint.cli.train import base_recipe
from mezzotint.data import ImageSpec
from mezzotint.recipe.rules import check_data_name
from mezzotint.recipe.schema import Sampling
from mezzotint.recipe.toml import override, to_toml
from mezzotint.registry import SCHEDULES
from mezzotint.utils.hub import check_repository
from models import random_model_file, random_weights
from pages import ROOT, blocks, commands, mentioned, pages

DOCS = pages("docs")
ALL = pages("README.md", "CONTRIBUTING.md", "docs")

ONLY_PARSED = (
    *("train", "refine", "distill", "train-classifier"),  # minutes
    *("evaluate", "doctor", "export", "import"),  # seconds each; their own tests run them
    *("push", "studio"),  # a network, a server
)
OURS = ("mezzotint", "torchrun", "srun")
"""First words of our commands: torchrun ... -m mezzotint ... is one."""

OUTSIDE = ("apt", "git", "hf", "srun", "cd", ".")
"""Programs of others, whose commands are not looked at."""

ELSEWHERE = ("docs/diffusers.md",)
"""Pages whose snippets another test has (test_diffusers_export.py)."""

CLASSES = {"runs/mine": ("cats", "dogs"), "runs/emoji": ("faces", "flags")}


def stand_in(place: str, folder: Path) -> None:
    """A small untrained model in the place of a run: a few-step one if it is called fast."""
    recipe = few_step_recipe() if "fast" in Path(place).name else tiny_recipe()
    spec = ImageSpec((28, 28), 1, CLASSES.get(place, tuple("0123456789")))
    weights.write(folder / place / "model.safetensors", random_weights(recipe, spec), recipe, spec)
    (folder / place / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")


def furnish(text: str, folder: Path) -> None:
    """Put what the commands of a page take for granted into a folder: runs, recipes, pictures."""
    for place in sorted(set(re.findall(r"\b(?:runs|demo)/[a-z-]+", text))):
        stand_in(place, folder)
    for toml in blocks(text, "toml"):
        if name := re.match(r"# (\S+\.toml)\n", toml):
            (folder / name[1]).write_text(toml, encoding="utf-8")
    grey = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    for name in set(re.findall(r"\b(?:drawing|scribble|picture|mask)\.png", text)):
        Image.fromarray(np.where(grey > 99, 255, 0).astype(np.uint8)).save(folder / name)


def quick(tokens: list[str]) -> list[str]:
    """A command with numbers that are no larger than a test needs."""
    most = {"--count": 2, "--steps": 2, "--frames": 3, "--repeats": 2}
    return [
        str(min(int(word), most[before])) if before in most else word
        for before, word in zip(["", *tokens], tokens, strict=False)
    ]


def parse(tokens: list[str]) -> None:
    """Take a command apart, and check what its values name."""
    app = make_app(tokens)
    _, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
    given = bound.arguments
    flags = {key: value for key, value in bound.kwargs.items() if "__" in key}
    sampling = {field.name for field in dataclasses.fields(Sampling)}
    match tokens[0]:
        case "train":
            override(base_recipe(tokens[1:]), nested(flags))
        case "refine":
            override(refine.refined(tokens[1]), nested(flags))
        case "distill":
            override(distill.student_of(tokens[1]), nested(flags))
        case "evaluate":
            override(Sampling(), {k: v for k, v in bound.kwargs.items() if k in sampling})
            assert str(given.get("sweep", "steps")).partition("=")[0].partition(":")[0] in sampling
        case "push":
            check_repository(given["repo"])
    if tokens[0] in ("doctor", "evaluate", "train-classifier"):
        check_data_name(given.get("data", "mnist"))


def run(tokens: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(tokens)
    assert stopped.value.code in (0, None), tokens


def check_other(tokens: list[str]) -> None:
    """What a command of another program names is there: a target, a script with its flags, an extra."""
    program, *rest = tokens
    words = [word for word in rest if "=" not in word]
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program in ("python", "python3") and words[0] == "-m":
        assert find_spec(words[1]) is not None
    elif program in ("python", "python3"):
        text = (ROOT / words[0]).read_text(encoding="utf-8")
        assert all(f'"{word}"' in text for word in words if word.startswith("--")), tokens
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extra in re.findall(r"\[([a-z]+)\]", " ".join(words)):
            assert extra in extras["optional-dependencies"]
    else:
        assert program in OUTSIDE, tokens


@pytest.mark.parametrize("page", [page for page, text in ALL.items() if commands(text)])
def test_the_commands_of_a_page_run_or_are_parsed(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    furnish(ALL[page], tmp_path)
    for tokens in commands(ALL[page]):
        if tokens[0] not in OURS or "mezzotint" not in tokens:
            check_other(tokens)
            continue
        words = tokens[tokens.index("mezzotint") + 1 :]
        parse(words)
        network = any(word.startswith("hf:") for word in words)
        # The README's commands run in test_readme.py, one after the other.
        if words[0] not in ONLY_PARSED and not network and page != "README.md":
            run(quick(words))


@pytest.mark.parametrize("page", [page for page, text in ALL.items() if mentioned(text)])
def test_commands_that_a_page_mentions_exist(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(ALL[page], tmp_path)
    for _, *words in mentioned(ALL[page]):
        assert words[0] in VERBS, words
        if "--help" in words:
            continue
        try:
            parse(["mnist" if word == "DATA" else word for word in words])
        except MissingArgumentError:
            assert len(words) == 1, words


@pytest.mark.parametrize("page", [page for page, text in DOCS.items() if blocks(text, "pycon")])
def test_the_examples_of_a_page_give_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, block in enumerate(blocks(DOCS[page], "pycon")):
        test = doctest.DocTestParser().get_doctest(block, {}, f"{page}:{number}", page, 0)
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
        assert not said, "".join(said)


def test_every_page_of_the_reference_begins_with_an_example() -> None:
    for page, text in pages("docs/reference").items():
        assert "```pycon" in text.partition("```{eval-rst}")[0], page


@pytest.mark.parametrize("page", [page for page, text in DOCS.items() if blocks(text, "python")])
def test_the_snippets_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(DOCS[page], tmp_path)
    weights_file = random_model_file(tmp_path / "hub.safetensors", tiny_recipe(), size=28)
    monkeypatch.setattr("mezzotint.loading.fetch", lambda name, file: weights_file)
    names: dict[str, Any] = {}
    schedules = list(SCHEDULES)
    try:
        for snippet in blocks(DOCS[page], "python"):
            code = compile(snippet, page, "exec")
            if page not in ELSEWHERE:
                exec(code, names)
    finally:
        for name in set(SCHEDULES) - set(schedules):
            del SCHEDULES[name]


@pytest.mark.parametrize("page", ALL)
def test_files_that_a_page_links_to_are_there(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", ALL[page], flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert ((ROOT / page).parent / target).exists(), target


def test_the_readme_names_every_notebook() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        assert f"`{path.stem}`" in ALL["README.md"], path.name
