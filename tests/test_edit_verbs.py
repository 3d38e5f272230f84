"""``mezzotint inpaint``, ``edit`` and ``morph``: pictures, arrays and films, and what they refuse."""

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import load
from mezzotint.cli import main
from models import random_model_file

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a picture, a mask and the masks of another size."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("picture.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[4:] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save("tall.png")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(random_model_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def image():
    return torch.from_numpy(PICTURE)[None]


def array(path):
    with np.load(path) as content:
        return torch.from_numpy(content["images"]), content["labels"].tolist()


def test_inpaint_writes_what_python_gives(place, model, capsys):
    main_ok(
        ["inpaint", model, "picture.png", "mask.png", "7", "2", "--count", "2", "--out", "x.npz"]
    )
    assert capsys.readouterr().out.strip().endswith("x.npz")
    images, labels = array("x.npz")
    assert labels == [7, 7, 2, 2]
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[4:] = True
    assert torch.equal(images, load(model, "cpu").inpaint(image(), mask, labels))
    main_ok(["inpaint", model, "picture.png", "bottom", "7", "2", "--count", "2", "--out", "y.npz"])
    assert torch.equal(array("y.npz")[0], images)


def test_edit_and_morph_write_what_python_gives(place, model):
    main_ok(["edit", model, "picture.png", "7", "--strength", "0.4", "--out", "x.npz"])
    assert torch.equal(array("x.npz")[0], load(model, "cpu").edit(image(), 0.4, [7]))
    main_ok(["morph", model, "3", "8", "--frames", "4", "--end-seed", "2", "--out", "m.npz"])
    with np.load("m.npz") as content:
        morphed = torch.from_numpy(content["images"])
    assert torch.equal(morphed, load(model, "cpu").morph(3, 8, frames=4, end_seed=2))


@pytest.mark.parametrize("ending", ["png", "gif", "webp", "apng"])
@pytest.mark.parametrize(
    "words",
    [
        ["inpaint", "picture.png", "mask.png", "7"],
        ["edit", "picture.png", "7", "1"],
        ["morph", "3", "8", "--frames", "3"],
    ],
    ids=lambda words: words[0],
)
def test_pictures_and_films_can_be_opened(place, model, words, ending):
    verb, *rest = words
    main_ok([verb, model, *rest, "--out", f"out.{ending}", "--scale", "2"])
    with Image.open(f"out.{ending}") as picture:
        assert picture.format == {"apng": "PNG"}.get(ending, ending.upper())
        if ending != "png":
            assert picture.n_frames > 1


def test_a_picture_of_another_size_is_fitted_and_that_is_said(place, model, capsys):
    Image.fromarray(PICTURE.repeat(3, 0).repeat(3, 1)).convert("RGBA").save("large.png")
    Image.fromarray(np.full((24, 24), 255, np.uint8)).save("large-mask.png")
    main_ok(["inpaint", model, "large.png", "large-mask.png", "7", "--out", "x.png"])
    assert "24x24 pixels are brought to 8x8" in capsys.readouterr().err


def main_ok(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code, ended.value.code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inpaint", "picture.png", "tall.png", "7"], "8x9 pixels: it must have 8x8"),
        (["inpaint", "picture.png", "black.png", "7"], "black everywhere"),
        (["inpaint", "picture.png", "nothing.png", "7"], "none of top, bottom"),
        (["inpaint", "nothing.png", "mask.png", "7"], "No such file"),
        (["inpaint", "mask.txt", "mask.png", "7"], "No such file"),
        (["inpaint", "picture.png", "mask.png", "10"], "10"),
        (["inpaint", "picture.png", "mask.png", "7", "--method", "replace"], "not for a model"),
        (["inpaint", "picture.png", "mask.png", "7", "--count", "0"], "count = 0"),
        (["inpaint", "picture.png", "mask.png", "7", "--out", "x.jpg"], "ending must be"),
        (["inpaint", "test:0", "mask.png", "7"], "do not have the shape"),
        (["edit", "picture.png", "7", "--strength", "2"], "strength = 2"),
        (["edit", "picture.png", "7", "--scale", "0"], "scale = 0"),
        (["edit", "picture.png", "7", "--scale", "2", "--out", "x.npz"], "only pictures"),
        (["morph", "3", "3"], "same image"),
        (["morph", "3", "12"], "12"),
        (["morph", "3", "8", "--frames", "1"], "frames"),
        (["morph", "3", "8", "--out", "x.bmp"], "ending must be"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(place, model, arguments, words):
    before = sorted(place.iterdir())
    verb, *rest = arguments
    with pytest.raises(SystemExit) as ended:
        main([verb, model, *rest])
    assert words in str(ended.value.code)
    assert sorted(place.iterdir()) == before
