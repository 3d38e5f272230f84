"""Models whose images have different shapes, in one page: a picture stays with a model that it fits."""

import io

import numpy as np
import pytest
from PIL import Image

import mezzotint
from common import tiny_recipe
from mezzotint import weights
from mezzotint.data import ImageSpec
from mezzotint.export.page import export_page
from models import random_model_file, random_weights
from studio_process import Studio
from visitor import (
    BROWSED,
    choose,
    easel,
    images,
    opened_browser,
    press,
    served,
    set_fields,
    stroke,
    tab,
    until,
    visit,
)

pytestmark = BROWSED
ENGINES = pytest.mark.parametrize("which", ["studio", "page"])


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of a grey model, of a coloured one, and of one whose images are wide and have as many values."""
    folder = tmp_path_factory.mktemp("models")
    wide = ImageSpec((8, 24), 1, tuple("0123456789"))
    recipe = tiny_recipe()
    weights.write(folder / "wide.safetensors", random_weights(recipe, wide), recipe, wide)
    return [
        random_model_file(folder / "grey.safetensors"),
        random_model_file(folder / "colour.safetensors", channels=3),
        folder / "wide.safetensors",
    ]


@pytest.fixture(scope="module")
def addresses(models, tmp_path_factory):
    """The pages, by engine."""
    folder = tmp_path_factory.mktemp("shapes")
    try:
        loaded = {path.stem: mezzotint.load(path, "cpu") for path in models}
        export_page(loaded, folder / "page")
    except FileNotFoundError as error:
        pytest.skip(f"no runtime for the browser: {error}")
    studio = Studio(folder, *map(str, models))
    with served(folder / "page") as address:
        yield {"studio": studio.address, "page": address}
    studio.stop()


def shape(page):
    return page.evaluate("window.mezzotint.easel.shape")


@ENGINES
def test_a_picture_goes_to_the_easel_with_its_model_whatever_is_chosen_meanwhile(
    browser, addresses, which
):
    with visit(browser, addresses[which]) as page:
        set_fields(page, model="colour")
        choose(page, 3)
        press(page)
        set_fields(page, model="wide")
        page.get_by_role("button", name="Mend this").first.click()
        assert page.locator("#model").input_value() == "colour"
        assert shape(page) == [3, 8, 8]
        picture = images(page)[0]
        assert (easel(page, "image") == picture.ravel()).all()
        stroke(page, (0.2, 0.5), (0.8, 0.5))
        press(page)
        known = easel(page, "mask").reshape(8, 8) == 0
        assert 0 < known.sum() < 64
        assert (images(page)[0][:, known] == picture[:, known]).all()


@ENGINES
def test_a_drawing_is_kept_for_the_models_that_it_fits(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Draw")
        set_fields(page, model="colour")
        stroke(page, (0.2, 0.2), (0.8, 0.8))
        drawn = easel(page, "image")
        assert drawn.any()
        set_fields(page, model="wide")
        assert shape(page) == [1, 8, 24]
        assert len(easel(page, "image")) == len(drawn)
        assert not easel(page, "image").any()
        press(page)
        assert images(page).shape[1:] == (1, 8, 24)
        tab(page, "Fill")
        page.locator("#run").click()
        words = page.locator("#status.error").text_content()
        assert "Nothing is to be repainted" in words
        tab(page, "Draw")
        set_fields(page, model="colour")
        assert (easel(page, "image") == drawn).all()
        press(page)
        assert images(page).shape[1:] == (3, 8, 8)


@ENGINES
def test_a_picture_of_another_size_is_refused_in_words(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Draw")
        page.evaluate("window.mezzotint.easel.image = new Uint8Array(7)")
        page.locator("#run").click()
        words = page.locator("#status.error").text_content()
        assert "The picture has another size than those of grey" in words


@ENGINES
def test_pictures_of_two_shapes_are_saved_side_by_side_in_their_own(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Compare")
        set_fields(page, model="grey", other_model="wide")
        choose(page, 5)
        press(page)
        until(page, "document.getElementById('time').value === document.getElementById('time').max")
        with page.expect_download() as download:
            page.locator("[data-format=png]").click()
        with Image.open(io.BytesIO(download.value.path().read_bytes())) as opened:
            saved = np.asarray(opened.convert("L"))[::4, ::4]
        assert saved.shape == (2 * 10 + 2, 24 + 2 + 2)
        assert (saved[2:10, 2:10] == images(page)[0, 0]).all()
        assert (saved[12:20, 2:26] == images(page, stage=1)[0, 0]).all()
