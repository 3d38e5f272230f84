"""The two pages in a real browser: the studio, and a page that runs its models itself.

Chromium as Debian has it, driven by Playwright. A request to any other host, or an error in the console,
fails the test. With MEZZOTINT_SCREENSHOTS=FOLDER, pictures of the studio are written there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint
from mezzotint.export.page import export_page
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

SHOTS = os.environ.get("MEZZOTINT_SCREENSHOTS")


@pytest.fixture(scope="module")
def studio():
    """The address of a studio of the shipped models."""
    words = [sys.executable, "-m", "mezzotint", "studio", "--no-browser", "--port", "7981"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:7981/"), line + process.stdout.read()
    yield line.split()[0]
    process.terminate()
    process.wait(timeout=60)
    process.stdout.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders of a page of several files, and of a single one."""
    folder = tmp_path_factory.mktemp("pages")
    models = {name: mezzotint.load(name, "cpu") for name in ("digits-fast", "digits")}
    try:
        export_page(models, folder / "page")
        export_page({"digits-fast": models["digits-fast"]}, folder / "single", single_file=True)
    except FileNotFoundError as error:
        pytest.skip(f"no runtime for the browser: {error}")
    return folder


@pytest.fixture(scope="module")
def addresses(studio, exported):
    """The pages, by name."""
    with served(exported / "page") as address:
        single = (exported / "single" / "index.html").as_uri()
        yield {"studio": studio, "page": address, "single": single}


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


PAGES = pytest.mark.parametrize("which", ["studio", "page", "single"])


def same(drawn, right, which):
    """Byte for byte on the server; in the browser up to the rounding of another library."""
    right = right.numpy()
    assert drawn.shape == right.shape
    difference = np.abs(drawn.astype(int) - right.astype(int))
    if which == "studio":
        assert difference.max() == 0
    else:
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.01


