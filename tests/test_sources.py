"""Pictures from archives, from the data sets library, and cut out of the middle."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import build
from mezzotint.data import Frame, ImageData, folders, open_data
from mezzotint.data.hub import _listing
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.schema import Data, Recipe

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of each test's own, and no net."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def picture(level: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> Image.Image:
    return Image.new(mode, size, level if mode == "L" else (level, 0, 0))


def archive(path: Path, **members: int) -> Path:
    """A .zip of pictures, each of one level; ``__`` in a name stands for a slash."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, level in members.items():
            file = path.parent / "one.png"
            picture(level).save(file)
            opened.write(file, f"{name.replace('__', '/')}.png")
    return path


def levels(data: ImageData) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


# --- Archives.


def test_an_archive_is_the_folder_that_is_in_it(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "p.zip",
        top__train__b__x=1,
        top__train__a__x=2,
        top__test__a__y=3,
        top__test__b__y=4,
    )
    train, test = (open_data(f"folder:{path}", split) for split in ("train", "test"))
    assert train.classes == test.classes == ("a", "b")
    assert levels(train) == [2, 1]
    assert levels(test) == [3, 4]


def test_an_archive_is_unpacked_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "p.zip", **{f"a__{k:02}": k for k in range(10)})
    count = len(open_data(f"folder:{path}"))
    seen: list[str] = []
    extract = zipfile.ZipFile.extract

    def spy(self: zipfile.ZipFile, member: Any, *place: Any) -> str:
        seen.append(str(member))
        return extract(self, member, *place)

    monkeypatch.setattr(zipfile.ZipFile, "extract", spy)
    open_data(f"folder:{path}", "test")
    assert not seen
    archive(path, **{f"a__{k:02}": k for k in range(20)})
    assert len(open_data(f"folder:{path}")) > count
    assert len(seen) == 20


def test_other_files_beside_the_folder_in_an_archive_change_nothing(tmp_path: Path) -> None:
    path = archive(tmp_path / "p.zip", **{f"top__{c}__{k}": k for c in "ab" for k in range(5)})
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(".DS_Store", "x")
        opened.writestr("README.txt", "x")
        opened.writestr("__MACOSX/top/._x.png", "x")
    assert open_data(f"folder:{path}").classes == ("a", "b")
    alone = archive(tmp_path / "q.zip", **{f"top__cats__{k}": k for k in range(10)})
    assert open_data(f"folder:{alone}").classes == ("cats",)


@pytest.mark.parametrize("fault", ["flipped", "cut"])
def test_a_broken_archive_is_named_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    path = archive(tmp_path / "p.zip", a__x=1, b__y=2)
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF  # within the first picture
    path.write_bytes(content if fault == "flipped" else content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"p\.zip is no whole \.zip"):
        open_data(f"folder:{path}")
    left = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []


# --- CelebA.


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four faces of CelebA's size, of which two are for training; the middle square is bright."""
    monkeypatch.setattr(folders, "CELEBA_TRAIN", range(1, 3))
    monkeypatch.setattr(folders, "CELEBA_TEST", range(4, 5))
    place = tmp_path / "img_align_celeba"
    place.mkdir()
    for number in range(1, 5):
        canvas = picture(0, (178, 218), "RGB")
        canvas.paste((200 + number, 9, 9), (19, 39, 159, 179))
        canvas.save(place / f"{number:06}.png")
        (place / f"{number:06}.png").rename(place / f"{number:06}.jpg")  # without a jpg's losses
    return place


def test_faces_are_cut_to_the_middle_by_the_official_splits(faces: Path) -> None:
    train = open_data(f"celeba:{faces}", frame=Frame(size=(16, 16)))
    test = open_data(f"celeba:{faces}", "test", frame=Frame(size=(16, 16)))
    assert train.images.shape == (2, 3, 16, 16)
    assert train.classes == ()
    assert levels(train) == [201, 202]
    assert levels(test) == [204]
    assert (train.images[:, 1:] == 9).all()


def test_a_missing_face_is_named(faces: Path) -> None:
    (faces / "000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002\.jpg is missing"):
        open_data(f"celeba:{faces}", frame=Frame(size=(16, 16)))
    with pytest.raises(FileNotFoundError, match="neither a folder nor"):
        open_data(f"celeba:{faces}-not")


# --- The Hub's library, on files of this machine.


def table(levels: list[int], labels: list[int] | None = None) -> Any:
    columns: dict[str, Any] = {"image": datasets.Image()}
    values: dict[str, Any] = {"image": [picture(level, mode="RGB") for level in levels]}
    if labels is not None:
        columns["label"] = datasets.ClassLabel(names=["cat", "dog"])
        values["label"] = labels
    return datasets.Dataset.from_dict(values, features=datasets.Features(columns))


def hub(path: Path, **splits: Any) -> str:
    for name, rows in splits.items():
        (path / "data").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(path / "data" / f"{name}-00000-of-00001.parquet")
    return f"hf:{path}"


