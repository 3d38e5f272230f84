"""Damaged and hostile files: read, or refused in a line. `python -m soak.mutants` reads many more of them."""

import errno
import gzip
import math
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import loading
from mezzotint.cli import main
from mezzotint.data import Frame, open_data
from mezzotint.data.decode import read_header, read_picture
from mezzotint.evaluation.features import load_classifier
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.toml import from_toml
from mezzotint.training.log import MetricsLog, read_metrics
from mezzotint.weights import content_of
from models import random_model_file
from soak import good_files, report
from soak.confined import Limits, Verdict, verdicts
from soak.good_files import without_hashes
from soak.hostile_formats import FORMATS
from soak.mutants import attack
from soak.mutants import content_of as mutant_of

COUNT = 60
DEEP = "[" * 100_000
MARKS = {"words": pytest.mark.slow}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=MARKS.get(name, ())) for name in FORMATS],
)
def test_mutants_are_read_or_refused_in_a_line(name: str) -> None:
    tally = report.Tally(["read", "refused"])
    attack(tally, name, COUNT, seed=1)
    assert tally.failures == []
    assert tally.total == round(COUNT * FORMATS[name].share)


def test_mutants_are_always_the_same() -> None:
    assert [mutant_of("png", 5, k) for k in range(9)] == [mutant_of("png", 5, k) for k in range(9)]
    assert mutant_of("png", 5, 1) != mutant_of("png", 6, 1)


def _break(index: int) -> str:
    if index == 1:
        raise TypeError("not ours")
    if index == 2:
        raise ValueError("two\nlines")
    if index == 3:
        bytearray(2**40)  # more than was freed before
    if index == 4:
        while True:
            math.sqrt(2)
    if index == 5:
        raise OSError(28, "no room")
    if index == 6:
        os._exit(3)
    if index == 7:
        raise ValueError("ours")
    return "read"


def test_what_breaks_the_promise_is_seen_and_the_rest_goes_on(tmp_path: Path) -> None:
    found = dict(verdicts(lambda place: _break, tmp_path, 9, Limits(0.5, 2**26)))
    words = [
        "",
        "TypeError: not ours",
        "of 2 lines",
        "MemoryError",
        "more than 0.5 s",
        "without a file",
    ]
    assert [found[k].outcome for k in range(9)] == ["read", *["broken"] * 6, "refused", "read"]
    assert all(word in found[k].why for k, word in enumerate(words))
    assert found[6] == Verdict("broken", "the process died, exit code 3")


# What mutants found, and was mended.


def test_a_bomb_of_gzip_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images-idx3"
    path.write_bytes(gzip.compress(bytes(2**24)) * 64)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has IDX element type 0x00"):
            open_data(f"idx:{path}")
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("code", [0x0C, 0x0D, 0x0E])
def test_labels_that_number_no_class_are_refused_before_classes_are_made(
    tmp_path: Path, code: int
) -> None:
    kind = {0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}[code]
    labels = np.array([0, 2**30] * 6, kind).tobytes()
    (tmp_path / "images-idx3").write_bytes(good_files.idx()[0])
    path = tmp_path / "labels-idx1"
    path.write_bytes(struct.pack(">HBBI", 0, code, 1, 12) + labels)
    with pytest.raises(ValueError, match=rf"{path}: label {2**30}: .* 65,536 are the most"):
        open_data(f"idx:{tmp_path / 'images-idx3'}")


