"""Data: the IDX format, MNIST as shipped, and images that stay what they were."""

import gzip
import shutil
import struct
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from common import tiny_recipe
from mezzotint import build
from mezzotint.data import ImageData, check_labels, idx
from mezzotint.data.idx_sets import MNIST
from mezzotint.objectives.denoising import DenoisingObjective
from mezzotint.runs.train import make_trainer

ASSETS = Path(str(resources.files("mezzotint"))) / "assets" / "mnist"

# The table on the format's page: code, big-endian struct letter, NumPy's native type.
TYPES = [
    (0x08, "B", np.uint8),
    (0x09, "b", np.int8),
    (0x0B, "h", np.int16),
    (0x0C, "i", np.int32),
    (0x0D, "f", np.float32),
    (0x0E, "d", np.float64),
]


def idx_bytes(code: int, letter: str, shape: tuple[int, ...], values: list[Any]) -> bytes:
    """An IDX file, put together here and not by the code under test."""
    head = struct.pack(">HBB", 0, code, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    return head + struct.pack(f">{len(values)}{letter}", *values)


# --- IDX.


def test_big_endian_int32_reads_as_5_0_4(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(bytes.fromhex("00000C01 00000003 00000005 00000000 00000004"))
    assert idx.read(path).tolist() == [5, 0, 4]


@pytest.mark.parametrize(("code", "letter", "kind"), TYPES)
@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
def test_every_type_round_trips(
    tmp_path: Path, code: int, letter: str, kind: Any, packed: bool
) -> None:
    values = [0, 1, 2, 100, 127, 3] if letter in "Bb" else [0, 1, 258, 1000, 32767, 3]
    if letter != "B":
        values[1] = -2
    content = idx_bytes(code, letter, (2, 1, 3), values)
    path = tmp_path / "array"  # the content decides whether it is gzip, not the name
    path.write_bytes(gzip.compress(content) if packed else content)
    array = idx.read(path)
    assert array.shape == (2, 1, 3)
    assert array.dtype == np.dtype(kind)
    assert array.dtype.isnative
    assert array.flatten().tolist() == values
    torch.from_numpy(array)  # refuses foreign byte order


@pytest.mark.parametrize(
    ("shape", "values"), [((0,), []), ((0, 28, 28), []), ((), [7]), ((1, 1, 1, 1), [7])], ids=str
)
def test_odd_shapes_round_trip(shape: tuple[int, ...], values: list[int]) -> None:
    array = idx.parse(idx_bytes(0x08, "B", shape, values), "x")
    assert array.shape == shape
    assert array.flatten().tolist() == values


@pytest.mark.parametrize("code", [0x00, 0x07, 0x0A, 0x0F, 0xFF])
def test_unknown_types_are_refused_by_name(code: int) -> None:
    content = idx_bytes(code, "B", (3,), [1, 2, 3])
    with pytest.raises(ValueError, match=f"some-file .*0x{code:02X}.*0x08"):
        idx.parse(content, "some-file")


def test_a_file_cut_anywhere_or_too_long_is_refused_by_name() -> None:
    content = idx_bytes(0x0B, "h", (2, 3), [1, 2, 3, 4, 5, 6])
    for length in range(len(content)):
        with pytest.raises(ValueError, match="some-file"):
            idx.parse(content[:length], "some-file")
    with pytest.raises(ValueError, match=r"some-file has 25 bytes .* promises 24"):
        idx.parse(content + b"\0", "some-file")


@pytest.mark.parametrize("content", [b"\1\0\x08\1\0\0\0\1\7", b"<html>403</html>", b"\x89PNG\r\n"])
def test_a_wrong_magic_number_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path.name} is not an IDX file"):
        idx.read(path)


# --- Broken gzip files.


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, bytes]:
    """A gzip file on disk whose content is an IDX array of changing values."""
    content = idx_bytes(0x08, "B", (400,), [(k * k) % 251 for k in range(400)])
    path = tmp_path / "array.gz"
    path.write_bytes(gzip.compress(content, mtime=0))
    return path, content


@pytest.mark.parametrize("share", [0.0, 0.02, 0.57, 0.99])
def test_a_cut_gzip_file_is_refused_by_name(packed: tuple[Path, bytes], share: float) -> None:
    path, _ = packed
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"array\.gz"):
        idx.read(path)


def test_a_gzip_file_with_any_byte_flipped_is_refused_by_name_or_reads_the_same(
    packed: tuple[Path, bytes],
) -> None:
    path, content = packed
    whole, read_the_same = path.read_bytes(), []
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            array = idx.read(path)
        except ValueError as error:
            assert "array.gz" in str(error)  # noqa: PT017
        else:
            assert array.tobytes() == content[8:], f"byte {position}: wrong values"
            read_the_same.append(position)
    # Only the header's time stamp, compression level and system may go unnoticed.
    assert set(read_the_same) <= set(range(4, 10))


# --- MNIST.


@pytest.fixture(scope="module")
def train() -> ImageData:
    return MNIST("train")


@pytest.fixture(scope="module")
def test() -> ImageData:
    return MNIST("test")


