"""Commands load torch without searching its modules for garbage."""

import gc
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mezzotint.cli.modules import loading_modules

MODULE = "module_of_a_test"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that is not loaded yet."""
    (tmp_path / f"{MODULE}.py").write_text("objects = [[] for _ in range(20_000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield MODULE
    sys.modules.pop(MODULE, None)
    gc.unfreeze()


def test_nothing_is_searched_while_modules_load_or_afterwards(module: str) -> None:
    starts = []
    before = gc.get_freeze_count()

    def note(phase: str, info: dict[str, int]) -> None:
        starts.append(info["generation"])

    gc.callbacks.append(note)
    try:
        with loading_modules():
            __import__(module)
    finally:
        gc.callbacks.remove(note)
    assert not starts
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + 20_000


def test_without_a_new_module_nothing_is_kept(module: str) -> None:
    __import__(module)
    before = gc.get_freeze_count()
    with loading_modules():
        __import__(module)
    assert gc.get_freeze_count() == before
    assert gc.isenabled()


def test_an_error_leaves_the_search_as_it_was(module: str) -> None:
    with pytest.raises(ImportError), loading_modules():
        __import__(f"{module}.absent")
    assert gc.isenabled()
    gc.disable()
    try:
        with loading_modules():
            __import__(module)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "digits-fast", "7"],
        ["gif", "digits-fast", "7", "--frames", "2"],
        ["info", "digits"],
        ["train", "digits", "--dry-run"],
        ["export", "diffusers", "digits-fast", "--out", "folder"],
        ["forward"],
        ["edit", "digits-fast", "test:0", "9"],
        ["inpaint", "digits-fast", "test:0", "bottom", "7"],
        ["morph", "digits-fast", "3", "8"],
        ["distill", "absent"],
        ["evaluate", "absent"],
        ["doctor", "folder:absent"],
        ["import", "absent.pth"],
        ["push", "absent", "somebody/model"],
        ["train-classifier", "judge.safetensors", "--width", "99"],
    ],
    ids=lambda words: words[0],
)
def test_torch_is_loaded_so_by_a_command(words: list[str], tmp_path: Path) -> None:
    """Torch comes within the block: most of the process's objects are not searched again."""
    script = f"""
        import gc
        from mezzotint.cli import main
        try:
            main({words!r})
        finally:
            print(gc.get_freeze_count(), len(gc.get_objects()), gc.isenabled())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    kept, searched, enabled = done.stdout.splitlines()[-1].split()
    assert int(kept) > 2 * int(searched), done.stderr
    assert enabled == "True"