def test_labels_in_half_precision_are_whole_numbers_too(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    labels = good_files.LABELS.astype(np.float16)
    path.write_bytes(good_files.npz_of(images=good_files.IMAGES, labels=labels))
    assert open_data(f"npz:{path}").classes == ("0", "1", "2")


@pytest.mark.parametrize("value", [10**6, 2**40, 2**63 - 1, 1e300, math.inf])
def test_so_are_those_of_an_npz(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(good_files.npz_of(images=good_files.IMAGES, labels=np.array([0, value] * 6)))
    with pytest.raises(ValueError, match=r"a\.npz: .*(65,536 are the most|whole numbers or names)"):
        open_data(f"npz:{path}")


def test_names_of_classes_in_bytes_are_their_text(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    names = np.array([b"cat", b"dog", b"owl"])
    path.write_bytes(
        good_files.npz_of(images=good_files.IMAGES, labels=good_files.LABELS, classes=names)
    )
    assert open_data(f"npz:{path}").classes == ("cat", "dog", "owl")


def test_more_names_than_can_be_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    names = np.zeros(2**17, "S1")
    path.write_bytes(
        good_files.npz_of(True, images=good_files.IMAGES, labels=good_files.LABELS, classes=names)
    )
    with pytest.raises(ValueError, match=r"131,072 classes: 65,536 are the most"):
        open_data(f"npz:{path}")


@pytest.mark.parametrize(
    "header",
    [
        "(" * 500,
        "'" * 9,
        "{'descr'",
        DEEP[:9000],
        "{'descr': '|V1000000000', 'fortran_order': False, 'shape': (2147483648,)}",
    ],
    ids=["brackets", "quotes", "cut", "depth", "size"],
)
def test_headers_of_arrays_that_numpy_chokes_on_are_refused(tmp_path: Path, header: str) -> None:
    raw = header.encode()
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(raw)) + raw
    path = tmp_path / "a.npz"
    path.write_bytes(good_files.zip_of({"images.npy": array}))
    with pytest.raises(ValueError, match=r"a\.npz is no readable \.npz file: .+"):
        open_data(f"npz:{path}")


def test_a_member_without_a_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.zip"
    path.write_bytes(good_files.zip_of({"": b"x"}))
    with pytest.raises(ValueError, match=r"a\.zip is no whole \.zip"):
        open_data(f"folder:{path}")


def test_an_archive_whose_table_lies_before_its_beginning_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    whole = good_files.zips()[0]
    path = tmp_path / "a.zip"
    path.write_bytes(whole[len(whole) // 2 :])
    with pytest.raises(ValueError, match=r"a\.zip"):
        open_data(f"folder:{path}", frame=Frame(size=(8, 8)))
    assert not list((tmp_path / "cache").glob("**/.tmp-*"))


@pytest.mark.parametrize("size", [(2**24, 2), (20_000, 20_000), (70_000, 1)], ids=str)
def test_a_picture_that_claims_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.bmp"
    head = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, *size, 1, 24, 0, 0, 0, 0, 0, 0
    )
    path.write_bytes(head)
    with pytest.raises(ValueError, match=r"a\.bmp .* more than 134,217,728 pixels, or more than"):
        read_header(path)


def test_a_picture_that_does_not_fit_into_memory_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (4, 4)).save(path)

    def no_room(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "alpha_composite", no_room)
    with pytest.raises(OSError, match=r"not enough memory: .*a\.png") as refused:
        read_picture(path, 1, Frame(size=(4, 4)))
    assert refused.value.errno == errno.ENOMEM


def _model_with(path: Path, **changes: object) -> Path:
    """A weights file with another header."""
    path.write_bytes(without_hashes(random_model_file(path).read_bytes(), **changes))
    return path


def test_a_header_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = _model_with(tmp_path / "a.safetensors", images=DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        loading.load(path, "cpu")
    path = _model_with(tmp_path / "a.safetensors", recipe=f"a = {DEEP}")
    with pytest.raises(ValueError, match="is not valid TOML"):
        loading.load(path, "cpu")


@pytest.mark.parametrize("key", ["width", "embedding"])
def test_a_recipe_that_claims_a_giant_network_is_refused_before_it_is_made(
    tmp_path: Path, key: str
) -> None:
    recipe = f'format = 2\n[net]\nname = "lean"\n{key} = 16384\nblocks = 1\n'
    path = _model_with(tmp_path / "a.safetensors", recipe=recipe)
    with pytest.raises(ValueError, match="the weights do not fit the network: ") as refused:
        loading.load(path, "cpu")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "card", [DEEP, "[]", "{}", '{"kind": "x"}'], ids=["deep", "list", "none", "kind"]
)
def test_a_damaged_classifier_is_refused_by_name(tmp_path: Path, card: str) -> None:
    path = tmp_path / "judge.safetensors"
    path.write_bytes(content_of({}, {"classifier": card}))
    with pytest.raises(ValueError, match=r"judge\.safetensors is a damaged classifier"):
        load_classifier(path)


@pytest.mark.parametrize("text", [f"a = {DEEP}", "seed = " + "9" * 5000], ids=["depth", "number"])
def test_toml_beyond_all_measure_is_no_recipe(text: str) -> None:
    with pytest.raises(RecipeError, match="the recipe is not valid TOML"):
        from_toml(text)


def test_a_schedule_of_version_0_1_that_is_no_text_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"diffusion\.schedule"):
        from_toml("[diffusion]\nschedule = []\n")


def test_a_format_of_two_lines_is_refused_in_one() -> None:
    with pytest.raises(RecipeError) as refused:
        from_toml("format = '''a\nb'''")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [DEEP, "7", "[]", "null", '{"loss": 1}', '{"step": "4"}', '{"step": 4, "loss": "x"}', "\xff"],
    ids=["deep", "number", "list", "null", "stepless", "text", "loss", "bytes"],
)
def test_lines_that_are_no_entries_are_left_out_of_a_log(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"step": 1, "loss": 0.5}\n' + line.encode("latin-1") + b'\n{"step": 2, "loss": null}\n'
    )
    log = MetricsLog(path, 5)
    log.write({"step": 6, "loss": 0.25})
    assert log.losses == [(1, 0.5), (6, 0.25)]
    assert [entry["step"] for entry in read_metrics(path)] == [1, 2, 6]


def test_names_with_line_breaks_and_escapes_are_said_in_one_line() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sample", "no\nmodel\x1b[2J"])
    said = str(ended.value.code)
    assert "no model\\x1b[2J" in said
    assert len(said.splitlines()) == 1
