"""``mezzotint train-classifier``: from images of one's own to a judge, and the card that says how."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from common import tiny_data
from mezzotint.cli import main
from mezzotint.evaluation.features import extract_features, load_classifier


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code in (0, None), stopped.value


@pytest.fixture
def data(tmp_path: Path) -> str:
    made = tiny_data(80, classes=2)
    images = (
        made.images.numpy() // 4 + 190 * made.labels.numpy().astype(np.uint8)[:, None, None, None]
    )
    np.savez(tmp_path / "tiny.npz", images=images, labels=made.labels.numpy())
    return f"npz:{tmp_path / 'tiny.npz'}"


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_judge_of_ones_own_and_the_command_that_makes_it_again(
    tmp_path: Path, data: str, kind: str
) -> None:
    out = tmp_path / "judge.safetensors"
    run(
        "train-classifier",
        str(out),
        "--kind",
        kind,
        "--data",
        data,
        "--size",
        "16",
        "--epochs",
        "2",
    )
    judge = load_classifier(out)
    assert judge.classes == ("0", "1")
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    assert extract_features(judge, images).logits.shape == (2, 2)
    card = out.with_suffix(".md").read_text()
    assert judge.sha256 in card
    found = re.search(r"again: `mezzotint (.*)`", card)
    assert found is not None
    again = tmp_path / "again"
    again.mkdir()
    words = shlex.split(found[1])
    run(words[0], str(again / words[1]), *words[2:])
    assert load_classifier(again / "judge.safetensors").sha256 == judge.sha256


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path, data: str) -> None:
    out = tmp_path / "judge.safetensors"
    out.write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["train-classifier", str(out), "--data", data])
    assert "must be a new" in str(stopped.value.code)
    assert out.read_text() == "mine"