def shoot(page, name):
    """A small picture of the page for the docs, if asked for."""
    if SHOTS is None:
        return
    path = Path(SHOTS) / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(48, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


@PAGES
def test_digits_of_a_seed_are_those_of_python(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        set_fields(page, model="digits-fast")
        set_fields(page, seed=5, count=2, steps=4)
        choose(page, 3, 7)
        press(page)
        model = mezzotint.load("digits-fast", "cpu")
        right = model.trajectory([3, 3, 7, 7], seed=5, steps=4)
        for moment in (0, 2, 4):
            same(images(page, moment=moment), right.x[moment], which)
            same(images(page, moment=moment, name="x0"), right.x0[moment], which)
        shown = page.locator("#time")
        assert shown.get_attribute("max") == "4"
        canvas = page.locator(".pictures canvas").first
        last = canvas.evaluate("canvas => canvas.toDataURL()")
        shown.fill("0")
        assert page.locator("#time-value").text_content() == "t = 1.000"
        assert canvas.evaluate("canvas => canvas.toDataURL()") != last


def test_a_model_of_many_steps_draws_the_same_in_the_browser(browser, addresses):
    with visit(browser, addresses["page"]) as page:
        set_fields(page, model="digits")
        set_fields(page, seed=3)
        choose(page, 2, 9)
        press(page)
        model = mezzotint.load("digits", "cpu")
        same(images(page), model.sample([2, 9], seed=3), "page")
        exact = np.array(page.evaluate("[...window.mezzotint.stages[0].film.exact]"), np.float32)
        (last,) = [step.x for step in model.denoise([2, 9], seed=3) if step.final]
        assert np.abs(exact - last.flatten().numpy()).max() < 1e-4


@PAGES
def test_a_scribble_becomes_a_digit(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Draw")
        set_fields(page, model="digits-fast")
        stroke(page, (0.3, 0.25), (0.7, 0.25), (0.45, 0.8))
        choose(page, 7)
        set_fields(page, seed=2)
        page.locator("#strength").fill("0.6")
        press(page)
        drawing = torch.from_numpy(easel(page, "image").reshape(1, 28, 28))
        assert drawing.max() > 200
        right = mezzotint.load("digits-fast", "cpu").edit(drawing, 0.6, [7], seed=2)
        same(images(page), right, which)
        if which == "studio":
            page.wait_for_selector(".caption .match, .caption .miss", timeout=60_000)
            shoot(page, "studio-draw")


@PAGES
def test_a_part_is_filled_in_and_the_rest_is_kept(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        set_fields(page, model="digits-fast")
        set_fields(page, seed=1)
        choose(page, 3)
        press(page)
        page.get_by_role("button", name="Mend this").first.click()
        stroke(page, (0.2, 0.7), (0.8, 0.7))
        choose(page, 3)
        set_fields(page, count=3)
        press(page)
        mask = torch.from_numpy(easel(page, "mask").reshape(28, 28)) > 0
        image = torch.from_numpy(easel(page, "image").reshape(1, 28, 28))
        assert 0 < mask.sum() < 784
        model = mezzotint.load("digits-fast", "cpu")
        same(images(page), model.inpaint(image, mask, [3, 3, 3], seed=1, steps=24), which)
        assert (images(page)[:, :, ~mask.numpy()] == image.numpy()[:, ~mask.numpy()]).all()
        if which == "studio":
            page.wait_for_selector(".caption .match, .caption .miss", timeout=60_000)
            shoot(page, "studio-fill")


@PAGES
def test_one_digit_turns_into_another(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Morph")
        set_fields(page, model="digits-fast")
        set_fields(page, start=4, end=9, seed=6, end_seed=8, frames=9)
        press(page)
        model = mezzotint.load("digits-fast", "cpu")
        same(images(page), model.morph(4, 9, frames=9, seed=6, end_seed=8), which)
        assert page.locator("#time").get_attribute("max") == "8"
        if which == "studio":
            shoot(page, "studio-morph")


def test_two_settings_stand_side_by_side(browser, addresses):
    with visit(browser, addresses["studio"]) as page:
        tab(page, "Compare")
        set_fields(page, model="digits", other_model="digits-fast", seed=4)
        choose(page, 5)
        press(page)
        model = mezzotint.load("digits", "cpu")
        same(images(page), model.sample([5], seed=4), "studio")
        other = mezzotint.load("digits-fast", "cpu")
        same(images(page, stage=1), other.sample([5], seed=4), "studio")


@pytest.mark.parametrize("which", ["studio", "single"])
def test_a_link_holds_every_setting(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        tab(page, "Fill")
        set_fields(page, model="digits-fast")
        stroke(page, (0.2, 0.2), (0.8, 0.8))
        choose(page, 6)
        set_fields(page, seed=12, count=2, steps=8)
        press(page)
        link = page.locator("#link").input_value()
        first = images(page)
        commands = page.locator("#command").input_value()
        assert "inpaint digits-fast picture.png mask.png 6 --count 2" in commands
    with visit(browser, link) as page:
        assert np.array_equal(images(page), first)
        assert page.locator("#seed").input_value() == "12"
        assert page.get_by_role("tab", name="Fill").get_attribute("aria-selected") == "true"


def test_what_is_offered_can_be_opened(browser, addresses, tmp_path):
    with visit(browser, addresses["studio"]) as page:
        page.wait_for_selector(".caption .match", timeout=60_000)
        shoot(page, "studio-generate")
        page.locator("#recipe summary").click()
        assert "mezzotint sample digits" in page.locator("#command").input_value()
        for ending in ("png", "gif", "webp", "apng"):
            with page.expect_download() as download:
                page.locator(f"[data-format={ending}]").click()
            path = tmp_path / f"film.{ending}"
            download.value.save_as(path)
            with Image.open(path) as picture:
                assert picture.format == {"apng": "PNG"}.get(ending, ending.upper())
                assert ending == "png" or picture.n_frames > 5


@PAGES
def test_bad_input_gets_a_sentence_and_the_next_run_works(browser, addresses, which):
    with visit(browser, addresses[which]) as page:
        cases = [
            *(("count", value) for value in ("0", "-1", "1000000", "2.5", "")),
            *(("guidance", value) for value in ("-1", "1e9", "")),
            *(("seed", value) for value in ("-1", "abc", "", str(2**70), "1.5")),
        ]
        page.evaluate("document.getElementById('more').open = true")
        for name, value in cases:
            field = page.locator(f"#{name}")
            right = field.input_value()
            field.fill(value)
            page.locator("#run").click()
            page.wait_for_selector("#status.error")
            assert name in page.locator("#status").text_content().lower()
            field.fill(right)
        choose(page)
        page.locator("#run").click()
        assert "class" in page.locator("#status.error").text_content()
        choose(page, 1)
        press(page)


def test_a_drawing_needs_no_mouse(browser, addresses):
    with visit(browser, addresses["studio"]) as page:
        tab(page, "Draw")
        page.locator("#easel").focus()
        for key in ("Space", "ArrowDown", "ArrowDown", "Space"):
            page.keyboard.press(key)
        assert (easel(page, "image") > 100).sum() > 5
        page.keyboard.press("Delete")
        assert not easel(page, "image").any()
        page.get_by_role("tab", name="Draw").focus()
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("tab", name="Fill").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("name", ["Generate", "Draw", "Fill", "Morph", "Compare"])
def test_every_control_has_a_name_and_a_telephone_shows_all(browser, addresses, name):
    with visit(browser, addresses["studio"], viewport={"width": 390, "height": 800}) as page:
        tab(page, name)
        nameless = page.evaluate(
            """[...document.querySelectorAll("button, input, select, textarea, canvas[tabindex]")]
            .filter((field) => field.checkVisibility() && !(field.labels?.length
              || field.getAttribute("aria-label") || field.textContent.trim()))
            .map((field) => field.outerHTML)"""
        )
        assert not nameless
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
        if name == "Generate":
            page.wait_for_selector(".caption .match", timeout=60_000)
            shoot(page, "studio-telephone")


def test_dark_follows_the_visitor(browser, addresses):
    grounds = []
    for scheme in ("light", "dark"):
        with visit(browser, addresses["studio"], color_scheme=scheme) as page:
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
    assert grounds[0] > 600
    assert grounds[1] < 150


def test_stop_stops(browser, addresses):
    with visit(browser, addresses["studio"]) as page:
        set_fields(page, model="digits")
        set_fields(page, count=10, steps=100, sampler="heun")
        page.locator("#run").click()
        page.locator("#stop:not([disabled])").click()
        until(page, "document.getElementById('status').textContent === 'Stopped.'")
        set_fields(page, count=1, steps=1, sampler="ddim")
        press(page)
