"""Pictures are decoded once, whatever happens on the way; broken ones are named or left out."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image

from mezzotint import build
from mezzotint.data import ImageData, cache
from mezzotint.data.decode import read_picture
from mezzotint.data.transforms import Frame
from mezzotint.recipe.schema import Data


class Decoder:
    """Counts the pictures decoded, and is stopped after ``limit`` of them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.limit = 10**6

    def __call__(self, file: Path, channels: int, frame: Frame) -> NDArray[np.uint8]:
        if len(self.seen) == self.limit:
            raise KeyboardInterrupt
        self.seen.append(file.name)
        return read_picture(file, channels, frame)

    def names(self) -> list[str]:
        """What was decoded since the last call."""
        names, self.seen, self.limit = self.seen, [], 10**6
        return names


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """A cache of this test's own, watched, which takes note of how far it is at every 4th picture."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "EVERY", 4)
    decoder = Decoder()
    monkeypatch.setattr(cache, "read_picture", decoder)
    return decoder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten pictures for training in two classes; the k-th of the second has the level 100 + k."""
    for first, name in ((0, "apple"), (100, "pear")):
        (tmp_path / "root" / "train" / name).mkdir(parents=True)
        for k in range(5):
            picture = Image.new("L", (6, 6), first + k)
            picture.save(tmp_path / "root" / "train" / name / f"{name}{k}.png")
    return tmp_path / "root" / "train"


MAPS = Path("/proc/self/maps")
Load = Callable[..., ImageData]
NAMES = [f"{name}{k}.png" for name in ("apple", "pear") for k in range(5)]


@pytest.fixture
def load(root: Path) -> Callable[..., ImageData]:
    """The pictures as training sees them."""
    (root.parent / "test" / "apple").mkdir(parents=True)

    def load(broken: str = "refuse", size: int | None = None) -> ImageData:
        section = Data(name=f"folder:{root.parent}", broken=broken, size=size)  # type: ignore[arg-type]
        return build.load_data(section)

    return load


