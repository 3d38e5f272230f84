"""The numbers of the equations in docs/mathematics.md, which modules cite."""

import re

from pages import ROOT, pages

PAGE = pages("docs/mathematics.md")["docs/mathematics.md"]
EQUATIONS = [int(n) for n in re.findall(r"^\$\$ \((.+)\)$", PAGE, re.MULTILINE)]
CITATION = re.compile(r"docs/mathematics\.md, eq\. ((?:\d+(?:, | and )?)+)")


def cited() -> dict[str, list[int]]:
    """The numbers of equations that each module cites."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = " ".join(path.read_text(encoding="utf-8").split())
        numbers = [int(n) for words in CITATION.findall(text) for n in re.findall(r"\d+", words)]
        if numbers:
            found[str(path.relative_to(ROOT / "src"))] = numbers
    return found


def test_equations_are_numbered_in_their_order() -> None:
    """So that the label in the source is the number that Sphinx gives."""
    assert list(range(1, len(EQUATIONS) + 1)) == EQUATIONS


def test_every_equation_is_cited_and_every_cited_one_exists() -> None:
    assert len(cited()) >= 20
    numbers = {number for numbers in cited().values() for number in numbers}
    assert numbers == set(EQUATIONS)


def test_modules_that_the_mathematics_name_exist() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_]*(?:\.py)?)`", PAGE)
    assert len(named) > 10
    for name in named:
        assert (ROOT / "src" / "mezzotint" / name).exists(), name
