"""Models on the Hugging Face Hub, of which a server on this machine takes the place."""

import dataclasses
import json
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import numpy as np
import pytest
import torch
import yaml

import mezzotint
from common import few_step_recipe, tiny_recipe
from hub_server import TOKEN, Hub, serving
from machines import in_process, mezzo
from mezzotint import weights
from mezzotint.data import ImageSpec
from mezzotint.export.card import model_card
from mezzotint.export.hub import FILES, push
from mezzotint.export.public import public_document, public_recipe, public_text
from mezzotint.loading import find_weights
from mezzotint.recipe.presets import find
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import from_toml
from mezzotint.utils.files import sha256
from mezzotint.utils.hub import fetch
from models import random_model_file, random_weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub where ``me`` is logged in, and an empty cache."""
    with serving() as server:
        constants = huggingface_hub.constants
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


def evaluation_of(path: Path, recipe: Recipe, **changes: Any) -> dict[str, Any]:
    """What `mezzotint evaluate` writes of a weights file."""
    numbers = {"mean": 0.125, "std": 0.01, "seeds": [0.115, 0.135], "floor": 0.0625}
    lone = {"mean": 0.75, "std": None, "seeds": [0.75], "floor": None}
    broken = {"mean": None, "std": None, "seeds": [None], "floor": None}
    network = {"network": "digits-plain", "sha256": "5a" * 32}
    protocol = {
        "images": 200,
        "features": network,
        "witness": network,
        "source": "/home/annabel/runs/secret",
        "sampling": {"sampler": "heun", "steps": 2, "guidance": 1.5, "clip": False},
        "seeds": [0, 1],
        "recipe": recipe.name,
        "data": recipe.data.name,
        "weights": {"sha256": sha256(path)},
        "hardware": "x86_64, 1 threads",
        "version": "0.1.0",
        "torch": "2.13.0",
        "date": "2026-11-25",
        **changes,
    }
    results = {"digit_fid": numbers, "denoising_loss": lone, "kid": broken}
    return {"results": results, "confusion": [[1, 0], [0, 1]], "protocol": protocol}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run, with an evaluation, a log and a checkpoint."""
    folder = tmp_path / "runs" / "mine"
    path = random_model_file(folder / "model.safetensors")
    (folder / "recipe.toml").write_text("")
    (folder / "metrics.jsonl").write_text("{}")
    (folder / "checkpoints/step-00000010").mkdir(parents=True)
    (folder / "checkpoints/step-00000010/state.safetensors").write_bytes(b"moments")
    document = evaluation_of(path, tiny_recipe())
    (folder / "evaluation.json").write_text(json.dumps(document))
    return folder


# --- There and back


def test_what_is_pushed_is_loaded_bit_for_bit(hub: Hub, run: Path) -> None:
    shared = push(run, "me/digits")
    files = hub.repositories["me/digits"].files()
    assert set(files) == {".gitattributes", *FILES}
    assert shared.files == {name: len(files[name]) for name in FILES}
    found = find_weights("hf:me/digits")
    assert found.read_bytes() == (run / "model.safetensors").read_bytes()
    theirs = mezzotint.load("hf:me/digits", "cpu").sample([1, 2], seed=3)
    assert torch.equal(theirs, mezzotint.load(run, "cpu").sample([1, 2], seed=3))
    assert files["samples.png"].startswith(b"\x89PNG")
    assert from_toml(files["recipe.toml"].decode()) == tiny_recipe()
    assert files["README.md"].decode() == shared.card
    assert shared.url is not None
    assert shared.url.startswith(f"{hub.url}/me/digits/commit/")


