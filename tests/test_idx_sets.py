"""MNIST's kin from a folder, and CIFAR from its binary archives, all made here."""

import dataclasses
import errno
import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common import idx_file
from mezzotint.data import open_data
from mezzotint.data.cifar import CIFAR10, CIFAR100, Cifar
from mezzotint.data.idx_sets import KMNIST
from mezzotint.registry import DATASETS

EMNIST_NAMES = [n.removeprefix("emnist-") for n in DATASETS if n.startswith("emnist-")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- EMNIST_NAMES and KMNIST.

SIZES = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}


def write_emnist(folder: Path, split: str, first: int, packed: bool) -> NDArray[np.uint8]:
    """The test files of a split: one image of 3 x 3 for each class. Returns the upright images."""
    count = SIZES[split]
    upright = (
        np.arange(9, dtype=np.uint8).reshape(3, 3) + np.arange(count, dtype=np.uint8)[:, None, None]
    )
    labels = np.arange(first, first + count, dtype=np.uint8)
    lying = np.ascontiguousarray(upright.transpose(0, 2, 1))
    for part, array in (("images-idx3", lying), ("labels-idx1", labels)):
        name, content = f"emnist-{split}-test-{part}-ubyte", idx_file(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return upright


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("split", SIZES)
def test_emnist_stands_upright_and_counts_from_0(tmp_path: Path, split: str, packed: bool) -> None:
    upright = write_emnist(tmp_path, split, int(split == "letters"), packed)
    data = open_data(f"emnist-{split}", "test", folder=tmp_path)
    assert np.array_equal(data.images[:, 0].numpy(), upright)
    assert data.images.is_contiguous()
    assert data.labels.tolist() == list(range(SIZES[split]))
    assert len(data.classes) == len(set(data.classes)) == SIZES[split]


def test_the_classes_of_emnist_are_its_letters() -> None:
    assert DATASETS["emnist-byclass"].classes[10] == "A"
    assert DATASETS["emnist-byclass"].classes[61] == "z"
    # Capitals and small letters that look alike are one class; those left are these.
    assert "".join(DATASETS["emnist-balanced"].classes[36:]) == "abdefghnqrt"
    assert DATASETS["emnist-balanced"].classes == DATASETS["emnist-bymerge"].classes
    assert DATASETS["emnist-letters"].classes[0] == "a"


def test_letters_numbered_from_0_are_refused(tmp_path: Path) -> None:
    write_emnist(tmp_path, "letters", 0, packed=False)
    with pytest.raises(ValueError, match=r"label -1 is not a class.*0 to 25"):
        open_data("emnist-letters", "test", folder=tmp_path)


def test_emnist_without_a_folder_asks_for_one(cache: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"emnist-letters-train-images.*--data\.folder.*no mirror"
    ):
        open_data("emnist-letters")
    assert not cache.exists()


def test_kmnist_from_a_folder_is_not_bound_to_one_packing(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    images, labels = KMNIST.files["test"]
    (tmp_path / f"{images}.gz").write_bytes(gzip.compress(idx_file(pixels), compresslevel=1))
    (tmp_path / labels).write_bytes(idx_file(np.array([9, 3], np.uint8)))
    data = open_data("kmnist", "test", folder=tmp_path)
    assert np.array_equal(data.images[:, 0].numpy(), pixels)
    assert [data.classes[k] for k in data.labels] == ["wo", "tsu"]
    (tmp_path / labels).write_bytes(idx_file(np.array([9, 3, 1], np.uint8)))
    with pytest.raises(
        ValueError, match=r"KMNIST: \(2, 3, 4\) images do not go with \(3,\) labels"
    ):
        open_data("kmnist", "test", folder=tmp_path)


# --- CIFAR.

FINE = [f"thing_{k}" for k in range(100)]


def cifar_files(kind: Cifar, count: int = 4) -> dict[str, bytes]:
    """The files of a data set: record k of file f has the label (k + f) % 10, red k, green f, blue 7;
    the top row is one brighter. CIFAR-100's coarse label is 19 throughout."""
    files = {}
    for f, name in enumerate([*kind.files["train"], *kind.files["test"]]):
        records = b""
        for k in range(count):
            planes = [bytes([level + 1]) * 32 + bytes([level]) * 992 for level in (k, f, 7)]
            records += bytes([19] * (kind.label_bytes - 1) + [(k + f) % 10]) + b"".join(planes)
        files[name] = records
    if isinstance(kind.classes, str):
        files[kind.classes] = "\n".join([*FINE, "", ""]).encode()
    return files


def pack(path: Path, files: dict[str, bytes]) -> str:
    """An archive like the official one, and its MD5."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100], ids=["10", "100"])
@pytest.mark.parametrize("source", ["cache", "archive", "files"])
def test_cifar_reads_planes_and_labels(
    tmp_path: Path, cache: Path, kind: Cifar, source: str
) -> None:
    folder = cache / "mezzotint" / "data" if source == "cache" else tmp_path / "given"
    folder.mkdir(parents=True)
    files = cifar_files(kind)
    if source == "files":
        for name, content in files.items():
            (folder / name).write_bytes(content)
    else:
        kind = dataclasses.replace(kind, md5=pack(folder / kind.archive, files), mirrors=())
    for split, numbers in (("train", range(len(kind.files["train"]))), ("test", None)):
        data = kind(split, None if source == "cache" else folder)  # type: ignore[arg-type]
        parts = numbers or [len(kind.files["train"])]
        expected = [(k, f) for f in parts for k in range(4)]
        assert data.images.shape == (len(expected), 3, 32, 32)
        assert data.images[:, :, 5, 31].tolist() == [[k, f, 7] for k, f in expected]
        assert data.images[:, :, 0, 31].tolist() == [[k + 1, f + 1, 8] for k, f in expected]
        assert data.labels.tolist() == [(k + f) % 10 for k, f in expected]
        assert data.classes[:1] == ("airplane",) if kind.title == "CIFAR-10" else ("thing_0",)
        assert len(data.classes) == {"CIFAR-10": 10, "CIFAR-100": 100}[kind.title]


@pytest.mark.parametrize("length", [0, 1, 3073 * 2 - 1, 3073 * 2 + 1])
def test_a_cut_file_of_records_is_refused_by_name(tmp_path: Path, length: int) -> None:
    for name, content in cifar_files(CIFAR10).items():
        (tmp_path / name).write_bytes(content[:length] if name == "data_batch_3.bin" else content)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin is cut"):
        CIFAR10("train", tmp_path)
    assert len(CIFAR10("test", tmp_path)) == 4


def test_a_missing_file_of_records_is_named(tmp_path: Path) -> None:
    files = cifar_files(CIFAR100)
    (tmp_path / "train.bin").write_bytes(files["train.bin"])
    with pytest.raises(FileNotFoundError, match=r"cifar-100-binary.*fine_label_names\.txt"):
        CIFAR100("train", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "other"])
def test_a_broken_archive_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / CIFAR10.archive
    noise = np.random.default_rng(0).integers(0, 10, 3073 * 4, dtype=np.uint8).tobytes()
    files = dict.fromkeys(cifar_files(CIFAR10), noise)
    kind = dataclasses.replace(CIFAR10, md5=pack(path, files))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10 if damage == "flipped" else 0
    half = content[: len(content) // 2]
    path.write_bytes({"cut": half, "text": b"<html>"}.get(damage, bytes(content)))
    if damage == "other":
        pack(path, {"readme.txt": b"x"})
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz"):
        kind("train", tmp_path)


def test_an_archive_without_the_files_is_refused_by_name(tmp_path: Path) -> None:
    md5 = pack(tmp_path / CIFAR10.archive, {"readme.txt": b"x"})
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz.*data_batch_1\.bin"):
        dataclasses.replace(CIFAR10, md5=md5)("train", tmp_path)


def test_an_archive_that_the_disk_does_not_give_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / CIFAR10.archive
    kind = dataclasses.replace(CIFAR10, md5=pack(path, cifar_files(CIFAR10)))
    for place in ("tarfile.TarFile.extractfile", "hashlib.file_digest"):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised:
                kind("train", tmp_path)
        assert raised.value.filename == str(path), place
        assert "fetch it again" not in str(raised.value)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_labels_beyond_the_classes_are_refused(tmp_path: Path, name: str) -> None:
    kind: Any = DATASETS[name]
    files = cifar_files(kind)
    wrong = bytes([0] * (kind.label_bytes - 1) + [200]) + bytes(3072)
    for file, content in files.items():
        (tmp_path / file).write_bytes(
            content + (wrong if file.endswith("test.bin") or "test_b" in file else b"")
        )
    with pytest.raises(ValueError, match=r"label 200 is not a class"):
        open_data(name, "test", folder=tmp_path)