def check_whole(data: ImageData, without: tuple[int, ...] = ()) -> None:
    """The levels and labels are those of the pictures that are whole."""
    expected = [level for k, level in enumerate([*range(5), *range(100, 105)]) if k not in without]
    assert data.images[:, 0, 3, 3].tolist() == expected
    assert (data.images == data.images[:, :, :1, :1]).all()
    assert data.labels.tolist() == [level // 100 for level in expected]


def test_pictures_are_decoded_once(load: Load, decoder: Decoder) -> None:
    check_whole(load())
    assert decoder.names() == NAMES
    check_whole(load())
    assert decoder.names() == []


@pytest.mark.skipif(not MAPS.exists(), reason="this system does not say what is mapped")
def test_the_images_are_mapped_from_the_disk(load: Load, decoder: Decoder, tmp_path: Path) -> None:
    data = load()
    (array,) = (tmp_path / "cache").rglob("images.npy")
    assert any(line.endswith(str(array)) for line in MAPS.read_text().splitlines())
    assert np.array_equal(np.load(array), data.images.numpy())


def test_an_interrupted_build_goes_on_where_it_took_its_last_note(
    load: Load, decoder: Decoder, tmp_path: Path
) -> None:
    decoder.limit = 7
    with pytest.raises(KeyboardInterrupt):
        load()
    assert decoder.names() == NAMES[:7]
    assert (
        list((tmp_path / "cache").rglob("images.npy")) == []
    )  # half an array is not taken for one
    check_whole(load())
    assert decoder.names() == NAMES[4:]
    check_whole(load())
    assert decoder.names() == []
    (array,) = (tmp_path / "cache").rglob("images.npy")
    assert sorted(p.name for p in array.parent.iterdir()) == ["built.json", "images.npy"]


def test_a_build_interrupted_before_its_first_note_begins_again(
    load: Load, decoder: Decoder
) -> None:
    decoder.limit = 2
    with pytest.raises(KeyboardInterrupt):
        load()
    decoder.names()
    check_whole(load())
    assert decoder.names() == NAMES


def test_an_interrupted_build_remembers_what_was_broken(
    load: Load, decoder: Decoder, root: Path
) -> None:
    (root / "apple" / "apple1.png").write_bytes(b"")
    decoder.limit = 6
    with pytest.raises(KeyboardInterrupt):
        load("skip")
    decoder.names()
    check_whole(load("skip"), without=(1,))
    assert decoder.names() == NAMES[4:]


def test_a_damaged_note_of_an_interrupted_build_is_refused_by_name(
    load: Load, decoder: Decoder, tmp_path: Path
) -> None:
    decoder.limit = 7
    with pytest.raises(KeyboardInterrupt):
        load()
    (note,) = (tmp_path / "cache").rglob("built.json")
    before = note.read_text()
    assert '"done": 4' in before
    note.write_text(before.replace('"done": 4', '"done": 6'))  # two pictures would stay black
    decoder.limit = 10**6
    with pytest.raises(ValueError, match=r"built\.json is damaged: delete the folder .*pictures"):
        load()
    shutil.rmtree(note.parent)
    check_whole(load())


@pytest.mark.parametrize("damage", [b"", b"no array", b"shape"], ids=["empty", "text", "shape"])
def test_a_damaged_array_of_an_interrupted_build_is_refused_by_name(
    load: Load, decoder: Decoder, tmp_path: Path, damage: bytes
) -> None:
    decoder.limit = 7
    with pytest.raises(KeyboardInterrupt):
        load()
    (partial,) = (tmp_path / "cache").rglob("partial.npy")
    if damage == b"shape":
        partial.write_bytes(partial.read_bytes().replace(b"(10, 1,", b"(10, 2,"))
    else:
        partial.write_bytes(damage)
    decoder.limit = 10**6
    with pytest.raises(ValueError, match=r"partial\.npy is damaged: delete the folder"):
        load()


def test_a_changed_picture_is_decoded_anew(load: Load, decoder: Decoder, root: Path) -> None:
    check_whole(load())
    decoder.names()
    Image.new("L", (6, 6), 77).save(root / "pear" / "pear0.png")
    os.utime(root / "pear" / "pear0.png", ns=(1, 1))
    data = load()
    assert data.images[:, 0, 0, 0].tolist() == [*range(5), 77, *range(101, 105)]
    assert decoder.names() == NAMES


def test_a_picture_more_or_less_is_seen(load: Load, decoder: Decoder, root: Path) -> None:
    check_whole(load())
    Image.new("L", (6, 6), 105).save(root / "pear" / "pear5.png")
    assert load().images[:, 0, 0, 0].tolist() == [*range(5), *range(100, 106)]
    (root / "pear" / "pear5.png").unlink()
    (root / "apple" / "apple0.png").unlink()
    check_whole(load(), without=(0,))


def test_another_size_is_another_cache(load: Load, decoder: Decoder) -> None:
    assert load().size == (6, 6)
    assert load(size=3).size == (3, 3)
    check_whole(load())
    assert decoder.names() == NAMES * 2


def test_what_is_done_to_the_images_in_memory_stays_there(load: Load, decoder: Decoder) -> None:
    load().images.zero_()
    check_whole(load())
    assert decoder.names() == NAMES  # and the file was not made anew


@pytest.mark.parametrize("what", ["pillow", "layout"])
def test_what_another_version_decoded_is_not_taken_for_ones_own(
    load: Load, decoder: Decoder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    load()
    if what == "pillow":
        monkeypatch.setattr(PIL, "__version__", "0.1")
    else:
        monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    check_whole(load())
    assert decoder.names() == NAMES * 2


def test_a_cache_that_was_long_not_used_goes_when_another_is_built(
    load: Load, decoder: Decoder, tmp_path: Path
) -> None:
    caches = tmp_path / "cache" / "mezzotint" / "pictures"
    load(size=3)
    (old,) = (path for path in caches.iterdir() if path.is_dir())
    load(size=4)
    (used,) = (path for path in caches.iterdir() if path.is_dir() and path != old)
    last = time.time() - (cache.DAYS + 1) * 86_400
    for folder in (old, used):
        os.utime(folder, (last, last))
    assert load(size=4).size == (4, 4)  # which is a use of it
    assert old.is_dir()
    load(size=5)
    assert not old.exists()
    assert used.is_dir()
    assert len([path for path in caches.iterdir() if path.is_dir()]) == 2
    decoder.names()
    assert load(size=4).size == (4, 4)
    assert decoder.names() == []


# --- Broken pictures.

DAMAGES = {
    "empty": lambda content: b"",
    "1 byte": lambda content: content[:1],
    "20 bytes": lambda content: content[:20],
    "half": lambda content: content[: len(content) // 2],
    "text": lambda content: b"this is no picture\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_picture_is_refused_by_name_or_left_out(
    load: Load, decoder: Decoder, root: Path, damage: str
) -> None:
    path = root / "apple" / "apple3.png"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match=r"apple3\.png is a broken picture"):
        load()
    data = load("skip")
    check_whole(data, without=(3,))
    (note,) = data.notes
    assert note.startswith(f"1 broken pictures are left out, {path} first (")
    with pytest.raises(ValueError, match=r"apple3\.png is a broken picture"):
        load()  # though there is a cache without it by now


@pytest.mark.parametrize(
    "broken", [(0,), (9,), (3, 4, 5), (0, 2, 4, 6, 8), tuple(range(9))], ids=str
)
def test_labels_stay_with_their_pictures_whichever_are_left_out(
    load: Load, decoder: Decoder, root: Path, broken: tuple[int, ...]
) -> None:
    for k in broken:
        (root / NAMES[k][:-5] / NAMES[k]).write_bytes(b"broken")
    for _ in range(2):  # built, and from the cache
        check_whole(load("skip"), without=broken)


def test_a_folder_of_broken_pictures_only_is_refused(
    load: Load, decoder: Decoder, root: Path
) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    for _ in range(2):
        for size in (None, 6):
            with pytest.raises(ValueError, match=r"not one of 10 pictures can be read.*apple0"):
                load("skip", size)


def test_nothing_is_written_beside_the_pictures(load: Load, decoder: Decoder, root: Path) -> None:
    before = sorted(root.parent.rglob("*"))
    load()
    assert sorted(root.parent.rglob("*")) == before


def test_two_runs_do_not_build_the_same_array_at_once(
    load: Load, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the first, and finds nothing left to do."""
    monkeypatch.setattr(cache, "read_picture", lambda *a: time.sleep(0.02) or decoder(*a))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load(), range(2))
    assert decoder.names() == NAMES
    assert (first.images == second.images).all()


def test_a_full_disk_is_told_before_anything_is_decoded(
    load: Load, decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"needs 0 MB for decoded pictures: .*No space left"):
        load()
    assert decoder.names() == []
    assert not list((tmp_path / "cache").rglob("*.npy"))
