"""Machines with other homes, caches, file systems and rights: the second list, D54 to D57."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import tiny_data, tiny_recipe
from machines import (
    COMMAND,
    TINY,
    environment,
    in_process,
    mezzo,
    named_model,
    pictures,
    rubbish,
    run,
    save_npz,
    small_measures,
    stranger,
    unprivileged,
)
from mezzotint import build, load, train
from mezzotint.data import open_data


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model_bytes(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- D54: no home --------------------------------------------------------------------------------


def works_or_names_a_variable(ran: "subprocess.CompletedProcess[str]") -> None:
    """Done with a cache somewhere else, which is said; or refused, with the variable to set."""
    assert "Traceback" not in ran.stderr, ran.stderr
    if ran.returncode == 0:
        assert "images:    22" in ran.stdout
        own = [line for line in ran.stderr.splitlines() if "atplotlib" not in line]
        assert len([line for line in own if "cache" in line]) == 1, ran.stderr
    else:
        assert ran.returncode == 1
        assert "HOME" in ran.stderr, ran.stderr  # or XDG_CACHE_HOME


@pytest.mark.slow
def test_d54_no_home_and_no_entry_for_the_user(tmp_path: Path) -> None:
    pictures(tmp_path / "pics")
    tmp_path.chmod(0o777)
    words = [*unprivileged(54321), *COMMAND, "doctor", "folder:pics"]
    changed = environment(tmp_path, HOME=None, XDG_CACHE_HOME=None)
    works_or_names_a_variable(run(words, tmp_path, env=changed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME"])
@pytest.mark.parametrize("kind", ["file", "read-only folder"])
def test_d54_a_home_where_nothing_can_be_written(kind: str, name: str, tmp_path: Path) -> None:
    pictures(tmp_path / "pics")
    home = tmp_path / "home"
    if kind == "file":
        home.write_text("no folder")
    else:
        home.mkdir()
        home.chmod(0o555)
    changes = {"XDG_CACHE_HOME": None, name: str(home)}
    works_or_names_a_variable(stranger([*COMMAND, "doctor", "folder:pics"], tmp_path, **changes))


@pytest.mark.slow
def test_d54_a_relative_cache_folder_is_none(tmp_path: Path) -> None:
    """By the XDG specification relative paths are ignored. Nothing is written where one happens to be."""
    pictures(tmp_path / "pics")
    (tmp_path / "home").mkdir()
    changes = {"XDG_CACHE_HOME": "here", "HOME": str(tmp_path / "home")}
    ran = mezzo("doctor", "folder:pics", folder=tmp_path, env=changes)
    assert ran.returncode == 0, ran.stderr
    assert not (tmp_path / "here").exists()
    assert list((tmp_path / "home/.cache/mezzotint").rglob("*.npy"))


# --- D55: a cache that somebody else filled ------------------------------------------------------


@pytest.fixture
def filled(tmp_path: Path, own_cache: Path) -> Path:
    """A folder where pictures, and an archive of them, were decoded by somebody who then left."""
    pictures(tmp_path / "pics")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "pics")
    for name in ("pics", "packed.zip"):
        for split in ("train", "test"):
            open_data(f"folder:{tmp_path / name}", split)
    tmp_path.chmod(0o777)
    return tmp_path


def take_rights(folder: Path) -> None:
    """chmod -R a-w"""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)


@pytest.fixture
def give_rights_back(tmp_path: Path) -> Iterator[None]:
    yield
    for path in [tmp_path, *tmp_path.rglob("*")]:
        if path.is_dir():
            path.chmod(0o777)


@pytest.mark.slow
@pytest.mark.usefixtures("give_rights_back")
@pytest.mark.parametrize("name", ["pics", "packed.zip"])
@pytest.mark.parametrize("what", ["everything", "locks"])
def test_d55_a_cache_of_somebody_else_is_used(what: str, name: str, filled: Path) -> None:
    array = next((filled / "cache").rglob("images.npy")).read_bytes()
    if what == "everything":
        take_rights(filled / "cache")
    else:
        for path in (filled / "cache").rglob("*"):
            path.chmod(0o777 if path.is_dir() else 0o444)
    data = ["--data.name", f"folder:{filled / name}"]
    words = ["train", "digits", *data, *TINY, "--steps", "1", "--out", "run"]
    ran = stranger([*COMMAND, *words], filled)
    assert ran.returncode == 0, ran.stderr
    assert load(filled / "run").spec.classes == ("ant", "bee")
    assert next((filled / "cache").rglob("images.npy")).read_bytes() == array


@pytest.mark.slow
@pytest.mark.usefixtures("give_rights_back")
def test_d55_floors_that_somebody_else_computed_need_not_be_written(tmp_path: Path) -> None:
    """Numbers are not lost because they cannot be remembered."""
    measures = small_measures(tmp_path)
    save_npz(tmp_path / "drawn.npz", tiny_data(200))
    (tmp_path / "cache/mezzotint").mkdir(parents=True)
    tmp_path.chmod(0o777)
    take_rights(tmp_path / "cache")
    ran = stranger([*COMMAND, "evaluate", "drawn.npz", *measures, "--out", "E"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "digit_fid" in json.loads((tmp_path / "E/evaluation.json").read_text())["results"]


# --- D56: file systems that lack a call ----------------------------------------------------------

LACKING = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS]
FAILING = [errno.ENOSPC, errno.EIO, errno.EDQUOT]


def failing(call: Any, number: int, folders_only: bool = False) -> Any:
    def fails(handle: Any, *arguments: Any) -> Any:
        if folders_only and not os.path.isdir(f"/proc/self/fd/{handle}"):
            return call(handle, *arguments)
        raise OSError(number, os.strerror(number))

    return fails


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("what", ["folders", "files"])
@pytest.mark.parametrize("number", LACKING)
def test_d56_a_missing_fsync_is_passed_over(
    number: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(os.fsync, number, what == "folders"))
    recipe = tiny_recipe(training={"steps": 2, "save_every": 1})
    assert load(train(recipe, tmp_path / "run")).sample([0]).shape == (1, 1, 8, 8)
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 2
    words = ["sample", str(tmp_path / "run"), "0", "--out", str(tmp_path / "x.png")]
    assert in_process(*words) == 0
    assert (tmp_path / "x.png").stat().st_size > 0


@pytest.mark.parametrize("what", ["folders", "files"])
@pytest.mark.parametrize("number", FAILING)
def test_d56_a_full_or_failing_disk_is_never_passed_over(
    number: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = named_model(tmp_path / "m.safetensors", "ab")
    monkeypatch.setattr(os, "fsync", failing(os.fsync, number, what == "folders"))
    said = in_process("sample", str(model), "a", "--out", str(tmp_path / "x.png"))
    assert isinstance(said, str)
    assert os.strerror(number) in said
    assert not rubbish(tmp_path)
    if what == "files":
        assert not (tmp_path / "x.png").exists()


@pytest.mark.usefixtures("tiny_images")
def test_d56_a_file_system_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("chmod", "fchmod", "chown", "utime"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), errno.EPERM))
    recipe = tiny_recipe(training={"steps": 2, "save_every": 1, "keep": 1})
    load(train(recipe, tmp_path / "run"))
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 1


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_d56_room_that_cannot_be_reserved_is_passed_over(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pics = pictures(tmp_path / "pics")
    plain = open_data(f"folder:{pics}").images.clone()
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(os, "posix_fallocate", failing(os.posix_fallocate, number))
    assert open_data(f"folder:{pics}").images.equal(plain)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_d56_room_that_is_not_there_is_said(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pics = pictures(tmp_path / "pics")
    monkeypatch.setattr(os, "posix_fallocate", failing(os.posix_fallocate, number))
    with pytest.raises((ValueError, OSError), match=os.strerror(number)):
        open_data(f"folder:{pics}")
    assert not list((tmp_path / "cache").rglob("*.npy"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_d56_a_file_system_without_locks(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network file systems are: what one process does is still done."""
    pics = pictures(tmp_path / "pics")
    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, failing(getattr(fcntl, name), number))
    assert len(open_data(f"folder:{pics}")) == 22
    recipe = tiny_recipe(data={"name": f"folder:{pics}"}, training={"steps": 1})
    assert load(train(recipe, tmp_path / "run")).spec.classes == ("ant", "bee")


# --- D57: rights ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("mask", [0o077, 0o022, 0o027])
def test_d57_rights_follow_the_umask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        train(tiny_recipe(training={"steps": 2, "save_every": 1}), tmp_path / "run")
        for words in (["sample", "--out", "x.png"], ["gif", "--out", "gifs"]):
            place = str(tmp_path / words[2])
            assert in_process(words[0], str(tmp_path / "run"), "0", "--out", place) == 0
    finally:
        os.umask(before)
    made = list(tmp_path.rglob("*"))
    assert len(made) >= 14
    for path in made:
        expected = (0o777 if path.is_dir() else 0o666) & ~mask
        assert oct(path.stat().st_mode & 0o777) == oct(expected), path


@pytest.mark.usefixtures("own_cache")
def test_d57_rights_of_the_cache_follow_the_umask(tmp_path: Path) -> None:
    pics = pictures(tmp_path / "pics")
    before = os.umask(0o077)
    try:
        open_data(f"folder:{pics}")
    finally:
        os.umask(before)
    for path in (tmp_path / "cache").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
