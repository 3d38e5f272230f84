"""Files that would run code, and what their refusals say: the second list, D72."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mezzotint
from common import tiny_data
from machines import in_process, rubbish, save_npz, small_measures


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


# --- D72: a refusal that tells people to drop their guard ----------------------------------------

ADVICE = [
    *["weights_only", "add_safe_globals", "safe_globals", "allow_pickle", "torch.load"],
    *["if you trust", "unsafely", "Unpickler", "pickle=", "docs.pytorch", "can still be loaded"],
]


class Evil:
    """Unpickled the ordinary way, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Call:
    """Unpickled the ordinary way, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch '{self.path}'",)


def hostile(kind: str, marker: Path) -> bytes:
    """A file of that kind that would make ``marker``."""
    buffer = io.BytesIO()
    match kind:
        case "torch":
            torch.save({"model": {"w": torch.zeros(2)}, "epoch": Evil(marker)}, buffer)
        case "torch, old":
            content = {"model": Evil(marker)}
            torch.save(content, buffer, _use_new_zipfile_serialization=False)
        case "pickle":
            pickle.dump(Call(marker), buffer)
        case "pickle, protocol 0":
            pickle.dump(Call(marker), buffer, protocol=0)
        case "pickle, protocol 5":
            pickle.dump({"model": Call(marker)}, buffer, protocol=5)
        case "module":
            torch.save({"model": torch.nn.Linear(2, 2)}, buffer)
    return buffer.getvalue()


def refused(said: str | int, name: str) -> None:
    """In a sentence of ours that names the file, and tells nobody how to open it all the same."""
    assert isinstance(said, str)
    assert name in said
    assert said.count("\n") == 0
    assert len(said) <= 400
    assert not [word for word in ADVICE if word.lower() in said.lower()], said


HOSTILE = ["torch", "torch, old", "pickle", "pickle, protocol 0", "pickle, protocol 5", "module"]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("verb", ["import", "info", "sample", "gif", "evaluate", "distill"])
def test_d72_a_file_with_code_is_refused_in_our_words(verb: str, kind: str, work: Path) -> None:
    (work / "saved_model.pth").write_bytes(hostile(kind, work / "it-ran"))
    said = in_process(verb, "saved_model.pth")
    refused(said, "saved_model.pth")
    if verb == "import":
        assert "code" in str(said) or "pickle" in str(said) or "tensors" in str(said)
    assert sorted(p.name for p in work.iterdir() if p.name != "cache") == ["saved_model.pth"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_d72_a_classifier_with_code_is_refused_in_our_words(kind: str, work: Path) -> None:
    flags = small_measures(work)
    (work / "judge.pth").write_bytes(hostile(kind, work / "it-ran"))
    save_npz(work / "drawn.npz", tiny_data(200))
    said = in_process("evaluate", "drawn.npz", *flags[:2], "--judge", "judge.pth")
    refused(said, "judge.pth")
    assert not (work / "it-ran").exists()


@pytest.mark.parametrize("array", ["images", "labels", "classes"])
@pytest.mark.parametrize("verb", ["evaluate", "train", "doctor"])
def test_d72_arrays_of_objects_are_refused_in_our_words(verb: str, array: str, work: Path) -> None:
    made = tiny_data(200)
    arrays: dict[str, Any] = {"images": made.images.numpy(), "labels": made.labels.numpy()}
    arrays["classes"] = np.array(made.classes)
    count = len(arrays[array])
    arrays[array] = np.array([Evil(work / "it-ran")] * count, object)
    np.savez(work / "objects.npz", **arrays)
    flags = small_measures(work)
    words = {
        "evaluate": ["evaluate", "objects.npz", *flags],
        "train": ["train", "digits", "--data.name", "npz:objects.npz", "--out", "run"],
        "doctor": ["doctor", "npz:objects.npz"],
    }
    if verb == "evaluate" and array == "classes":
        words["evaluate"] = ["evaluate", "objects.npz", "--data", "npz:objects.npz", *flags[2:]]
    refused(in_process(*words[verb]), "objects.npz")
    assert not (work / "it-ran").exists()
    assert not (work / "run").exists()
    assert not rubbish(work)


@pytest.mark.parametrize("verb", ["evaluate", "doctor"])
def test_d72_a_pickle_that_is_called_npz_is_refused_in_our_words(verb: str, work: Path) -> None:
    (work / "fake.npz").write_bytes(hostile("pickle", work / "it-ran"))
    flags = small_measures(work)
    words = {"evaluate": ["evaluate", "fake.npz", *flags], "doctor": ["doctor", "npz:fake.npz"]}
    refused(in_process(*words[verb]), "fake.npz")
    assert not (work / "it-ran").exists()


def test_d72_a_pickle_within_an_npz_is_refused_in_our_words(work: Path) -> None:
    with zipfile.ZipFile(work / "fake.npz", "w") as archive:
        for name in ("images.npy", "labels.npy"):
            archive.writestr(name, hostile("pickle", work / "it-ran"))
    refused(in_process("doctor", "npz:fake.npz"), "fake.npz")
    assert not (work / "it-ran").exists()


def test_d72_load_refuses_in_our_words_too(work: Path) -> None:
    (work / "saved_model.pth").write_bytes(hostile("torch", work / "it-ran"))
    with pytest.raises(ValueError, match=r"saved_model\.pth") as caught:
        mezzotint.load("saved_model.pth")
    refused(str(caught.value), "saved_model.pth")
    assert not (work / "it-ran").exists()
