"""Nothing reaches for a network that does not need one: every import and help, and verbs on what is here."""

import socket
import sys
from pathlib import Path

import pytest

from machines import SOURCE, environment, guard, in_process, notes, pictures, run

EVERYTHING = """
import sys
from importlib import import_module
from pathlib import Path

from mezzotint.cli import VERBS, main

PACKAGE = Path(sys.argv[1])


def step(*words):
    try:
        main(list(words))
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)


step("--help")
step("--version")
for verb in VERBS:
    step(verb, "--help")
for kind in ("onnx", "diffusers", "page"):
    step("export", kind, "--help")
step("sample", "digits-fast", "7", "--out", "seven.png")
step("info", "digits")
step("doctor", "folder:pictures")
for path in sorted(PACKAGE.rglob("*.py")):
    if path.name != "__main__.py":
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        import_module(module.removesuffix(".__init__"))
"""


@pytest.mark.slow
def test_no_import_no_help_and_no_verb_on_what_is_here_reaches_for_a_network(
    tmp_path: Path,
) -> None:
    pictures(tmp_path / "pictures")
    noted = tmp_path / "noted.jsonl"
    online = {"HF_HUB_OFFLINE": None, "HF_DATASETS_OFFLINE": None}
    env = environment(tmp_path, **guard(noted), **online)
    ran = run([sys.executable, "-c", EVERYTHING, str(SOURCE / "mezzotint")], tmp_path, env=env)
    assert ran.returncode == 0, ran.stderr
    assert notes(noted, "reach") == []
    # The process was watched indeed.
    assert any(name.endswith("seven.png") for name in notes(noted, "write"))


def test_what_is_to_be_fetched_says_so_where_names_cannot_be_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    told = in_process("doctor", "kmnist")
    assert str(told).startswith(
        "mezzotint: train-images-idx3-ubyte.gz could not be fetched; put it into a folder"
    )
    assert "Temporary failure in name resolution" in str(told)
