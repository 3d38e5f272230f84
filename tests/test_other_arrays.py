"""Arrays and tables as other tools write them, and training without a step: cases D48 to D50, and others of
their kind."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_pre_hook

from mezzotint.data import ImageData
from mezzotint.evaluation.features import load_classifier
from other_files import TINY, Eye, Seen, all_numbers, numbers, pixels


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test's pictures lie; caches are its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pics"


@pytest.fixture
def eye(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Eye:
    return Eye(capsys, tmp_path)


# --- D48: arrays as other tools write them.

COUNT = 40
KINDS = np.arange(COUNT) % 2
IMAGES = np.stack([pixels(k) for k in range(COUNT)])
NAMED = np.array(["ant", "bee"])[KINDS]


def everything(eye: Eye, name: str) -> tuple[Seen, list[ImageData]]:
    """What is seen of it, and both its splits."""
    seen = eye.look(name)
    if seen.data is None:
        return seen, []
    return seen, eye.parts(name)


def check_labels(parts: list[ImageData]) -> None:
    """All images are there, of the classes that they have in ``KINDS``."""
    pairs = {
        n: label for p in parts for n, label in zip(numbers(p), p.labels.tolist(), strict=True)
    }
    assert all(len(part.classes) == 2 for part in parts)
    assert pairs == dict(enumerate(KINDS.tolist()))


def check_refusal(seen: Seen, path: Path, arrays: dict[str, Any], culprit: str) -> None:
    """It names the file and the array that does not do, with its shape, or its type if that is the fault;
    where it is the shape, also the arrays there are."""
    assert seen.says(path.name), seen.words
    array = np.asarray(arrays[culprit])
    usual = array.dtype == object or array.ndim == (1 if culprit == "labels" else 3)
    for name in [culprit] if usual else arrays:
        assert says_array(seen.words, name), f"{name} is there: {seen.words}"
    shape = r"\D{1,3}".join(map(str, array.shape))
    told = re.search(rf"(?<!\d){shape}(?!\d)", seen.words) is not None
    assert told or (usual and array.dtype.name.strip("0123456789") in seen.words), seen.words


def says_array(words: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words) is not None


LABELS: dict[str, NDArray[Any]] = {
    "(n, 1)": KINDS[:, None],
    "(1, n)": KINDS[None],
    "(n, 1, 1)": KINDS[:, None, None],
    "(n, 1) of bytes": KINDS[:, None].astype(np.uint8),
    "float": KINDS.astype(np.float64),
    "(n, 1) of float32": KINDS[:, None].astype(np.float32),
    "bool": KINDS.astype(bool),
    "big-endian": KINDS.astype(">i4"),
    "uint64": KINDS.astype(np.uint64),
    "one-hot": np.eye(2)[KINDS],
    "one-hot of bytes": np.eye(2, dtype=np.uint8)[KINDS],
    "words": NAMED,
    "bytes": NAMED.astype("S"),
    "objects": NAMED.astype(object),
    "numbers as objects": KINDS.astype(object),
}


@pytest.mark.parametrize("kind", LABELS)
def test_d48_labels_are_taken_or_refused_with_what_they_are(
    eye: Eye, root: Path, kind: str
) -> None:
    path, arrays = root.with_suffix(".npz"), {"images": IMAGES, "labels": LABELS[kind]}
    np.savez(path, **arrays)
    seen, parts = everything(eye, f"npz:{path}")
    if parts:
        check_labels(parts)
    else:
        check_refusal(seen, path, arrays, "labels")


NAMES: list[tuple[str, ...]] = [
    ("arr_0", "arr_1"),
    ("x", "y"),
    ("data", "target"),
    ("image", "label"),
    ("X", "y"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
]


@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_d48_arrays_of_other_names_are_taken_or_those_there_are_named(
    eye: Eye, root: Path, names: tuple[str, ...]
) -> None:
    path = root.with_suffix(".npz")
    halves = [IMAGES[:30], KINDS[:30], IMAGES[30:], KINDS[30:]] if len(names) == 4 else []
    arrays = dict(zip(names, halves or [IMAGES, KINDS], strict=True))
    np.savez(path, **arrays)
    seen, parts = everything(eye, f"npz:{path}")
    if parts:
        check_labels(parts)
    else:
        assert seen.says(path.name), seen.words
        assert all(says_array(seen.words, name) for name in names), seen.words


@pytest.mark.parametrize("name", ["label", "targets", "y", "Labels"])
def test_d48_labels_of_another_name_are_not_left_aside_silently(
    eye: Eye, root: Path, name: str
) -> None:
    path = root.with_suffix(".npz")
    np.savez(path, **{"images": IMAGES, name: KINDS})  # type: ignore[arg-type]
    seen, parts = everything(eye, f"npz:{path}")
    if parts and parts[0].classes:
        check_labels(parts)
    else:
        assert says_array(seen.words, name), f"silent: {seen.words}"


SHAPES: dict[str, NDArray[Any]] = {
    "n x h x w": IMAGES,
    "n x h x w x 1": IMAGES[..., None],
    "n x 1 x h x w": IMAGES[:, None],
    "n x h x w x 3": np.repeat(IMAGES[..., None], 3, axis=3),
    "n x 3 x h x w": np.repeat(IMAGES[:, None], 3, axis=1),
    "n x (h w)": IMAGES.reshape(COUNT, -1),
    "h x w x n": IMAGES.transpose(1, 2, 0),
    "0 to 1": IMAGES / 255,
    "0 to 1 in float32": (IMAGES / 255).astype(np.float32),
    "int64": IMAGES.astype(np.int64),
    "int16 beyond bytes": IMAGES.astype(np.int16) * 4,
    "objects": np.array([*IMAGES, None], dtype=object)[:-1],
    "n x h x w x 4": np.repeat(IMAGES[..., None], 4, axis=3),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_d48_images_are_taken_or_refused_with_what_they_are(
    eye: Eye, root: Path, kind: str
) -> None:
    path, arrays = root.with_suffix(".npz"), {"images": SHAPES[kind], "labels": KINDS}
    np.savez(path, **arrays)
    seen = eye.look(f"npz:{path}", channels=1)
    if seen.data is None:
        assert kind not in list(SHAPES)[:5], seen.words
        check_refusal(seen, path, arrays, "images")
    else:
        check_labels(eye.parts(f"npz:{path}", channels=1))


def test_d48_one_array_without_a_name(eye: Eye, root: Path) -> None:
    path = root.with_suffix(".npy")
    np.save(path, IMAGES)
    seen, parts = everything(eye, f"npz:{path}")
    if parts:
        assert all_numbers(parts) == list(range(COUNT))
    else:
        assert seen.says("pics.npy"), seen.words


def test_d48_labels_and_images_of_other_numbers(eye: Eye, root: Path) -> None:
    path, arrays = root.with_suffix(".npz"), {"images": IMAGES, "labels": KINDS[:-3]}
    np.savez(path, **arrays)
    seen = eye.look(f"npz:{path}")
    assert seen.data is None
    assert seen.says(40, 37, "pics.npz"), seen.words


# --- D49: labels that are not of the library's favourite type.


def hub(
    eye: Eye, monkeypatch: pytest.MonkeyPatch, columns: dict[str, tuple[list[Any], Any]]
) -> str:
    """A data set of pictures 0 to 39 with these columns of (values, type)."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", eye.folder / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    values = {"image": [Image.fromarray(picture) for picture in IMAGES]}
    features = {"image": datasets.Image()}
    for name, (content, kind) in columns.items():
        values[name] = content
        features[name] = kind(datasets)
    rows = datasets.Dataset.from_dict(values, features=datasets.Features(features))
    place = eye.folder / "set" / "data"
    place.mkdir(parents=True)
    rows.to_parquet(place / "train-00000-of-00001.parquet")
    return f"hf:{place.parent}"


