"""The mistakes that ``python -m soak.planted`` plants in the source: each of them still fits it."""

import re
from pathlib import Path

import pytest

from soak import copies, planted, report
from soak.faults import FAULTS, Fault

TESTS = Path(__file__).parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_mistake_fits_the_source_and_its_tests_exist(fault: Fault) -> None:
    assert planted.planted(fault, report.ROOT)
    for test in fault.tests:
        file, _, name = test.partition("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)


def test_no_mistake_is_counted_twice() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.slow
def test_a_mistake_is_caught_and_what_is_none_is_not(tmp_path: Path) -> None:
    wrong = Fault("scale", "utils/pixels.py", "/ 127.5 - 1", "/ 255", ("test_pixels.py",))
    harmless = Fault("order", "utils/pixels.py", "/ 127.5 - 1", "/ 127.5 + -1", ("test_pixels.py",))
    test = "test_pixels.py::test_all_256_values_survive_the_round_trip"
    with copies.Copy(tmp_path / "copy") as copy:
        right = copy.module("utils/pixels.py").read_text()
        assert copies.caught_by(planted.planted(wrong, report.ROOT), copy) == test
        assert copies.caught_by(planted.planted(harmless, report.ROOT), copy) is None
        assert copy.module("utils/pixels.py").read_text() == right
