"""Folders that an export writes as a whole: what cannot be replaced is refused before anything else."""

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest

from machines import in_process
from mezzotint import weights
from mezzotint.export import page as page_module
from mezzotint.export.diffusers import export_diffusers
from mezzotint.utils import output
from models import random_model_file

OUTS = [".", "..", "../here", "/", "../link"]
EXPORTS = pytest.mark.parametrize("verb", ["diffusers", "page"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, beside a link to it and a model; nothing can be read or computed."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "link").symlink_to("here")
    random_model_file(tmp_path / "m.safetensors")
    monkeypatch.chdir(folder)

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(page_module, "export_onnx", fail)
    monkeypatch.setattr(weights, "read", fail)
    return folder


def refusal(verb: str, out: str) -> str:
    """What an export says that is refused: one line."""
    words = in_process("export", verb, "../m.safetensors", "--out", out)
    assert isinstance(words, str)
    assert "\n" not in words
    return words


@EXPORTS
@pytest.mark.parametrize("out", OUTS)
def test_the_folder_that_one_is_in_is_refused(verb: str, out: str, here: Path) -> None:
    words = refusal(verb, out)
    assert f"out = {out} is the folder that you are in, or around it: name another one" in words
    assert not list(here.iterdir())


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.usefixtures("here")
def test_a_folder_is_no_onnx_file(out: str) -> None:
    assert f"out = {out}: its ending must be .onnx" in refusal("onnx", out)


@EXPORTS
def test_where_a_disk_is_mounted_is_refused(
    verb: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "disk").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "disk")
    words = refusal(verb, "disk")
    assert "out = disk is where a disk is mounted, and cannot be replaced: name a folder" in words


@EXPORTS
def test_a_folder_in_one_that_cannot_be_written_is_refused(
    verb: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced, not written into, and so its own permissions do not help."""
    (here / "own").mkdir()
    (here / "link").symlink_to("own")

    def temporary(dir: Path) -> object:
        if dir == here:
            raise PermissionError(errno.EACCES, "Permission denied")
        return nullcontext()

    monkeypatch.setattr(output.tempfile, "TemporaryFile", temporary)
    words = refusal(verb, "link")
    assert f"out = link cannot be written: {here}: Permission denied" in words


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    model = random_model_file(tmp_path / "m.safetensors")
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to("place")
    for _ in range(2):
        export_diffusers(model, tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "place" / "model_index.json").is_file()
        assert {path.name for path in tmp_path.iterdir()} == {"m.safetensors", "place", "link"}
