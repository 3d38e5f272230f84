"""``mezzotint train-classifier``: from images of one's own to a judge, and the card that says how."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from common import tiny_data
from mezzotint.cli import main
from mezzotint.evaluation.augmentation import erase, jitter, mirror
from mezzotint.evaluation.features import extract_features, load_classifier
from mezzotint.utils.assets import shipped
from mezzotint.weights import read_file, save


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


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("plain", ["--width", "2", "--augmentation", "mirror", "--precision", "bf16"]),
        ("plain", ["--width", "2", "--augmentation", "erase"]),
        ("residual", ["--width", "3"]),
    ],
)
def test_a_judge_of_ones_own_and_the_command_that_makes_it_again(
    tmp_path: Path, data: str, kind: str, more: list[str]
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
        *more,
    )
    judge = load_classifier(out)
    assert judge.classes == ("0", "1")
    widths = {"plain": 2 * 128, "residual": 3 * 96}
    assert judge.network.head.in_features == widths[kind]
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


@pytest.mark.parametrize("width", [-1, 0, 2, 9, 10**30, "2", True, 1.0, None, [2]])
def test_a_file_that_claims_another_width_is_refused(tmp_path: Path, width: object) -> None:
    metadata, tensors = read_file(shipped("classifiers")["digits-plain"])
    card = json.loads(metadata["classifier"]) | {"width": width}
    path = tmp_path / "claims.safetensors"
    save(path, tensors, {"classifier": json.dumps(card)})
    with pytest.raises(ValueError, match=r"claims\.safetensors is a damaged classifier"):
        load_classifier(path)


def test_an_emulated_number_type_is_warned_of(
    tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mezzotint.utils.precision._cpu_multiplies_bf16", lambda: False)
    out = str(tmp_path / "judge.safetensors")
    run("train-classifier", out, "--data", data, "--epochs", "1", "--precision", "bf16")
    assert "bf16 is emulated here" in capsys.readouterr().err


@pytest.mark.parametrize("width", ["0", "-1", "9"])
def test_a_width_that_cannot_be_is_refused(tmp_path: Path, data: str, width: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(
            ["train-classifier", str(tmp_path / "x.safetensors"), "--data", data, "--width", width]
        )
    assert "width" in str(stopped.value.code)
    assert not (tmp_path / "x.safetensors").exists()


def test_mirrored_images_are_moved_by_whole_pixels() -> None:
    """Each is the original or its mirror image, moved by up to 2 pixels, with black from outside."""
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    augmented = mirror(images, torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), value=-1.0)
    kinds = set()
    for image, border in zip(augmented, padded, strict=True):
        candidates = {
            (flipped, down, right): torch.dist(
                image,
                (border.flip(2) if flipped else border)[:, down : down + 28, right : right + 28],
            )
            for flipped in (False, True)
            for down in range(5)
            for right in range(5)
        }
        nearest = min(candidates, key=lambda key: candidates[key])
        assert candidates[nearest] < 1e-3
        kinds.add(nearest)
    assert {flipped for flipped, *_ in kinds} == {False, True}
    assert {down for _, down, _ in kinds} == set(range(5))
    assert {right for *_, right in kinds} == set(range(5))


@pytest.mark.parametrize("size", [(28, 28), (20, 44)])
def test_half_of_the_images_have_a_rectangle_hidden(size: tuple[int, int]) -> None:
    """Of 2 to 25% of the area, up to a row and a column of rounding, the rest as mirrored and moved."""
    count = 2000
    images = torch.full((count, 2, *size), 0.5)
    augmented = erase(images, torch.Generator().manual_seed(3))
    plain = mirror(images, torch.Generator().manual_seed(3))
    hidden = (augmented != plain).any(1)
    rows, columns = hidden.any(2), hidden.any(1)
    assert torch.equal(hidden, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # no gaps
        assert (side.int().diff(dim=1).abs().sum(1) <= 2).all()
    share = hidden.double().mean((1, 2))
    erased = share > 0
    assert 0.45 < erased.double().mean() < 0.55
    assert share[erased].min() >= 0.01
    assert share[erased].max() <= 0.35
    assert share[erased].mean() == pytest.approx(0.135, abs=0.02)
    noise = augmented[hidden[:, None].expand_as(augmented)]
    assert noise.mean().abs() < 0.01
    assert noise.square().mean() == pytest.approx(1 / 3, abs=0.01)
    assert noise.abs().max() <= 1


def test_jitter_never_mirrors() -> None:
    images = torch.full((200, 1, 28, 28), -1.0)
    images[:, :, 4:24, 4:8] = 1  # a bar on the left
    moved = jitter(images, torch.Generator().manual_seed(0))
    assert (moved[..., :14].sum((1, 2, 3)) > moved[..., 14:].sum((1, 2, 3))).all()