def test_the_recipe_that_is_shared_trains_anew(hub: Hub, run: Path, tmp_path: Path) -> None:
    push(run, "me/digits")
    path = tmp_path / "recipe.toml"
    path.write_bytes(hub.repositories["me/digits"].files()["recipe.toml"])
    assert find(str(path)) == tiny_recipe()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_second_push_is_one_commit_more_and_the_first_is_kept(
    hub: Hub, run: Path, tmp_path: Path, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the library's other way of sending folders, with Xet; large files have no stand-in there."""
    if streamed:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
        monkeypatch.setattr(sys, "stderr", None)
        hub.large = ()
    push(run, "me/digits")
    repository = hub.repositories["me/digits"]
    repository.commit("main", repository.files() | {"notes.txt": b"by hand"}, "by hand")
    old = list(repository.commits)[1]
    other = tmp_path / "other.safetensors"
    random_model_file(other, few_step_recipe())
    push(other, "me/digits")
    assert len(repository.commits) == 4  # the first is the Hub's own
    assert repository.files().keys() == {".gitattributes", "notes.txt", *FILES} - {
        "evaluation.json"
    }
    assert find_weights("hf:me/digits").read_bytes() == other.read_bytes()
    first = find_weights(f"hf:me/digits@{old}")
    assert first.read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_branch_is_made_and_loaded_by_name(hub: Hub, run: Path) -> None:
    push(run, "me/digits", revision="v2")
    repository = hub.repositories["me/digits"]
    assert set(repository.files("v2")) == {".gitattributes", *FILES}
    assert set(repository.files("main")) == {".gitattributes"}
    assert find_weights(Path("hf:me/digits@v2")).is_file()
    push(run, "me/digits", revision="v2", license="MIT")
    assert "license: mit" in repository.files("v2")["README.md"].decode()


def test_every_verb_takes_it(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    push(run, "me/digits")
    assert in_process("sample", "hf:me/digits", "3", "--out", "a.npz") == 0
    assert in_process("sample", str(run), "3", "--out", "b.npz") == 0
    with np.load("a.npz") as one, np.load("b.npz") as other:
        assert np.array_equal(one["images"], other["images"])
    assert in_process("info", "hf:me/digits@main") == 0
    assert in_process("gif", "hf:me/digits", "1", "--steps", "2") == 0


def test_a_refinement_begins_from_a_model_of_the_hub(hub: Hub, run: Path) -> None:
    from mezzotint.cli.refine import refined

    push(run, "me/digits")
    recipe = refined("hf:me/digits")
    assert recipe.initial_model == "hf:me/digits"
    assert recipe.objective.sha256 == sha256(run / "model.safetensors")
    front = metadata(model_card(public_recipe(recipe)[0], SPEC, None, repo="me/better"))
    assert front["base_model"] == "me/digits"


# --- What is not sent


def test_a_dry_run_makes_no_request(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    before = sorted(run.rglob("*"))
    dry = push(run, "me/digits", dry_run=True)
    assert hub.asked == []
    assert dry.url is None
    assert sorted(run.rglob("*")) == before
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    wet = push(run, "me/digits")
    assert dataclasses.replace(wet, url=None) == dry


def test_the_command_shows_what_it_would_send(
    hub: Hub, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process("push", str(run), "me/digits", "--dry-run") == 0
    said = capsys.readouterr().out
    assert hub.asked == []
    for name in FILES:
        assert re.search(rf"\d bytes  {re.escape(name)}$", said, re.MULTILINE)
    assert "note: protocol.source = '/home/annabel/runs/secret' is shared as 'secret'" in said
    assert "library_name: mezzotint" in said
    assert said.endswith("nothing was sent\n")


def test_the_token_is_never_said(
    hub: Hub, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process("push", str(run), "me/digits") == 0
    refused = in_process("push", str(run), "you/digits")
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}x")
    wrong = in_process("push", str(run), "me/digits")
    said = capfd.readouterr()
    assert TOKEN not in f"{said.out}{said.err}{refused}{wrong}"
    sent = b"".join(hub.repositories["me/digits"].files().values())
    assert TOKEN.encode() not in sent


def test_no_path_of_the_machine_is_sent(hub: Hub, tmp_path: Path) -> None:
    recipe = few_step_recipe(
        name="/home/annabel/notes/best",
        data={"name": "folder:/home/annabel/private/cats"},
        objective={"teacher": "~/runs/teacher", "sha256": "ab" * 32},
    )
    path = random_model_file(tmp_path / "annabel" / "model.safetensors", recipe)
    document = evaluation_of(
        path, recipe, features={"network": "C:\\Users\\annabel\\judge", "sha256": "5a" * 32}
    )
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(document))
    shared = push(path, "me/cats", evaluation=file)
    sent = b"".join(hub.repositories["me/cats"].files().values())
    for part in (b"annabel", b"private", b"secret/", b"runs", str(tmp_path).encode()):
        assert part not in sent
    recipe = mezzotint.load("hf:me/cats", "cpu").recipe
    assert recipe.name == "best"
    assert recipe.data.name == "folder:cats"
    assert recipe.initial_model == "teacher"
    assert len(shared.notes) == 7
    ours = weights.read(path)[0]
    theirs = weights.read(find_weights("hf:me/cats"))[0]
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    measured = json.loads(hub.repositories["me/cats"].files()["evaluation.json"])
    assert measured["protocol"]["weights"]["sha256"] == sha256(find_weights("hf:me/cats"))
    assert measured["results"] == document["results"]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("mnist", "mnist"),
        ("digits", "digits"),
        ("ddim:eta=0.5", "ddim:eta=0.5"),
        ("folder:pics", "folder:pics"),
        ("folder:/home/annabel/pics/", "folder:pics"),
        ("folder:/home/annabel", "folder:local"),
        ("folder:/Users/annabel/", "folder:local"),
        ("folder:/data/home/annabel", "folder:local"),
        ("folder:~", "folder:local"),
        ("folder:~annabel", "folder:local"),
        ("folder:~annabel/pics", "folder:pics"),
        ("folder:/", "folder:local"),
        ("folder:..", "folder:local"),
        ("folder:../../annabel/pics.zip", "folder:pics.zip"),
        ("npz:C:\\Users\\annabel\\x.npz", "npz:x.npz"),
        ("folder:C:\\Users\\annabel", "folder:local"),
        ("folder:C:\\", "folder:C:"),
        ("idx:\\\\server\\share\\train", "idx:train"),
        ("celeba:/data/a:b", "celeba:a:b"),
        ("hf:ylecun/mnist", "hf:ylecun/mnist"),
        ("hf:ylecun/mnist:default", "hf:ylecun/mnist:default"),
        ("hf:me/digits@v1.0", "hf:me/digits@v1.0"),
        ("hf:/home/annabel/set", "hf:./set"),
        ("hf:./set", "hf:./set"),
        ("hf:~/a/set", "hf:./set"),
        ("runs/mine", "mine"),
        ("runs/digits", "local-digits"),  # digits is a shipped model
        ("/mnt/x/model.safetensors", "model.safetensors"),
    ],
)
def test_a_path_becomes_its_last_name(text: str, public: str) -> None:
    assert public_text(text) == public
    assert public_text(public) == public


def test_home_is_nobodys_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "annabel"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert public_text(f"folder:{home}") == "folder:local"
    assert public_text(f"folder:{home}/pics") == "folder:pics"


def test_a_folder_named_like_a_data_set_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "annabel/cats").mkdir(parents=True)
    assert public_text("hf:annabel/cats:default") == "hf:./cats:default"
    card = model_card(tiny_recipe(data={"name": "hf:./cats"}), SPEC, None, repo="me/cats")
    assert "datasets" not in metadata(card)


