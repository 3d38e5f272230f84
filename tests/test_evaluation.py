"""Evaluation end to end, on sets whose answers are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common import tiny_recipe
from mezzotint import evaluation
from mezzotint.data import ImageData, mnist
from mezzotint.data.foreign import Images, read_images
from mezzotint.metrics.features import SHIPPED, load_classifier, look
from mezzotint.metrics.measure import MEASURES, Reference, make_reference, measure
from mezzotint.model import load
from models import random_model_file


def first(data: ImageData, count: int) -> ImageData:
    return ImageData(data.images[:count], data.labels[:count], data.classes)


@pytest.fixture(scope="module")
def small() -> Reference:
    """2,000 training and 1,000 test images stand for the whole, so that this is quick."""
    train, test = first(mnist("train"), 2000), first(mnist("test"), 1000)
    return make_reference(train, test, *(load_classifier(name) for name in SHIPPED.values()))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", SHIPPED.values())
def test_shipped_classifiers_are_right_on_the_test_split(name: str) -> None:
    test = mnist("test")
    seen = look(load_classifier(name), test.images)
    assert (seen.logits.argmax(1) == test.labels).float().mean() >= 0.995
    assert 64 <= seen.features.shape[1] <= 256


def test_real_digits_score_like_their_floor_and_shuffled_labels_like_chance(
    small: Reference,
) -> None:
    rows = torch.arange(1000, 2000)
    images, labels = small.train.images[rows], small.train.labels[rows]
    good = measure(images, labels, small).values
    assert good["accuracy"] > 0.98
    assert good["precision"] > 0.8
    assert good["nearest_minimum"] < 1.0  # they are training images
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert measure(images, labels[order], small).values["accuracy"] < 0.2
    noise = torch.randint(0, 256, (200, 1, 28, 28), dtype=torch.uint8)
    bad = measure(noise, None, small).values
    assert bad["digit_fid"] > 5 * good["digit_fid"]
    assert bad["precision"] < 0.1
    assert "accuracy" not in bad


def test_evaluating_twice_with_one_seed_gives_the_same_numbers(
    small: Reference, tmp_path: Path
) -> None:
    recipe = tiny_recipe(data={"size": 8})
    model = load(random_model_file(tmp_path / "model.safetensors", recipe))
    results = [
        evaluation.evaluate_model(model, small, count=120, seeds=[3], bits=4, steps=2)
        for _ in range(2)
    ]
    documents = [json.loads(result.to_json()) for result in results]
    assert documents[0]["results"] == documents[1]["results"]
    assert set(documents[0]["results"]) <= set(MEASURES)
    protocol = documents[0]["protocol"]
    assert protocol["images_per_class"] == [12] * 10
    assert protocol["seeds"] == [3]
    assert protocol["sampling"]["steps"] == 2
    assert len(protocol["features"]["sha256"]) == 64


def test_images_of_others_come_as_npz_or_folders(tmp_path: Path) -> None:
    from PIL import Image

    test = first(mnist("test"), 30)
    np.savez(tmp_path / "a.npz", images=test.images[:, 0].numpy(), labels=test.labels.numpy())
    found = read_images(tmp_path / "a.npz", test.classes)
    assert torch.equal(found.images, test.images)
    assert found.labels is not None
    assert torch.equal(found.labels, test.labels)
    for k, (image, label) in enumerate(zip(test.images, test.labels.tolist(), strict=True)):
        folder = tmp_path / "pictures" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{k}.png")
    pictures = read_images(tmp_path / "pictures", test.classes)
    assert pictures.labels is not None
    assert torch.equal(pictures.labels.sort().values, test.labels.sort().values)
    assert pictures.images.sum() == test.images.sum()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((9, 4, 4), np.uint8)}, "no array 'images'"),
        ({"images": np.zeros((9, 4, 4), np.float32)}, "uint8"),
        ({"images": np.zeros((9, 4, 4), np.uint8), "labels": np.full(9, 11)}, "label 11"),
    ],
)
def test_an_npz_that_is_not_images_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path / "bad.npz", tuple("0123456789"))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(99, 1, 28, 28, dtype=torch.uint8), "at least 100 images, not 99"),
        (torch.zeros(100, 3, 28, 28, dtype=torch.uint8), "3 channels"),
        (torch.zeros(100, 1, 28, 28), "uint8"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    images: torch.Tensor, message: str, small: Reference
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluation.evaluate_images(Images(images, None), small, "test")


def test_a_damaged_or_foreign_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no classifier"):
        load_classifier(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is no classifier"):
        load_classifier(tmp_path / "other.safetensors")