def test_pictures_labels_and_class_names_come_from_the_library(tmp_path: Path) -> None:
    name = hub(tmp_path / "set", train=table([1, 2, 3], [0, 1, 0]), test=table([7], [1]))
    train, test = open_data(name), open_data(name, "test")
    assert train.classes == test.classes == ("cat", "dog")
    assert levels(train) == [1, 2, 3]
    assert train.labels.tolist() == [0, 1, 0]
    assert levels(test) == [7]
    assert test.labels.tolist() == [1]
    assert open_data(name, frame=Frame(size=(4, 6), channels=1)).images.shape == (3, 1, 4, 6)


def test_classes_of_splits_are_matched_by_name(tmp_path: Path) -> None:
    columns = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
    values = {"image": [picture(1, mode="RGB"), picture(2, mode="RGB")], "label": [0, 1]}
    rows = datasets.Dataset.from_dict(values, features=datasets.Features(columns))
    listing = _listing(rows, "x", ("cat", "dog"))
    assert listing.classes == ("cat", "dog")
    assert listing.labels == [1, 0]
    with pytest.raises(ValueError, match="'dog' is no class"):
        _listing(rows, "x", ("cat", "ant"))


def test_one_in_ten_is_held_out_where_there_is_no_test_split(tmp_path: Path) -> None:
    name = hub(tmp_path / "set", train=table(list(range(100))))
    train, test = open_data(name), open_data(name, "test")
    assert 3 < len(test) < 17
    assert train.classes == ()
    assert sorted(levels(train) + levels(test)) == list(range(100))


def test_a_broken_picture_is_named_by_its_row_and_other_columns_are_left_alone(
    tmp_path: Path,
) -> None:
    picture(5).save(tmp_path / "good.png")
    good = {"bytes": (tmp_path / "good.png").read_bytes(), "path": None}
    bad = {"bytes": b"no picture", "path": None}
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})

    def made(name: str, images: list[Any]) -> str:
        values = {"image": images, "mask": [bad] * len(images)}
        rows = datasets.Dataset.from_dict(values, features=features)
        return hub(tmp_path / name, train=rows, test=rows)

    assert levels(open_data(made("whole", [good] * 3))) == [5, 5, 5]
    with pytest.raises(
        ValueError, match=r"broken, train row 1 is a broken picture: it is of no format"
    ):
        open_data(made("broken", [good, bad, good]))


def test_a_table_without_pictures_and_a_set_that_is_not_there_are_said_to_be(
    tmp_path: Path,
) -> None:
    words = datasets.Dataset.from_dict({"text": ["a", "b"]})
    name = hub(tmp_path / "words", train=words)
    with pytest.raises(ValueError, match="holds no pictures, but text"):
        open_data(name)
    with pytest.raises(ValueError, match=f"hf:{tmp_path}/nowhere cannot be had"):
        open_data(f"hf:{tmp_path}/nowhere")


def test_a_set_that_the_hub_cannot_give_is_said_to_be_neither_there_nor_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbidden = r"^hf:me/pictures is not in the cache, and HF_HUB_OFFLINE forbids to fetch it"
    with pytest.raises(ValueError, match=forbidden):
        open_data("hf:me/pictures")

    def unreachable(*_: object) -> None:
        raise ConnectionError("Couldn't reach 'me/pictures' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    cut_off = (
        r"not in the cache: the Hub cannot be reached; try again with a network, or name a folder"
    )
    with pytest.raises(ValueError, match=cut_off):
        open_data("hf:me/pictures")


# --- Frames.


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_a_square_is_cut_out_of_the_middle_then_brought_to_size(tmp_path: Path, kind: str) -> None:
    canvas = np.zeros((10, 14), np.uint8)
    canvas[2:8, 4:10] = 90
    if kind == "npz":
        path = tmp_path / "x.npz"
        np.savez(path, images=canvas[None].repeat(10, 0))
    else:
        path = tmp_path / "x"
        path.mkdir()
        for k in range(10):
            Image.fromarray(canvas).save(path / f"{k}.png")
    section = Data(name=f"{kind}:{path}", crop=6, size=12, columns=18)
    found = build.load_data(section)
    assert found.images.shape[1:] == (1, 12, 18)
    assert (found.images == 90).all()
    uncut = build.load_data(Data(name=f"{kind}:{path}", crop=99))
    assert torch.equal(uncut.images[0, 0], torch.from_numpy(canvas))


def test_options_that_say_nothing_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"data.columns = 4 needs data.size"):
        Recipe(data=Data(columns=4))
    for fit in ("pad", "resize"):
        with pytest.raises(
            RecipeError, match=rf"data.fit = '{fit}' does nothing without data.size"
        ):
            Recipe(data=Data(fit=fit))  # type: ignore[arg-type]
    assert Data(fit="pad", size=32).fit == "pad"
    with pytest.raises(RecipeError, match=r"data.folder is for named data sets"):
        Recipe(data=Data(name="folder:x", folder="y"))


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"hf:some/set needs a library: pip install"):
        open_data("hf:some/set")
