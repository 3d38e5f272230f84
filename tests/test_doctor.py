"""``mezzotint doctor``: what it finds in data that have something wrong with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_data
from mezzotint.cli import main
from mezzotint.data import ImageData
from mezzotint.data.inspect import concerns, inspect_files
from mezzotint.training import calibration


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.05)


def test_copies_mirror_images_and_blanks_are_counted() -> None:
    images = tiny_data(6, classes=2).images
    images[1] = images[0]
    images[3] = images[2].flip(2)
    images[4] = 7
    found = " ".join(concerns(ImageData(images, torch.arange(6) % 2, ("a", "b"))))
    assert "1 images are exact copies" in found
    assert "1 images are mirror images" in found
    assert "1 images are of one colour" in found
    assert "fewer than 100 images of class a (3), b (3)" in found


def test_a_symmetric_image_is_no_mirror_image() -> None:
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    images[0, 0, 1, 1:3] = 9
    images[1, 0, 2, 1:3] = 9
    images[2, 0, 0, 0] = 9
    assert not any("mirror" in c for c in concerns(ImageData(images, torch.zeros(3).long(), ())))


def test_modes_sizes_and_broken_files(tmp_path: Path) -> None:
    Image.new("L", (4, 6)).save(tmp_path / "a.png")
    Image.new("RGBA", (4, 6)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("no picture")
    found = inspect_files(sorted(tmp_path.iterdir()))
    assert found.modes == {"L": 1, "RGBA": 1}
    assert found.sizes == {(6, 4): 2}
    assert len(found.broken) == 1
    assert "c.png" in found.broken[0]


def test_the_command_says_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = np.random.default_rng(0)
    for name, count in (("cats", 60), ("dogs", 20)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(count):
            pixels = source.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{k}.png")
    (tmp_path / "pets" / "dogs" / "bad.png").write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", f"folder:{tmp_path / 'pets'}"])
    assert stopped.value.code in (0, None)
    said = capsys.readouterr().out
    for expected in (
        "files:     81",
        "modes:     RGB 80",
        "sizes:     8x8 80",
        "bad.png",
        "1 in all",
        "8x8x3",
        "cats 5",
        "dogs 1",
        "splits:",
        "consider --balance classes",
        "parameters",
        "images/s",
    ):
        assert expected in said, expected


SMALL = """
[net]
width = 8
blocks = 1
embedding = 16
heads = 2
groups = 4
[training]
batch = 8
"""
EXTRA = {"digits with eta": '[sampling]\nsampler = "ddim:eta=0.5"\n'}


@pytest.mark.parametrize(
    "recipe", ["digits", "digits-fast", "digits-refined", "digits-fast-refined", *EXTRA]
)
def test_what_training_would_take_is_said_for_every_kind_of_recipe(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the model that it would begin from, and without its way of sampling."""
    made = tiny_data(40)
    np.savez(tmp_path / "tiny.npz", images=made.images.numpy(), labels=made.labels.numpy())
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "{recipe.split()[0]}"\n{SMALL}{EXTRA.get(recipe, "")}')
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", f"npz:{tmp_path / 'tiny.npz'}", "--recipe", str(path)])
    assert stopped.value.code in (0, None), stopped.value
    said = capsys.readouterr().out
    assert "recipe:    mine" in said
    assert "steps of 8" in said
    assert "images/s" in said