def test_the_shipped_mnist_has_its_known_figures(train: ImageData, test: ImageData) -> None:
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.images.dtype == test.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert list(train.counts().values()) == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert list(test.counts().values()) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.classes == tuple("0123456789")
    assert train.warnings() == []
    # The mean of all training pixels, as often published.
    assert (train.images.double().mean() / 255).item() == pytest.approx(0.1307, abs=5e-5)


def test_the_first_training_image_is_the_right_way_up(train: ImageData) -> None:
    five = train.images[0, 0].float()
    # The 5's upper stroke reaches to the right, its lower bow ends on the left.
    columns = torch.arange(28.0)
    upper, lower = five[5:9].sum(0), five[21:26].sum(0)
    assert (upper * columns).sum() / upper.sum() > (lower * columns).sum() / lower.sum() + 3


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the test split's files, as downloaded."""
    for name in MNIST.files["test"]:
        shutil.copy(ASSETS / f"{name}.gz", tmp_path)
    return tmp_path


def unpack(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    raw = folder / name
    raw.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return raw


def test_a_folder_may_hold_gz_and_raw_files(copied: Path, test: ImageData) -> None:
    images, labels = MNIST.files["test"]
    for change in (lambda: None, lambda: unpack(copied, labels), lambda: unpack(copied, images)):
        change()
        found = MNIST("test", copied)
        assert torch.equal(found.images, test.images)
        assert torch.equal(found.labels, test.labels)


def test_other_archives_of_the_same_content_are_accepted(copied: Path, test: ImageData) -> None:
    path = copied / f"{MNIST.files['test'][0]}.gz"
    before = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(before), compresslevel=1, mtime=12345))
    assert path.read_bytes() != before
    assert torch.equal(MNIST("test", copied).images, test.images)


@pytest.mark.parametrize("which", [0, 1], ids=["images", "labels"])
def test_a_flipped_byte_in_a_raw_file_is_refused_by_checksum(copied: Path, which: int) -> None:
    raw = unpack(copied, MNIST.files["test"][which])
    content = bytearray(raw.read_bytes())
    content[-100] ^= 1  # a label or pixel that is wrong, but possible
    raw.write_bytes(content)
    with pytest.raises(ValueError, match=f"{raw.name}.*SHA-256"):
        MNIST("test", copied)


@pytest.mark.parametrize("damage", ["flipped", "57%", "empty", "html"])
def test_a_broken_download_is_refused_by_name(copied: Path, damage: str) -> None:
    path = copied / f"{MNIST.files['test'][0]}.gz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0x10
    elif damage == "57%":
        content = content[: int(len(content) * 0.57)]
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"<html>503</html>")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name):
        MNIST("test", copied)


def test_a_folder_without_the_files_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"):
        MNIST("test", tmp_path)


def test_the_training_files_do_not_pass_for_the_test_files(copied: Path) -> None:
    name = MNIST.files["test"][0]
    shutil.copy(ASSETS / "train-images-idx3-ubyte.gz", copied / f"{name}.gz")
    with pytest.raises(ValueError, match=f"{name}.*SHA-256"):
        MNIST("test", copied)


def test_the_recipe_names_folder_split_and_size(copied: Path) -> None:
    section = tiny_recipe(data={"folder": str(copied), "size": 32, "fit": "pad"}).data
    data = build.load_data(section, "test")
    assert data.images.shape == (10_000, 1, 32, 32)
    assert torch.equal(data.images[..., 2:30, 2:30], MNIST("test").images)
    with pytest.raises(FileNotFoundError, match="train-images"):
        build.load_data(section)  # the training split is not in this folder


# --- ImageData.


def images(count: int = 3, channels: int = 1, size: tuple[int, int] = (4, 6)) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, *size), generator=source).to(torch.uint8)


NAMES = ("zero", "one", "two")


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        ImageData(images(0), torch.zeros(0, dtype=torch.int64), NAMES)


def test_images_and_labels_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images do not match 2 labels"):
        ImageData(images(3), torch.tensor([0, 1]), NAMES)


@pytest.mark.parametrize("wrong", [-1, 3, 4, 1.0, 0.5, True, None, "one", float("nan"), 2**70])
def test_labels_that_are_no_classes_are_refused_naming_value_and_range(wrong: Any) -> None:
    with pytest.raises(ValueError, match="labels are the whole numbers 0 to 2") as caught:
        check_labels([0, 1, wrong], NAMES)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("labels", [[0, 1, 3], [0, -1, 1], [0.0, 1.0, 2.0]])
def test_data_with_labels_out_of_range_are_refused(labels: list[Any]) -> None:
    with pytest.raises(ValueError, match="labels are the whole numbers 0 to 2"):
        ImageData(images(3), torch.tensor(labels), NAMES)


def test_labels_in_range_come_back_as_int64() -> None:
    for given in ([2, 0], torch.tensor([2, 0], dtype=torch.uint8), np.array([2, 0])):
        found = check_labels(given, NAMES)
        assert found.dtype == torch.int64
        assert found.tolist() == [2, 0]


