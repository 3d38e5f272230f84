"""Folders in which another process writes and deletes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mezzotint.utils.files import sizes
from soak import long_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two checkpoints."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 50}\n')
    for name in ("step-00000001", "step-00000002"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "model.safetensors").write_bytes(bytes(7))
    return tmp_path


def vanishing(doomed: Path) -> Callable[[Any], Any]:
    """``os.scandir``, for which a folder is deleted just before it is read."""
    scandir = os.scandir

    def deleting(path: Any) -> Any:
        if path in (doomed, str(doomed)):
            shutil.rmtree(doomed)
        return scandir(path)

    return deleting


def test_sizes_are_those_of_all_files(run: Path) -> None:
    found = {str(path.relative_to(run)): size for path, size in sizes(run).items()}
    names = [f"checkpoints/step-0000000{k}/model.safetensors" for k in (1, 2)]
    assert found == {"metrics.jsonl": 13, **dict.fromkeys(names, 7)}
    assert sizes(run / "absent") == {}


def test_a_folder_that_is_deleted_meanwhile_is_left_out(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "scandir", vanishing(run / "checkpoints" / "step-00000001"))
    assert sum(sizes(run).values()) == 13 + 7


def test_a_file_that_is_deleted_meanwhile_is_left_out(run: Path) -> None:
    (run / "gone").symlink_to(run / "absent")  # listed, and not there when its size is asked for
    assert sum(sizes(run).values()) == 13 + 14


def test_the_long_run_is_read_while_checkpoints_are_deleted(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "scandir", vanishing(run / "checkpoints" / "step-00000001"))
    reading = long_run.read(os.getpid(), run)
    assert reading is not None
    assert (reading.step, reading.disk, reading.metrics) == (50, 7, 13)
