"""A visitor of the pages, in a real browser: chromium as Debian has it, driven by Playwright."""

import os
import re
import shutil
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

BROWSED = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
"""Marks of a module whose tests need a browser."""


@contextmanager
def opened_browser():
    """A browser without a window."""
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@contextmanager
def served(folder):
    """The address of a folder on a plain web server."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@contextmanager
def visit(browser, address, expected="(?!)", **options):
    """A page that has drawn its first pictures; what it asks for and complains of is checked.

    Complaints that match ``expected`` are let pass.
    """
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    complaints = []
    asked = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#results:not([hidden])", timeout=60_000)
    yield page
    own = address.split("#")[0].rsplit("/", 1)[0]
    others = [url for url in asked if not url.startswith((own, "data:", "blob:"))]
    context.close()
    assert not others
    assert not [words for words in complaints if not re.search(expected, words)]


def until(page, expression, seconds=60):
    """Wait until an expression is true. Playwright's own way needs eval, which the page forbids."""
    for _ in range(10 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(
        f"never true: {expression}; the page says {page.locator('#status').text_content()!r}"
    )


def press(page):
    """Press the button, and wait for new pictures."""
    page.evaluate("() => { window.mezzotint.stages[0].element.id = 'old'; }")
    page.locator("#run").click()
    until(page, "document.getElementById('old') === null")


def images(page, stage=0, moment=-1, name="x"):
    """The images of a moment, (n, channels, height, width)."""
    film = f"window.mezzotint.stages[{stage}].film"
    values = page.evaluate(f"[...{film}.{name}.at({moment})]")
    shape = page.evaluate(f"{film}.shape")
    return np.array(values, np.uint8).reshape(-1, *shape)


def set_fields(page, **values):
    page.evaluate("document.getElementById('more').open = true")
    for name, value in values.items():
        field = page.locator(f"#{name.replace('_', '-')}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))


def choose(page, *labels):
    for chip in page.locator("#classes button").all():
        pressed = chip.get_attribute("aria-pressed") == "true"
        wanted = int(chip.get_attribute("data-label")) in labels
        if pressed != wanted:
            chip.click()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def stroke(page, *points):
    """Draw a line on the easel through points given as parts of its side."""
    box = page.locator("#easel").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def easel(page, name):
    return np.array(page.evaluate(f"[...window.mezzotint.easel.{name}]"), np.uint8)