def test_the_folder_of_a_named_data_set_is_left_out() -> None:
    recipe, notes = public_recipe(tiny_recipe(data={"folder": "/home/annabel/mnist"}))
    assert recipe == tiny_recipe()
    assert notes == ["data.folder = '/home/annabel/mnist' is left out"]


def test_lists_of_a_document_are_searched_too() -> None:
    document, notes = public_document({"protocol": {"a": [{"b": ["/home/annabel/x", 1, None]}]}})
    assert document == {"protocol": {"a": [{"b": ["x", 1, None]}]}}
    assert notes == ["protocol.a.b = '/home/annabel/x' is shared as 'x'"]


def test_a_checkpoint_is_said_to_be_one(hub: Hub, tmp_path: Path) -> None:
    path = random_model_file(tmp_path / "run/checkpoints/step-00000020/model.safetensors")
    shared = push(path.parent, "me/early", dry_run=True)
    assert "the checkpoint step-00000020, not of a finished run" in shared.notes[0]
    assert "the checkpoint step-00000020, not of a finished run" in shared.card


# --- Only safetensors are read


class Trap:
    """A pickle that leaves a trace when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_nothing_but_safetensors_is_downloaded(hub: Hub, run: Path, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap())
    files = {
        "model.safetensors": (run / "model.safetensors").read_bytes(),
        "pytorch_model.bin": trap,
        "model.pt": trap,
        "mezzotint.py": b"raise SystemExit('code was run')",
        "nested/model.safetensors": trap,
    }
    hub.add("you/trap", files)
    mezzotint.load("hf:you/trap", "cpu")
    assert hub.downloaded() == {"model.safetensors"}
    contents = [p.read_bytes() for p in (tmp_path / "hub-cache").rglob("*") if p.is_file()]
    assert trap not in contents
    hub.add("you/pickle", {"pytorch_model.bin": trap, "model.safetensors": trap})
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        mezzotint.load("hf:you/pickle", "cpu")


def test_it_is_downloaded_once(hub: Hub, run: Path) -> None:
    push(run, "me/digits")
    for _ in range(3):
        find_weights("hf:me/digits")
    gets = [path for verb, path in hub.asked if verb == "GET" and "/resolve/" in path]
    assert len(gets) == 1


# --- Without a network


def test_the_cache_is_enough_without_a_network(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, "me/digits")
    found = find_weights("hf:me/digits")
    asked = len(hub.asked)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert find_weights("hf:me/digits") == found
    with pytest.raises(FileNotFoundError, match=r"not in the cache, and HF_HUB_OFFLINE forbids"):
        find_weights("hf:me/other")
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE forbids to send"):
        push(run, "me/digits")
    assert len(hub.asked) == asked
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert find_weights("hf:me/digits") == found
    with pytest.raises(
        FileNotFoundError, match=r"cannot be fetched, and is not in the cache: .*refused"
    ):
        find_weights("hf:me/other")
    with pytest.raises(ConnectionError, match=r"me/digits was not sent: .*refused"):
        push(run, "me/digits")


# --- Errors


def one_sentence(error: BaseException) -> bool:
    return "\n" not in str(error) and "Client Error" not in str(error)


@pytest.mark.parametrize("logged_in", [True, False])
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("you/nothing", FileNotFoundError, "hf:you/nothing is not on the Hub, or it is private"),
        ("you/nothing", FileNotFoundError, "`hf auth login`"),
        ("you/gated", ValueError, r"is gated: ask for access on its page, http://.*/you/gated"),
        ("you/gated", ValueError, "`hf auth login`"),
        ("you/empty", FileNotFoundError, "hf:you/empty has no model.safetensors"),
        ("you/empty@v9", FileNotFoundError, "you/empty has no branch, tag or commit v9"),
    ],
)
def test_a_model_that_cannot_be_had(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: type[Exception],
    words: str,
    logged_in: bool,
) -> None:
    if not logged_in:
        monkeypatch.delenv("HF_TOKEN")
    hub.add("you/gated", {"model.safetensors": b"x"}, gated=True)
    hub.add("you/empty", {"README.md": b"x"})
    with pytest.raises(kind, match=words) as raised:
        find_weights(f"hf:{name}")
    assert one_sentence(raised.value)


def test_a_private_model_is_its_owners(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, "me/secret", private=True)
    assert hub.repositories["me/secret"].private
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(run / "no-cache"))
    with pytest.raises(FileNotFoundError, match=r"if it is private log in with `hf auth login`"):
        find_weights("hf:me/secret")


def test_nothing_private_is_sent_to_a_public_repository(hub: Hub, run: Path) -> None:
    repository = hub.add("me/digits", {})
    with pytest.raises(ValueError, match="me/digits is public already"):
        push(run, "me/digits", private=True)
    assert len(repository.commits) == 1
    hub.add("me/secret", {}, private=True)
    push(run, "me/secret")
    assert hub.repositories["me/secret"].private


MALFORMED = ["", "digits", "a/b/c", "a//b", "../b", "a/..", "a--b/c", "a/b.git", "-a/b", "a/b\n"]
MALFORMED += ["me/x y", f"me/{'x' * 97}", "mé/x", "me/<b>", "me/x?y", "https://hub/me"]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_name_is_refused(hub: Hub, run: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a model on the Hub") as raised:
        fetch(name, "model.safetensors")
    assert one_sentence(raised.value)
    with pytest.raises(ValueError, match="is no name of a model on the Hub"):
        push(run, name)
    assert hub.asked == []


@pytest.mark.parametrize(
    "revision", ["", "..", "../main", "a b", "/main", "main/", "-x", "a//b", "a\n"]
)
def test_a_malformed_revision_is_refused(hub: Hub, run: Path, revision: str) -> None:
    with pytest.raises(ValueError, match="is no name of a branch, a tag or a commit"):
        find_weights(f"hf:me/digits@{revision}")
    with pytest.raises(ValueError, match="is no name of a branch, a tag or a commit"):
        push(run, "me/digits", revision=revision)
    assert hub.asked == []


def test_a_push_that_is_refused(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"you/digits was not sent: .*403.*`hf auth login`"
    ) as raised:
        push(run, "you/digits")
    assert one_sentence(raised.value)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(ValueError, match="does not accept the token: log in again") as raised:
        push(run, "me/digits")
    assert one_sentence(raised.value)
    asked = len(hub.asked)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="nobody is logged in to the Hub: run `hf auth login`"):
        push(run, "me/digits")
    assert len(hub.asked) == asked
    assert hub.repositories == {}


@pytest.mark.parametrize("license", ["MIT License", "", "a\nb", "../x"])
def test_a_licence_is_an_identifier(hub: Hub, run: Path, license: str) -> None:
    with pytest.raises(ValueError, match="it is an identifier of the Hub's"):
        push(run, "me/digits", license=license)


def test_without_the_library_it_is_said_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ValueError, match=r"hf:me/digits needs a library: pip install 'mezzotint\[hub\]'"
    ):
        find_weights("hf:me/digits")
    with pytest.raises(ValueError, match=r"needs a library: pip install 'mezzotint\[hub\]'"):
        push(run, "me/digits", dry_run=True)


def test_an_evaluation_of_other_weights_is_refused(hub: Hub, run: Path, tmp_path: Path) -> None:
    random_model_file(run / "model.safetensors", size=12)
    with pytest.raises(ValueError, match="measures other weights than"):
        push(run, "me/digits", dry_run=True)
    path = random_model_file(tmp_path / "other.safetensors", tiny_recipe(name="other"))
    with pytest.raises(ValueError, match="measures other weights than"):
        push(path, "me/digits", evaluation=run / "evaluation.json", dry_run=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"results": {}, "protocol": []}',
        '{"results": {"kid": {"mean": "x"}}}',
        "[" * 9999,
    ],
)
def test_a_file_that_is_no_evaluation_is_refused(hub: Hub, run: Path, text: str) -> None:
    (run / "evaluation.json").write_text(text)
    with pytest.raises(ValueError, match=r"is no evaluation.json of `mezzotint evaluate`"):
        push(run, "me/digits", dry_run=True)


# --- In a process of its own


def environment(hub: Hub, folder: Path) -> dict[str, str | None]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf-home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
    }


WITHOUT = """
import sys
from mezzotint.export.hub import push
from mezzotint.loading import find_weights

