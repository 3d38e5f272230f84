"""The folder of odd pictures is the same each time, and is what its description says."""

import json
import os
import stat
from pathlib import Path

from PIL import Image

from nasty import make_nasty


def content(folder: Path) -> dict[str, object]:
    """Everything in a folder: files' bytes, links' targets, and the kinds of what is neither."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name, status = str(path.relative_to(folder)), path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[name] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            path.chmod(0o600)
            found[name] = path.read_bytes()
        else:
            found[name] = stat.S_IFMT(status.st_mode)
    return found


def test_it_is_the_same_each_time_and_as_described(tmp_path: Path) -> None:
    first, second = (make_nasty(tmp_path / name, count=60) for name in "ab")
    assert first == second
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert make_nasty(tmp_path / "c", count=60, seed=1) != first or (
        content(tmp_path / "c") != content(tmp_path / "a")
    )
    json.dumps(first).encode("ascii")
    assert sum(first["classes"].values()) == sum(first["kinds"].values()) + len(first["copies"])
    left_out = {entry["path"] for entry in [*first["bad"], *first["ignored"]]}
    good = 0
    for path in (tmp_path / "a").rglob("*"):
        if str(path.relative_to(tmp_path / "a")) in left_out or path.is_dir():
            continue
        with path.open("rb") as stream, Image.open(stream) as picture:
            picture.load()
        good += 1
    assert good == sum(first["classes"].values())
    assert good >= 60
