"""Evaluation end to end, on sets whose answers are known."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common import tiny_data, tiny_recipe
from mezzotint.cli import main
from mezzotint.data import ImageData, ImageSpec
from mezzotint.data.idx_sets import MNIST as mnist
from mezzotint.data.samples import Samples, read_images
from mezzotint.evaluation import document, matching
from mezzotint.evaluation import evaluate as evaluation
from mezzotint.evaluation.features import SHIPPED, extract_features, load_classifier
from mezzotint.evaluation.inception import inception_fid
from mezzotint.evaluation.measure import Reference, make_reference, measure
from mezzotint.loading import load
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.schema import Data
from mezzotint.registry import MEASURES
from mezzotint.utils.assets import shipped
from mezzotint.utils.files import sha256
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
    seen = extract_features(load_classifier(name), test.images)
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
        evaluation.evaluate_model(model, small, count=140, seeds=[3], bits=4, steps=2)
        for _ in range(2)
    ]
    documents = [json.loads(result.to_json()) for result in results]
    assert documents[0]["results"] == documents[1]["results"]
    assert set(documents[0]["results"]) <= set(MEASURES)
    assert {"denoising_loss", "bits_vlb", "bits_ode"} <= set(documents[0]["results"])
    protocol = documents[0]["protocol"]
    assert protocol["images_per_class"] == [14] * 10
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
        evaluation.evaluate_images(Samples(images, None), small, "test")


def test_a_damaged_or_foreign_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no classifier"):
        load_classifier(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is no classifier"):
        load_classifier(tmp_path / "other.safetensors")
    content = (tmp_path / "other.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_classifier(tmp_path / "cut.safetensors")


def test_network_evaluations_count_guidance_where_it_acts(tmp_path: Path) -> None:
    model = load(random_model_file(tmp_path / "model.safetensors", tiny_recipe()))
    count = evaluation.evaluations
    assert count(model, sampler="ddim", steps=4, guidance=1.0) == 4
    assert count(model, sampler="ddim", steps=4, guidance=2.0) == 8
    assert count(model, sampler="heun", steps=4, guidance=2.0) == 14
    # Times 1, 0.75, 0.5, 0.25: two of them lie in (0.3, 0.8].
    assert count(model, sampler="ddim", steps=4, guidance=2.0, interval=(0.3, 0.8)) == 6


def test_too_few_images_are_refused_before_any_is_drawn(small: Reference, tmp_path: Path) -> None:
    model = load(random_model_file(tmp_path / "model.safetensors", tiny_recipe()))
    with pytest.raises(ValueError, match="at least 100 images, not 0"):
        evaluation.evaluate_model(model, small, count=0)


def test_a_model_of_other_classes_is_not_asked_about_the_test_images(
    small: Reference, tmp_path: Path
) -> None:
    recipe = tiny_recipe(sampling={"guidance": 1.0})
    model = load(random_model_file(tmp_path / "model.safetensors", recipe, classes=0))
    assert matching.test_images_of(model, small) is None
    found = evaluation.evaluate_model(model, small, count=140, steps=1, bits=4)
    assert not {"denoising_loss", "bits_vlb", "bits_ode", "accuracy"} & set(found.values)
    assert "digit_fid" in found.values
    assert "other classes" in found.protocol["left_out"]
    with pytest.raises(RecipeError, match="without classes"):
        evaluation.classify(model, small.test)


def test_classes_in_another_order_are_matched_by_name(small: Reference, tmp_path: Path) -> None:
    """Of data and a classifier, and of data and a model."""
    backwards = tuple("9876543210")
    turned = small.judge.for_classes(backwards)
    assert turned is not None
    images = small.test.images[:20]
    logits = extract_features(small.judge, images).logits
    assert torch.equal(extract_features(turned, images).logits, logits.flip(1))
    assert small.judge.for_classes(tuple("abcdefghij")) is None
    model = load(random_model_file(tmp_path / "model.safetensors", tiny_recipe()))
    other = replace(model, spec=replace(model.spec, classes=backwards))
    labels = torch.tensor([0, 3, 9])
    translated = matching.labels_by_name(labels, other, small)
    assert translated is not None
    assert translated.tolist() == [9, 6, 0]
    test = matching.test_images_of(other, small)
    assert test is not None
    assert torch.equal(test.labels, 9 - small.test.labels)
    assert test.classes == backwards


def test_test_images_are_shown_to_a_model_as_it_knows_images(
    small: Reference, tmp_path: Path
) -> None:
    recipe = tiny_recipe(data={"size": 12, "fit": "pad", "background": 9})
    path = random_model_file(tmp_path / "model.safetensors", recipe, channels=3, size=12)
    found = matching.test_images_of(load(path), small)
    assert found is not None
    assert found.spec == ImageSpec((12, 12), 3, tuple("0123456789"))
    expected = small.test.in_channels(3).fitted((12, 12), "pad", 9)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, small.test.labels)


def test_the_held_out_loss_is_that_of_the_recipes_own_denoising(
    small: Reference, tmp_path: Path
) -> None:
    """Whatever else a model was trained for, its loss is one of denoising."""
    rows, losses = torch.arange(600), {}
    for name, objective in {
        "l2": {},
        "l1": {"loss": "l1", "label_dropout": 1.0, "times": "uniform"},
        "refined": {"name": "refinement", "reference": "digits"},
    }.items():
        recipe = tiny_recipe(data={"size": 8}, objective=objective)
        model = load(random_model_file(tmp_path / f"{name}.safetensors", recipe))
        test = matching.test_images_of(model, small)
        assert test is not None
        losses[name] = evaluation.held_out_loss(model, test, rows, 3)
        assert losses[name] == evaluation.held_out_loss(model, test, rows, 3)
    assert losses["refined"] == losses["l2"]
    assert losses["l1"] != losses["l2"]


def test_a_judge_of_other_classes_is_refused_by_name(tmp_path: Path) -> None:
    made = tiny_data(40, classes=3, size=28)
    path = tmp_path / "three.npz"
    np.savez(path, images=made.images.numpy(), labels=made.labels.numpy())
    with pytest.raises(RecipeError, match=r"digits-plain tells 0, 1, .*--judge and --witness"):
        evaluation.reference_of(Data(name=f"npz:{path}"))


def test_pictures_of_two_sizes_or_broken_ones_are_refused_by_name(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("L", (5, 4)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"one size.*b\.png"):
        read_images(tmp_path, ())
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"b\.png is a broken picture"):
        read_images(tmp_path, ())


def test_inception_fid_says_how_to_get_it_and_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(2048, 3, 4, 4, dtype=torch.uint8)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ModuleNotFoundError, match=r"mezzotint\[fid\]"):
        inception_fid(images, images)
    with pytest.raises(ValueError, match="RGB"):
        inception_fid(images[:, :1], images)
    with pytest.raises(ValueError, match="at least 2048"):
        inception_fid(images[:9], images)
    asked = {}

    def calculate_metrics(**options: object) -> dict[str, float]:
        asked.update(options)
        return {"frechet_inception_distance": 3.5}

    fake = SimpleNamespace(calculate_metrics=calculate_metrics, __version__="0")
    monkeypatch.setitem(sys.modules, "torch_fidelity", fake)
    found = inception_fid(images, images)
    assert found["inception_fid"] == 3.5
    assert "inception" in found["features"]
    assert asked["fid"] is True
    assert len(asked["input1"]) == 2048  # type: ignore[arg-type]


def test_the_command_measures_images_of_others_and_refuses_sampling_options(
    tmp_path: Path,
    small: Reference,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(evaluation, "reference_of", lambda *chosen: small)
    images, labels = small.train.images[:200, 0].numpy(), small.train.labels[:200].numpy()
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    out = tmp_path / "out"
    for refused in (
        ["--steps", "3"],
        ["--seeds", "2"],
        ["--sweep", "steps=1,2"],
        ["--count", "10000"],
        ["--bits", "4"],
        ["--classify", "4"],
    ):
        with pytest.raises(SystemExit, match=rf"a\.npz holds images: {refused[0]} is for models"):
            main(["evaluate", str(tmp_path / "a.npz"), "--out", str(out), *refused])
    assert not out.exists()
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(tmp_path / "a.npz"), "--out", str(out)])
    assert stopped.value.code in (0, None)
    assert "conditional accuracy" in capsys.readouterr().out
    found = json.loads((out / "evaluation.json").read_text())
    assert found["results"]["accuracy"]["mean"] > 0.97
    assert sorted(p.name for p in out.iterdir()) == [
        f"evaluation.{k}" for k in ("json", "md", "png")
    ]


@pytest.mark.parametrize("option", ["--guidance 0", "--steps 0", "--no-clip"])
def test_sampling_options_that_are_0_or_off_are_refused_for_images_too(
    option: str, tmp_path: Path, small: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "reference_of", lambda *chosen: small)
    np.savez(tmp_path / "a.npz", images=small.train.images[:200, 0].numpy())
    words = [str(tmp_path / "a.npz"), "--out", str(tmp_path / "out"), *option.split()]
    with pytest.raises(SystemExit, match=r"a\.npz holds images: .* for models"):
        main(["evaluate", *words])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_uses_a_shipped_model_as_a_classifier_too(
    tmp_path: Path,
    small: Reference,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(evaluation, "reference_of", lambda *chosen: small)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    words = ["evaluate", "digits", "--out", str(out)]
    with pytest.raises(SystemExit, match="--against goes with images"):
        main([*words, "--against", "a.npz"])
    with pytest.raises(SystemExit, match=r"there is no model at digit:.*Did you mean 'digits'"):
        main(["evaluate", "digit"])
    assert not out.exists()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--count", "140", "--steps", "2", "--classify", "20"])
    assert stopped.value.code in (0, None)
    found = document.read(out / "evaluation.json")
    assert found["protocol"]["data"] == "mnist"
    assert found["protocol"]["weights"]["sha256"] == sha256(shipped("models")["digits"])
    assert document.markdown(found) == (out / "evaluation.md").read_text(encoding="utf-8")
    found = json.loads((out / "evaluation.json").read_text())
    assert found["protocol"]["source"] == "digits"
    assert (found["protocol"]["images"], found["protocol"]["sampling"]["steps"]) == (140, 2)
    assert found["results"]["as_classifier"]["mean"] > 0.5
    assert "denoising_loss" in found["results"]
    assert "digits: 140 images" in capsys.readouterr().out


def test_as_many_images_are_drawn_as_asked_for_or_ten_thousand(
    tmp_path: Path, small: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "reference_of", lambda *chosen: small)
    counts: list[int] = []

    def refuse(*_: object, count: int, **__: object) -> None:
        counts.append(count)
        raise ValueError("enough is known")

    monkeypatch.setattr(evaluation, "evaluate_model", refuse)
    path = random_model_file(tmp_path / "model.safetensors", tiny_recipe())
    for words in ([], ["--count", "300"], ["--sweep", "guidance=1,2"]):
        with pytest.raises(SystemExit, match="enough is known"):
            main(["evaluate", str(path), "--out", str(tmp_path / "out"), *words])
    assert counts == [10_000, 300, 10_000]
