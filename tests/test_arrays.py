"""Images of one's own as arrays: .npz and IDX files."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common import idx_file
from mezzotint.data import Frame, ImageData, open_data


def ramp(count: int, *shape: int, first: int = 0) -> NDArray[np.uint8]:
    """Images of one level each: first, first + 1, ..."""
    levels = np.arange(first, first + count, dtype=np.uint8)
    return np.broadcast_to(levels.reshape(-1, *[1] * len(shape)), (count, *shape)).copy()


def save(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def load(path: Path, split: Any = "train", kind: str = "npz", **frame: Any) -> ImageData:
    return open_data(f"{kind}:{path}", split, frame=Frame(**frame))


def levels(data: ImageData) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.npz"


# --- .npz.


@pytest.mark.parametrize(
    ("shape", "channels"), [((6, 5), 1), ((6, 5, 3), 3), ((3, 6, 5), 3), ((1, 6, 5), 1)], ids=str
)
def test_an_npz_may_have_channels_anywhere(
    file: Path, shape: tuple[int, ...], channels: int
) -> None:
    images = ramp(20, *shape)
    if channels == 3:
        plane = (slice(None), slice(None), slice(None), 1) if shape[-1] == 3 else (slice(None), 1)
        images[plane] = 200
    data = load(save(file, images=images, images_test=images))
    assert data.images.shape == (20, channels, 6, 5)
    assert data.classes == ()
    assert data.images[0, :, 0, 0].tolist() == [levels(data)[0], 200, levels(data)[0]][:channels]


def test_an_npz_with_labels_has_classes_by_number(file: Path) -> None:
    save(file, images=ramp(30, 4, 4), labels=np.arange(30) % 3)
    train, test = load(file), load(file, "test")
    assert train.classes == test.classes == ("0", "1", "2")
    assert (train.counts(), test.counts()) == ({"0": 9, "1": 9, "2": 9}, {"0": 1, "1": 1, "2": 1})
    assert sorted(levels(train) + levels(test)) == list(range(30))
    for data in (train, test):
        assert data.labels.tolist() == [level % 3 for level in levels(data)]
    assert levels(load(file, "test")) == levels(test)


def test_an_npz_may_name_its_classes(file: Path) -> None:
    classes = np.array(["apple", "pear", "plum"])
    save(file, images=ramp(4, 4, 4), labels=np.array([0, 2, 2, 0], np.uint8), classes=classes)
    data = load(file)
    assert data.counts() == {"apple": 2, "pear": 0, "plum": 2}
    (warning,) = data.warnings()
    assert "pear" in warning


def test_an_npz_may_have_test_images_of_its_own(file: Path) -> None:
    arrays = {"images": ramp(20, 4, 4), "labels": np.arange(20) % 4}
    own = {"images_test": ramp(3, 4, 4, first=50), "labels_test": np.array([1, 0, 1])}
    save(file, **arrays, **own)
    assert levels(load(file)) == list(range(20))
    test = load(file, "test")
    assert levels(test) == [50, 51, 52]
    assert test.labels.tolist() == [1, 0, 1]
    assert test.classes == load(file).classes == ("0", "1", "2", "3")  # though it has but two
    save(file, images=arrays["images"], images_test=own["images_test"])
    assert load(file, "test").classes == ()
    save(file, **arrays, images_test=own["images_test"])
    with pytest.raises(ValueError, match=r"images\.npz has labels, but no labels_test"):
        load(file, "test")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0.0, 1.0, 0.5], "'labels' must be whole numbers or names, not float64"),
        ([0, -1, 1], "label -1 is not a class"),
        ([0, 1], "3 images do not match 2 labels"),
        ([[0, 1], [1, 0], [0, 1]], "one label for each image"),
    ],
    ids=str,
)
def test_labels_that_make_no_sense_are_refused(file: Path, labels: Any, told: str) -> None:
    save(file, images=ramp(3, 4, 4), labels=np.array(labels))
    with pytest.raises(ValueError, match=told):
        load(file)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pictures": ramp(3, 4, 4)}, "no array 'images'"),
        ({"images": np.zeros((3, 4, 4))}, "uint8 .* not float64"),
        ({"images": ramp(3, 4)}, "3 or 4 dimensions"),
        ({"images": ramp(3, 8, 8, 4)}, r"grey or RGB.*\[3, 8, 8, 4\]"),
    ],
)
def test_arrays_that_are_no_images_are_refused_by_name(
    file: Path, arrays: dict[str, Any], told: str
) -> None:
    save(file, **arrays)
    with pytest.raises(ValueError, match=rf"images\.npz.*{told}"):
        load(file)


def test_an_npz_of_objects_is_not_unpickled(file: Path) -> None:
    np.savez(file, images=ramp(3, 4, 4), labels=np.array([{}, {}, {}], dtype=object))
    with pytest.raises(ValueError, match=r"images\.npz: 'labels' holds Python objects"):
        load(file)


@pytest.mark.parametrize("damage", ["empty", "half", "text", "flipped", "npy"])
def test_a_broken_npz_is_refused_by_name(file: Path, damage: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    save(file, images=noise, labels=np.arange(20) % 2)
    content = bytearray(file.read_bytes())
    if damage == "npy":
        with file.open("wb") as out:
            np.save(out, noise)
    else:
        flipped = content.copy()
        flipped[len(content) // 2] ^= 0x10
        half = content[: len(content) // 2]
        file.write_bytes(
            {"empty": b"", "half": half, "text": b"text\n", "flipped": flipped}[damage]
        )
    with pytest.raises(ValueError, match=r"images\.npz is no readable \.npz"):
        load(file)


def test_an_npz_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images\.npz"):
        load(file)


def test_an_npz_in_a_frame(file: Path) -> None:
    save(file, images=ramp(5, 4, 8))
    data = load(file, size=(4, 4), channels=3)
    assert data.images.shape == (5, 3, 4, 4)
    assert levels(data) == list(range(5))
    padded = load(file, size=(10, 10), fit="pad", background=9)
    assert (padded.images[:, :, [0, 1, 2, 7, 8, 9]] == 9).all()
    assert padded.images[:, 0, 5, 5].tolist() == list(range(5))


# --- IDX.


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """An IDX file of bytes, packed if its name says so."""
    content = idx_file(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_and_its_labels(tmp_path: Path, suffix: str) -> None:
    path = write_idx(tmp_path / f"my-images-idx3-ubyte{suffix}", ramp(40, 5, 6))
    write_idx(tmp_path / f"my-labels-idx1-ubyte{suffix}", np.arange(40, dtype=np.uint8) % 4)
    train, test = load(path, kind="idx"), load(path, "test", kind="idx")
    assert train.images.shape == (40 - len(test), 1, 5, 6)
    assert train.classes == test.classes == ("0", "1", "2", "3")
    assert sorted(levels(train) + levels(test)) == list(range(40))
    for data in (train, test):
        assert data.labels.tolist() == [level % 4 for level in levels(data)]


@pytest.mark.parametrize("name", ["my-images-idx3-ubyte", "drawings"])
def test_an_idx_file_alone_has_no_classes(tmp_path: Path, name: str) -> None:
    data = load(write_idx(tmp_path / name, ramp(10, 5, 6)), kind="idx")
    assert (data.classes, data.size) == ((), (5, 6))


def test_idx_files_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "labels", np.arange(10, dtype=np.uint8))
    with pytest.raises(ValueError, match="labels holds no grey images"):
        load(path, kind="idx")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="labels has 17 bytes"):
        load(path, kind="idx")


def test_labels_of_another_number_than_the_images_are_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a-images-idx3-ubyte", ramp(10, 5, 6))
    write_idx(tmp_path / "a-labels-idx1-ubyte", np.arange(9, dtype=np.uint8))
    with pytest.raises(ValueError, match="10 images do not match 9 labels"):
        load(path, kind="idx")
