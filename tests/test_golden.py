"""Golden runs: the first losses of every objective are what they were, to the bit on the same build."""

import math

import pytest

from mezzotint.registry import OBJECTIVES
from soak.golden import (
    CASES,
    STEADY,
    STEPS,
    TOLERANCE,
    build_description,
    difference,
    golden,
    losses_of,
    path_of,
    recipe_of,
)

FAST = 12
"""Steps of the fast tests; the slow ones take all."""


def compare(case: str, count: int) -> None:
    """The first losses of a case against those of every build that was written."""
    found = losses_of(case, count)
    assert all(map(math.isfinite, found))
    build = build_description()
    compared = 0
    for other in golden():
        expected = other["losses"][case][:count]
        if other["build"] == build:
            assert found == expected, f"other bits than {path_of(build).name}"
        steady = STEADY.get(case, count)
        assert difference(found[:steady], expected[:steady]) <= TOLERANCE, other["build"]
        compared += 1
    assert compared


@pytest.mark.parametrize("case", CASES)
def test_the_first_losses_are_what_they_were(case: str) -> None:
    compare(case, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_hundred_losses_are_what_they_were(case: str) -> None:
    compare(case, STEPS)


def test_every_objective_has_a_golden_run() -> None:
    assert {recipe_of(case).objective.name for case in CASES} == set(OBJECTIVES)


def test_every_build_has_a_file_of_its_own_and_all_are_small() -> None:
    names = [path_of(other["build"]) for other in golden()]
    assert len(set(names)) == len(names)
    assert all(path.is_file() for path in names)
    assert sum(path.stat().st_size for path in names) < 1e6