def labelled(*counts: int) -> ImageData:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return ImageData(images(sum(counts)), labels, NAMES[: len(counts)])


def test_counts_and_sizes() -> None:
    data = labelled(3, 0, 2)
    assert data.counts() == {"zero": 3, "one": 0, "two": 2}
    assert (len(data), data.size, data.channels) == (5, (4, 6), 1)
    assert ImageData(images(3), torch.zeros(3, dtype=torch.int64), ()).counts() == {}


def test_an_empty_class_is_named_and_not_renumbered() -> None:
    data = labelled(3, 0, 2)
    (warning,) = data.warnings()
    assert "one" in warning
    assert "zero" not in warning
    assert data.labels.tolist() == [0, 0, 0, 2, 2]


def test_a_rare_class_is_named_with_its_count() -> None:
    (warning,) = labelled(990, 10).warnings()
    assert "one (10)" in warning
    assert labelled(50, 40, 60).warnings() == []


def test_the_same_size_is_the_same_data() -> None:
    data = labelled(2, 1)
    assert data.fitted((4, 6)) is data


def test_padding_centres_on_black_and_touches_no_pixel() -> None:
    data = labelled(2, 1)
    padded = data.fitted((7, 8), "pad")
    assert padded.size == (7, 8)
    assert padded.images.dtype == torch.uint8
    assert torch.equal(padded.images[:, :, 1:5, 1:7], data.images)
    assert padded.images.long().sum() == data.images.long().sum()
    assert torch.equal(padded.labels, data.labels)


@pytest.mark.parametrize("size", [(3, 6), (4, 5), (8, 5), (2, 3)])
def test_padding_shrinks_what_is_too_large_and_keeps_its_proportions(size: tuple[int, int]) -> None:
    lit = torch.full((2, 1, 4, 6), 200, dtype=torch.uint8)
    padded = ImageData(lit, torch.tensor([0, 1]), NAMES).fitted(size, "pad").images
    assert padded.shape == (2, 1, *size)
    rows, columns = (padded[0, 0] == 200).nonzero().T
    height, width = rows.unique().numel(), columns.unique().numel()
    share = min(size[0] / 4, size[1] / 6)
    assert (height, width) == (round(4 * share), round(6 * share))
    assert (padded == 200).sum() == 2 * height * width
    assert (padded == 0).sum() == padded.numel() - 2 * height * width


def test_cropping_is_the_default_and_cuts_evenly() -> None:
    data = labelled(2, 1)
    assert torch.equal(data.fitted((4, 4)).images, data.images[..., 1:5])
    assert torch.equal(data.fitted((4, 4), "crop").images, data.images[..., 1:5])


@pytest.mark.parametrize("size", [(8, 12), (2, 3), (5, 5)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_resizing_keeps_grey_levels_channels_and_order(
    size: tuple[int, int], channels: int, fit: Any
) -> None:
    levels = torch.arange(6, dtype=torch.uint8).reshape(2, 3)[:, :channels] * 40
    flat = levels[:, :, None, None].expand(2, channels, 4, 6).contiguous()
    resized = ImageData(flat, torch.tensor([0, 1]), NAMES).fitted(size, fit)
    assert resized.images.shape == (2, channels, *size)
    assert torch.equal(resized.images, levels[:, :, None, None].expand(2, channels, *size))
    assert resized.labels.tolist() == [0, 1]


def test_shrinking_averages_rather_than_drops_pixels() -> None:
    board = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat(8, 8)[None, None]
    small = ImageData(board, torch.tensor([0]), NAMES).fitted((4, 4)).images.float()
    assert (small[..., 1:-1, 1:-1] - 127.5).abs().max() < 20


# --- Digits are never mirrored.


def left_half(count: int, size: int) -> ImageData:
    dots = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    source = torch.Generator().manual_seed(0)
    dots[..., : size // 2] = torch.randint(
        100, 256, (count, 1, size, size // 2), generator=source
    ).to(torch.uint8)
    return ImageData(dots, torch.arange(count) % 3, NAMES)


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_fitting_leaves_the_left_half_lit(fit: Any) -> None:
    fitted = left_half(5, 8).fitted((16, 16), fit).images.float()
    assert fitted[..., 4:7].mean() > 60
    assert fitted[..., 9:].max() == 0


def test_training_sees_images_lit_on_the_left_on_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    compute = DenoisingObjective.loss

    def spy(self: DenoisingObjective, denoiser: Any, x0: Tensor, *rest: Any) -> Tensor:
        seen.append(x0.clone())
        return compute(self, denoiser, x0, *rest)

    monkeypatch.setattr(DenoisingObjective, "loss", spy)
    data = left_half(20, 8)
    make_trainer(tiny_recipe(), data).run()
    assert len(seen) == 10
    batches = torch.cat(seen)
    assert (batches[..., 4:] == -1).all()
    assert (batches[..., :4] > -0.3).all()
    # And not upside down or otherwise changed: each is one of the images.
    known = {image.numpy().tobytes() for image in data.images}
    assert {((x + 1) * 127.5).round().byte().numpy().tobytes() for x in batches} <= known
