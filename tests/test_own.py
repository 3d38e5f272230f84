"""Folders of pictures of one's own: classes, splits, frames; and training on them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_recipe
from mezzotint import build
from mezzotint.data import Frame, ImageData, open_data
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.schema import Data, Recipe
from mezzotint.runs.train import make_trainer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a test's pictures lie."""
    return tmp_path / "pictures"


def draw(path: Path, level: int, mode: str = "L", size: tuple[int, int] = (8, 8)) -> Path:
    """A picture of one grey level throughout; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level, level, 0)).save(path)
    return path


def classes_of(root: Path, **counts: int) -> Path:
    """A folder for each class; the k-th picture of the n-th class has the level 100 n + k."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for k in range(count):
            draw(root / name / f"{k:03}.png", 100 * number + k)
    return root


def levels(data: ImageData) -> list[int]:
    """Each image's level, if it is one throughout."""
    flat = data.images[:, 0].flatten(1)
    assert (flat == flat[:, :1]).all()
    return flat[:, 0].tolist()


def folder(path: Path, split: Any = "train", broken: Any = "refuse", **frame: Any) -> ImageData:
    return open_data(f"folder:{path}", split, frame=Frame(**frame), broken=broken)


# --- Folders.


def test_folders_are_classes(root: Path) -> None:
    (root / "test").mkdir(parents=True)
    data = folder(classes_of(root / "train", apple=20, pear=10).parent)
    assert data.classes == ("apple", "pear")
    assert data.counts() == {"apple": 20, "pear": 10}
    assert data.images.shape == (30, 1, 8, 8)
    assert data.labels.tolist() == [level // 100 for level in levels(data)]


def test_pictures_alone_have_no_classes(root: Path) -> None:
    for k in range(20):
        draw(root / f"{k:02}.png", k)
    (root / "readme.txt").write_text("no picture")
    (root / "._00.png").write_text("what some systems leave behind")
    data = folder(root)
    total = len(data) + len(folder(root, "test"))
    assert (total, data.classes, data.labels.unique().tolist()) == (20, (), [0])


def test_pictures_may_lie_deeper_within_a_class(root: Path) -> None:
    draw(root / "train" / "apple" / "red" / "a.png", 1)
    draw(root / "train" / "apple" / "b.PNG", 2)
    draw(root / "train" / "pear" / "c.jpg", 103)
    (root / "test").mkdir()
    data = folder(root)
    assert levels(data) == [2, 1, 103]
    assert data.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("share", [(100, 100), (90, 43), (100, 10)], ids=str)
def test_about_one_picture_in_ten_is_kept_for_testing(root: Path, share: tuple[int, int]) -> None:
    classes_of(root, apple=share[0], pear=share[1])
    train, test = folder(root, "train"), folder(root, "test")
    assert 0.03 * sum(share) < len(test) < 0.17 * sum(share)
    assert not set(levels(train)) & set(levels(test))
    assert len(train) + len(test) == sum(share)
    again = folder(root, "test")
    assert levels(again) == levels(test)
    for data in (train, test):
        assert data.labels.tolist() == [level // 100 for level in levels(data)]


def test_too_few_pictures_to_test_with_are_said_to_be(root: Path) -> None:
    classes_of(root / "train", apple=9, pear=3)
    (root / "test").mkdir()
    assert len(folder(root)) == 12
    for frame in ({}, {"size": (8, 8), "channels": 1}):
        with pytest.raises(ValueError, match=r"pictures: no picture is left for testing"):
            folder(root, "test", **frame)


def test_train_and_test_folders_are_the_splits(root: Path) -> None:
    classes_of(root / "train", apple=3, pear=2)
    classes_of(root / "test", pear=4)
    train, test = folder(root, "train"), folder(root, "test")
    assert train.counts() == {"apple": 3, "pear": 2}
    assert test.counts() == {"apple": 0, "pear": 4}  # numbered as in training


def test_a_class_only_in_the_test_folder_is_refused_by_name(root: Path) -> None:
    classes_of(root / "train", apple=3)
    classes_of(root / "test", apple=1, plum=1)
    with pytest.raises(ValueError, match="plum is no class of the training images: apple"):
        folder(root, "test")


@pytest.mark.parametrize("labelled", ["train", "test"])
def test_splits_with_and_without_classes_do_not_go_together(root: Path, labelled: str) -> None:
    classes_of(root / labelled, apple=3)
    draw(root / ("test" if labelled == "train" else "train") / "a.png", 1)
    with pytest.raises(ValueError, match="one has folders of classes, and one has not"):
        folder(root, "test")


def test_both_splits_have_the_channels_and_size_of_the_training_pictures(root: Path) -> None:
    draw(root / "train" / "a.png", 1, "RGB")
    draw(root / "test" / "b.png", 2, "L", (16, 16))
    assert folder(root, "test").images.shape == folder(root, "train").images.shape == (1, 3, 8, 8)


def test_pictures_beside_folders_of_classes_are_refused_by_name(root: Path) -> None:
    draw(classes_of(root, apple=2) / "lost.png", 7)
    with pytest.raises(ValueError, match=r"lost\.png lies beside folders of classes"):
        folder(root)


def test_an_empty_folder_of_a_class_is_named_and_keeps_its_number(root: Path) -> None:
    data = folder(classes_of(root, apple=2, pear=0, plum=2))
    assert data.counts() == {"apple": 2, "pear": 0, "plum": 2}
    assert data.labels.tolist() == [0, 0, 2, 2]
    (warning,) = data.warnings()
    assert "no images at all of class pear" in warning


def test_a_rare_class_is_named(root: Path) -> None:
    (warning,) = folder(classes_of(root, apple=99, pear=10)).warnings()
    assert "few images of class pear (9)" in warning


def test_no_folder_and_no_pictures_are_told_apart(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*pictures"):
        folder(root)
    root.mkdir()
    with pytest.raises(ValueError, match=r"pictures holds no pictures"):
        folder(root)
    (root / "apple").mkdir()
    with pytest.raises(ValueError, match="holds folders, but not one picture"):
        folder(root)


def test_a_path_may_begin_at_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    draw(root / "a.png", 3)
    assert levels(open_data("folder:~/pictures")) == [3]


# --- Frames.


def test_sizes_that_differ_are_refused_with_advice_unless_one_is_asked_for(root: Path) -> None:
    draw(root / "a.png", 1)
    draw(root / "b.png", 2, size=(12, 6))
    with pytest.raises(ValueError, match=r"2 sizes \(6x12, 8x8.*--data\.size"):
        folder(root)
    assert folder(root, size=(6, 6)).images.shape == (2, 1, 6, 6)


def test_one_picture_in_colour_makes_all_of_them_colour(root: Path) -> None:
    draw(root / "a.png", 50)
    draw(root / "b.png", 60, "RGB")
    data = folder(root)
    assert data.images[:, :, 0, 0].tolist() == [[50, 50, 50], [60, 60, 0]]
    assert folder(root, channels=1).images[:, :, 0, 0].tolist() == [[50], [53]]


def test_the_recipe_says_size_fit_channels_and_background(root: Path, tmp_path: Path) -> None:
    (root / "test").mkdir(parents=True)
    for k in range(4):
        draw(root / "train" / f"{k}.png", 200, size=(4, 4))
    wanted = {"size": 8, "fit": "pad", "channels": 3, "background": 40}
    expected = torch.full((1, 3, 8, 8), 40, dtype=torch.uint8)
    expected[..., 2:6, 2:6] = 200
    content = np.full((4, 4, 4), 200, np.uint8)
    np.savez(tmp_path / "array.npz", images=content, images_test=content)
    for name in (f"folder:{root}", f"npz:{tmp_path}/array.npz"):
        data = build.load_data(tiny_recipe(data={"name": name, **wanted}).data)
        assert torch.equal(data.images, expected.expand(4, -1, -1, -1))


# --- Recipes and training.


@pytest.mark.parametrize(
    ("name", "close"), [("mnits", "mnist"), ("cifar-10", "cifar10"), ("folders:x", "folder:PATH")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, close: str) -> None:
    with pytest.raises(RecipeError, match=f"{name}.*Did you mean '{close}'"):
        Recipe(data=Data(name=name))


@pytest.mark.parametrize("name", ["folder:", "zip:x", "npz"])
def test_kinds_need_a_path_and_are_known(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"data\.name = '{name}'.*npz:PATH"):
        Recipe(data=Data(name=name))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("balance", ["none", "classes"])
def test_a_folder_can_be_trained_on(root: Path, mode: str, balance: str) -> None:
    classes_of(root, apple=5, pear=2)
    draw(root / "apple" / "more.png", 90, mode)
    training = {"steps": 2, "balance": balance}
    recipe = tiny_recipe(data={"name": f"folder:{root}"}, training=training)
    data = build.load_data(recipe.data)
    assert data.channels == len(mode)
    trainer = make_trainer(recipe, data)
    before = [p.clone() for p in trainer.state.network.parameters()]
    assert trainer.run().step == 2
    after = list(trainer.state.network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.isfinite().all() for p in after)


def test_train_without_test_is_no_class(root: Path) -> None:
    classes_of(root / "train", apple=20, pear=10)
    with pytest.raises(ValueError, match="holds train and nothing else"):
        folder(root)
