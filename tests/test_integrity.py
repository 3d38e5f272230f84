"""Damaged files are detected or passed over, and hostile ones run nothing: a little of `soak.integrity`."""

import pickle
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from common import as_if_killed, tiny_data, tiny_recipe
from hostile import PAYLOADS, WAYS, offer
from mezzotint import weights
from mezzotint.runs.initial import SAMPLES, find_initial
from mezzotint.runs.train import train
from mezzotint.utils.files import sha256
from models import random_model_file
from soak.damage import Subject, subjects
from soak.integrity import OUTCOMES, attack_file
from soak.report import Tally

SUBJECTS = [
    *[
        f"checkpoint, {name}"
        for name in ("model.safetensors", "state.safetensors", "manifest.json")
    ],
    "run, model.safetensors",
    *["decoded pictures, images.npy", "decoded pictures, built.json"],
    *["shipped model, digits", "shipped classifier", "page, page.js"],
]


def flip(path: Path, position: int) -> None:
    """Flip the lowest bit of a byte."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def every_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Subject]]:
    with subjects(tmp_path_factory.mktemp("files")) as found:
        yield {subject.name: subject for subject in found}


def test_the_list_of_files_is_whole(every_subject: dict[str, Subject]) -> None:
    assert list(every_subject) == SUBJECTS


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_flipped_bit_or_a_cut_is_never_read_in_silence(
    every_subject: dict[str, Subject], name: str
) -> None:
    tally = Tally(OUTCOMES)
    attack_file(every_subject[name], 20, random.Random(0), tally)
    assert not tally.failures
    assert tally.total == 24


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "manifest.json"])
def test_a_run_goes_on_from_the_older_checkpoint_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": tiny_data())
    recipe = tiny_recipe(training={"steps": 6, "save_every": 2, "keep": 3})
    whole = train(recipe, tmp_path / "whole", log=lambda text: None)
    rest = as_if_killed(whole, tmp_path / "rest")
    older, newest = sorted((rest / "checkpoints").iterdir())
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    flip(newest / name, (newest / name).stat().st_size // 2)
    train(resume=rest, log=lambda text: None)
    assert f"skipping {newest}: it is damaged" in capsys.readouterr().err
    one, two = ((folder / "model.safetensors").read_bytes() for folder in (whole, rest))
    assert one == two
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before


def test_a_pickle_in_the_place_of_a_state_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest vouches for it, since a stranger wrote both."""
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": tiny_data())
    recipe = tiny_recipe(training={"steps": 2, "save_every": 1, "keep": 2})
    whole = train(recipe, tmp_path / "whole", log=lambda text: None)
    run = as_if_killed(whole, tmp_path / "run")
    (checkpoint,) = (run / "checkpoints").iterdir()
    state, manifest = checkpoint / "state.safetensors", checkpoint / "manifest.json"
    before = sha256(state)
    state.write_bytes(PAYLOADS["os.system"](tmp_path / "it-ran"))
    manifest.write_text(manifest.read_text().replace(before, sha256(state)))
    with pytest.raises(ValueError, match=r"state\.safetensors is not a whole safetensors file"):
        train(resume=run, log=lambda text: None)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("payload", ["os.system", "array of objects"])
def test_a_pickle_in_the_place_of_samples_is_refused_by_name(payload: str, tmp_path: Path) -> None:
    reference = random_model_file(tmp_path / "reference.safetensors")
    objective = {"name": "refinement", "reference": str(reference), "images": 20}
    (tmp_path / SAMPLES).write_bytes(PAYLOADS[payload](tmp_path / "it-ran"))
    with pytest.raises(ValueError, match=SAMPLES):
        find_initial(tiny_recipe(objective=objective), tiny_data().spec, tmp_path)
    assert not (tmp_path / "it-ran").exists()


# --- The hashes of a weights file.


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_model_file(tmp_path / "model.safetensors")


def test_a_header_is_read_without_the_tensors_and_vouches_for_itself(model: Path) -> None:
    said = weights.read_header(model)
    flip(model, -1)
    assert weights.read_header(model) == said
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .* SHA-256"):
        weights.read(model)
    flip(model, -1)
    flip(model, model.read_bytes().index(b"seed = 0") + 7)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .* SHA-256"):
        weights.read_header(model)


@pytest.mark.parametrize("key", [weights.TENSORS_HASH, weights.HEADER_HASH])
def test_a_hash_whose_key_is_damaged_is_missed(model: Path, key: str) -> None:
    flip(model, model.read_bytes().index(key.encode()))
    with pytest.raises(ValueError, match="is damaged"):
        weights.read_header(model)


def test_files_without_hashes_are_read_and_stale_hashes_are_refused(model: Path) -> None:
    metadata, tensors = weights.read_file(model)
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, model, metadata)  # by another program, which keeps what it does not know
    with pytest.raises(ValueError, match="is damaged"):
        weights.read(model)
    for key in (weights.TENSORS_HASH, weights.HEADER_HASH):
        del metadata[key]
    save_file(changed, model, metadata)
    found, _, _ = weights.read(model)
    assert all(torch.equal(found[name], tensor) for name, tensor in changed.items())


# --- Pickles.


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_hostile_pickle_runs_where_it_is_unpickled(payload: str, tmp_path: Path) -> None:
    """Or their refusals would say nothing."""
    marker, file = tmp_path / "it-ran", tmp_path / "file"
    file.write_bytes(PAYLOADS[payload](marker))
    with suppress(Exception):  # what it makes may not be what the reader expects
        if payload.startswith("torch"):
            torch.load(file, weights_only=False)
        else:
            pickle.loads(file.read_bytes())
    assert marker.exists()


@pytest.mark.parametrize("way", WAYS)
def test_no_hostile_pickle_runs_where_a_file_is_read(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    faults = {}
    for number, payload in enumerate(PAYLOADS):
        folder = tmp_path / str(number)
        folder.mkdir()
        faults[payload] = offer(way, payload, folder)
    assert faults == dict.fromkeys(PAYLOADS)