sys.stderr = None
print(push(sys.argv[1], "me/digits").url)
print(find_weights("hf:me/digits"))
"""


@pytest.mark.slow
def test_no_standard_error_is_needed(hub: Hub, run: Path, tmp_path: Path) -> None:
    from machines import environment as machine
    from machines import run as process

    settings = machine(tmp_path, **environment(hub, tmp_path))
    ran = process([sys.executable, "-c", WITHOUT, str(run)], tmp_path, env=settings)
    assert ran.returncode == 0, ran.stderr
    url, path = ran.stdout.splitlines()
    assert url.startswith(f"{hub.url}/me/digits/commit/")
    assert Path(path).read_bytes() == (run / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_command_line_in_a_process_of_its_own(hub: Hub, run: Path, tmp_path: Path) -> None:
    settings = environment(hub, tmp_path)
    ran = mezzo("push", str(run), "me/digits", folder=tmp_path, env=settings)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith(f"{hub.url}/me/digits/commit/")
    ran = mezzo("info", "hf:me/nothing", folder=tmp_path, env=settings)
    assert ran.returncode == 1
    assert ran.stderr.startswith("mezzotint: hf:me/nothing is not on the Hub")
    assert len(ran.stderr.splitlines()) == 1


# --- The page

SPEC = ImageSpec((8, 8), 1, tuple("0123456789"))


def metadata(card: str) -> dict[str, Any]:
    """The YAML before a page, as the Hub finds it."""
    matched = re.search(
        r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))", card
    )
    assert matched
    found: dict[str, Any] = yaml.safe_load(matched.group(2))
    return found


def test_the_index_holds_the_values_of_the_evaluation(run: Path) -> None:
    document = evaluation_of(run / "model.safetensors", tiny_recipe())
    card = model_card(tiny_recipe(), SPEC, document, repo="me/digits", license="mit")
    front = metadata(card)
    assert front["library_name"] == "mezzotint"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert front["license"] == "mit"
    assert front["datasets"] == ["ylecun/mnist"]
    assert "class-conditional" in front["tags"]
    (model,) = front["model-index"]
    assert model["name"] == "digits"
    (result,) = model["results"]
    assert result["task"]["type"] == "unconditional-image-generation"
    assert result["dataset"] == {"type": "ylecun/mnist", "name": "mnist", "split": "test"}
    values = {metric["type"]: (metric["name"], metric["value"]) for metric in result["metrics"]}
    assert values == {
        "digit_fid": ("digit-FID", 0.125),
        "denoising_loss": ("held-out denoising loss", 0.75),
    }
    assert huggingface_hub.ModelCard(card).data.to_dict() == front


def test_the_page_has_floors_protocol_and_the_way_to_do_it_again(run: Path) -> None:
    document = evaluation_of(run / "model.safetensors", tiny_recipe())
    card = model_card(tiny_recipe(), SPEC, document, repo="me/digits")
    assert "| digit-FID | 0.125 | 0.010 | 0.062 |" in card
    assert "| KID x 1000 | nan |  |  |" in card
    assert "200 images, seeds 0 1, sampler heun, steps 2, guidance 1.5" in card
    assert "features digits-plain, SHA-256 5a5a5a5a5a5a" in card
    assert "mezzotint sample hf:me/digits 0 --count 16" in card
    again = "mezzotint evaluate hf:me/digits --count 200 --seeds 2 --steps 2 --no-clip\n"
    assert again in card
    assert "license" not in metadata(card)


def test_the_snippet_of_the_page_runs(hub: Hub, run: Path) -> None:
    card = push(run, "me/digits").card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["images"].shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("data", "known"),
    [
        ("mnist", ["ylecun/mnist"]),
        ("fashion-mnist", ["zalando-datasets/fashion_mnist"]),
        ("cifar10", ["uoft-cs/cifar10"]),
        ("cifar100", ["uoft-cs/cifar100"]),
        ("hf:you/cats:small", ["you/cats"]),
        ("kmnist", None),
        ("folder:cats", None),
    ],
)
def test_data_sets_have_their_names_on_the_hub(data: str, known: list[str] | None) -> None:
    card = model_card(tiny_recipe(data={"name": data}), SPEC, None, repo="me/x")
    assert metadata(card).get("datasets") == known
    assert ("Not in this repository: the images" in card) == (data == "folder:cats")


def test_a_model_without_classes_and_measures() -> None:
    card = model_card(tiny_recipe(), ImageSpec((8, 12), 3, ()), None, repo="me/x")
    front = metadata(card)
    assert "unconditional" in front["tags"]
    assert "model-index" not in front
    assert "An unconditional" not in card
    assert "unconditional diffusion model of colour images of 8x12 pixels" in card
    assert "model.sample(count=2, seed=0)" in card
    assert "None were shared" in card


ODD = [
    "---",
    "\n---\nlicense: stolen\n---\n",
    "a\r\n---\r\nb",
    "'\"",
    '"\n',
    "<script>alert(1)</script>",
    "```\n# no longer code",
    "``````",
    "| a | b |",
    "[x](javascript:y)",
    "![x](http://x/y.png)",
    "# heading",
    "{{ jinja }} {% x %}",
    "*b* _i_ `c` ~s~ $m$ &lt;",
    "\x00\x1b[31m\x85\u2028\u2029",
    "!!python/object/apply:os.system ['x']",
    "-rf",
    "; rm x",
    "&anchor *alias",
    "\N{PENGUIN} čáp",
    "\ud800",
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_names_break_neither_yaml_nor_markdown(odd: str, run: Path) -> None:
    """The page has the same metadata, headings and blocks as with ordinary names."""
    in_recipe = odd.encode("utf-8", "replace").decode()  # recipes are UTF-8
    odd_network = {"network": odd, "sha256": "5a" * 32}

    def page(name: str, network: dict[str, str], recipe_name: str) -> str:
        recipe = few_step_recipe(
            name=recipe_name,
            data={"name": f"folder:{recipe_name}"},
            objective={"teacher": recipe_name},
        )
        document = evaluation_of(
            run / "model.safetensors", recipe, features=network, hardware=name, date=name
        )
        document["results"][f"own {name}"] = {"mean": 1.0, "std": None, "floor": None}
        return model_card(
            recipe, ImageSpec((8, 8), 1, (name, "cat")), document, repo="me/x", facts=[name]
        )

    card = page(odd, odd_network, in_recipe)
    plain = page("bird", {"network": "bird", "sha256": "5a" * 32}, "bird")
    card.encode()
    assert headings(card) == headings(plain)
    front = metadata(card)
    assert front.keys() == metadata(plain).keys()
    (model,) = front["model-index"]
    metrics = model["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [0.125, 0.75, 1.0]
    assert card.count("\n") == plain.count("\n")
    assert "\r" not in card
    prose = outside_of_code(card)
    assert "<" not in re.sub(r"\\.", "", prose)
    assert not re.search(r"(?<!\\)\]\((?!samples\.png|https://github\.com/mezzotint)", prose)
    rows = [line for line in prose.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert from_toml(re.findall(r"^(`{3,})toml\n(.*?)^\1$", card, re.DOTALL | re.MULTILINE)[0][1])


def outside_of_code(card: str) -> str:
    body = card.split("\n---\n", 1)[1]
    return re.sub(r"^(`{3,})\w*\n.*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)


def headings(card: str) -> list[str]:
    return [line for line in outside_of_code(card).splitlines() if line.startswith("#")]


def test_what_is_shared_of_odd_classes_is_loaded_again(hub: Hub, tmp_path: Path) -> None:
    spec = ImageSpec((8, 8), 1, tuple(name for name in ODD if name != "\ud800"))
    recipe = tiny_recipe(name="\n---\n")
    path = tmp_path / "odd.safetensors"
    weights.write(path, random_weights(recipe, spec), recipe, spec)
    push(path, "me/odd")
    assert mezzotint.load("hf:me/odd", "cpu").spec == spec
    assert hub.repositories["me/odd"].titles[-1] == "---, by mezzotint 0.1.0"