def value(kind: str) -> Callable[[Any], Any]:
    return lambda datasets: datasets.Value(kind)


COLUMNS: dict[str, tuple[list[Any], Callable[[Any], Any]]] = {
    "int64": (KINDS.tolist(), value("int64")),
    "int8": (KINDS.tolist(), value("int8")),
    "string": (NAMED.tolist(), value("string")),
    "bool": (KINDS.astype(bool).tolist(), value("bool")),
    "float": (KINDS.astype(float).tolist(), value("float64")),
    "list": (
        [[k] for k in KINDS.tolist()],
        lambda datasets: datasets.Sequence(datasets.ClassLabel(names=["ant", "bee"])),
    ),
}


@pytest.mark.parametrize("name", ["label", "labels", "digit"])
@pytest.mark.parametrize("kind", COLUMNS)
def test_d49_a_column_of_labels_gives_classes_or_is_named(
    eye: Eye, root: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    place = hub(eye, monkeypatch, {name: COLUMNS[kind]})
    seen = eye.look(place)
    if seen.data is not None and seen.data.classes:
        check_labels(eye.parts(place))
    else:
        assert says_array(seen.words, name), f"without classes, and silent: {seen.words}"


def test_d49_a_column_of_numbers_that_are_no_classes_makes_none(
    eye: Eye, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = eye.look(hub(eye, monkeypatch, {"id": (list(range(COUNT)), value("int64"))}))
    assert seen.images.classes == ()


def test_d49_labels_of_the_library_s_own_type_go_first(
    eye: Eye, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(datasets: Any) -> Any:
        return datasets.ClassLabel(names=["ant", "bee"])

    columns = {"label": ([7] * COUNT, value("int64")), "kind": (KINDS.tolist(), own)}
    seen = eye.look(hub(eye, monkeypatch, columns))
    assert seen.images.classes == ("ant", "bee")


# --- D50: no step at all, silently.


@pytest.fixture
def stepped() -> Iterator[list[list[torch.Tensor]]]:
    """The weights before each step of any optimizer."""
    before: list[list[torch.Tensor]] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        before.append([p.detach().clone() for p in weights])

    handle = register_optimizer_step_pre_hook(note)
    yield before
    handle.remove()


def save_npz(path: Path, per_class: int, classes: int = 2) -> str:
    count = per_class * classes
    images = np.stack([np.repeat(np.repeat(pixels(k), 2, 0), 2, 1) for k in range(count)])
    labels = np.arange(count) % classes
    np.savez(path, images=images, **({"labels": labels} if classes > 1 else {}))
    return f"npz:{path}"


@pytest.mark.parametrize("count", [120, 20, 142, 144])
def test_d50_a_classifier_takes_a_step_or_is_refused(
    eye: Eye, root: Path, stepped: list[list[torch.Tensor]], count: int
) -> None:
    """Of 120 images 108 are for training, fewer than a batch; of 142 or 144, about one batch."""
    name, out = save_npz(root.with_suffix(".npz"), count // 2), eye.folder / "judge.safetensors"
    status, words = eye.run("train-classifier", out, "--data", name, "--epochs", 1)
    if status:
        assert not out.exists()
        assert re.search(r"step|epoch|images|pictures?\b", words), words
        return
    assert len(stepped) >= 1
    written = [p.detach() for p in load_classifier(out).network.parameters()]
    first = [p for p in stepped[0] if any(p.shape == q.shape for q in written)]
    assert first
    assert not all(any(torch.equal(p, q) for q in written) for p in first)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of layers without an output
def test_d50_images_without_classes_make_no_classifier(eye: Eye, root: Path) -> None:
    name, out = save_npz(root.with_suffix(".npz"), 60, classes=1), eye.folder / "j.safetensors"
    status, words = eye.run("train-classifier", out, "--data", name, "--epochs", 1)
    assert status == 1, words
    assert "class" in words
    assert not out.exists()


@pytest.mark.parametrize("flag", ["--epochs", "--steps"])
def test_d50_none_is_refused(eye: Eye, root: Path, flag: str) -> None:
    name, out = save_npz(root.with_suffix(".npz"), 30), eye.folder / "out.safetensors"
    verb = ["train-classifier", out, "--data"] if flag == "--epochs" else ["train", "--data.name"]
    status, words = eye.run(*verb, name, flag, 0)
    assert status == 1, words
    assert "at least 1" in words, words
    assert not out.exists()


def test_d50_training_on_fewer_images_than_a_batch(
    eye: Eye, root: Path, stepped: list[list[torch.Tensor]]
) -> None:
    name, tiny = save_npz(root.with_suffix(".npz"), 3), eye.folder / "tiny.toml"
    tiny.write_text(TINY)
    status, words = eye.run("train", tiny, "--data.name", name, "--out", eye.folder / "run")
    assert status == 0 or re.search(r"batch", words), words
    assert status or len(stepped) >= 2
