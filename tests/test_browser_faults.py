"""A studio that dies while somebody looks at its page, and visitors who see little or use no mouse."""

import re
import signal
from itertools import pairwise

import pytest

from studio_process import Studio
from visitor import BROWSED, choose, opened_browser, press, set_fields, tab, until, visit

pytestmark = BROWSED
LOST = "Failed to load resource|ERR_|WebSocket"
"""What the browser itself says of a server that is gone."""


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    running = Studio(tmp_path_factory.mktemp("studio"), "digits-fast", "digits")
    yield running
    running.stop()


def kill(studio):
    studio.process.send_signal(signal.SIGKILL)
    studio.process.wait()


def said(page):
    """What the page says is wrong, at the latest after ten seconds; and that nothing goes on."""
    words = page.locator("#status.error").text_content(timeout=10_000)
    until(page, "document.getElementById('progress').hidden")
    assert page.locator("#stop").is_disabled()
    return words


def test_a_studio_that_dies_is_said_and_one_that_is_back_draws(browser, tmp_path):
    studio = Studio(tmp_path, "digits-fast", "digits")
    port = studio.port
    try:
        with visit(browser, studio.address, expected=LOST) as page:
            page.wait_for_selector(".caption .match, .caption .miss", timeout=60_000)
            set_fields(page, model="digits")
            set_fields(page, count=10, steps=100, sampler="heun")
            page.locator("#run").click()
            until(page, "document.getElementById('progress').value > 0")
            kill(studio)
            assert "server" in said(page)
            page.locator("#seed").fill("11")
            page.locator("#run").click()
            until(page, "document.getElementById('status').className === 'error'", 10)
            assert "cannot be reached: is the studio still running?" in said(page)
            page.locator("[data-format=gif]").click()
            until(page, "document.getElementById('status').className === 'error'", 10)
            assert "cannot be reached: is the studio still running?" in said(page)
            studio = Studio(tmp_path, "digits-fast", "digits", port=port)
            set_fields(page, model="digits-fast")
            choose(page, 4)
            press(page)
            page.wait_for_selector(".caption .match, .caption .miss", timeout=60_000)
    finally:
        studio.stop()


FOCUSED = """() => {
  const field = document.activeElement;
  const box = field.getBoundingClientRect();
  const shown = field.type === "file" ? field.parentElement : field;
  const style = getComputedStyle(shown);
  return {
    what: field.outerHTML.slice(0, 100),
    none: field === document.body,
    order: [...document.querySelectorAll("*")].indexOf(field),
    top: box.top + scrollY, left: box.left, bottom: box.bottom + scrollY, right: box.right,
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
  };
}"""

CONTROLS = """() => [...document.querySelectorAll(
  "button, input, select, textarea, summary, canvas[tabindex], a[href], [tabindex]",
)].filter((field) => field.checkVisibility() && !field.disabled && field.tabIndex >= 0).length"""


def named(client):
    """Role and name that the focused control has for a screen reader, as the browser computes them."""
    found = client.send("Runtime.evaluate", {"expression": "document.activeElement"})
    where = {"objectId": found["result"]["objectId"], "fetchRelatives": False}
    (node,) = client.send("Accessibility.getPartialAXTree", where)["nodes"]
    return node["role"]["value"], node.get("name", {}).get("value", "")


@pytest.mark.parametrize("name", ["Generate", "Draw", "Fill", "Morph", "Compare"])
def test_the_tab_key_reaches_every_control_in_the_order_of_reading(browser, studio, name):
    with visit(browser, studio.address) as page:
        tab(page, name)
        set_fields(page, model="digits-fast")
        page.locator("#recipe summary").click()
        if name in ("Morph", "Compare"):
            press(page)
        page.wait_for_selector("#time-value:not(:empty)")
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        page.mouse.click(2, 2)
        client = page.context.new_cdp_session(page)
        visited = []
        for _ in range(200):
            page.keyboard.press("Tab")
            control = page.evaluate(FOCUSED)
            if control["none"] or (visited and control["order"] == visited[0]["order"]):
                break
            role, words = named(client)
            assert words.strip(), control["what"]
            assert role not in ("generic", "none"), control["what"]
            assert control["seen"], control["what"]
            visited.append(control)
        assert len(visited) == page.evaluate(CONTROLS)
        for before, after in pairwise(visited):
            assert before["order"] < after["order"]
            backwards = after["bottom"] <= before["top"] and after["left"] < before["right"]
            assert not backwards, (before["what"], after["what"])


CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const elements = new Set(document.querySelectorAll("input:not([type=file]), select, textarea"));
  while (texts.nextNode()) if (texts.currentNode.data.trim()) elements.add(texts.currentNode.parentElement);
  return [...elements]
    .filter((element) => element.checkVisibility() && !element.closest("script, option, :disabled"))
    .map((element) => {
      const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return [ratio, element.outerHTML.slice(0, 80)];
    });
}"""
"""The contrast of each text that is seen, as WCAG 2.2 defines it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_in_both_themes(browser, studio, scheme):
    with visit(browser, studio.address, color_scheme=scheme) as page:
        page.wait_for_selector(".caption .match, .caption .miss", timeout=60_000)
        page.locator("#recipe summary").click()
        page.evaluate("document.querySelector('.caption div').className = 'miss'")
        for name in ("Generate", "Draw", "Fill", "Morph", "Compare"):
            tab(page, name)
            if name == "Fill":
                page.locator("#erase").click()
                page.locator("#run").click()
                page.wait_for_selector("#status.error")
            ratios = page.evaluate(CONTRASTS)
            assert len(ratios) > 30
            assert not [(ratio, what) for ratio, what in ratios if ratio < 4.5]
        assert re.search("error", page.locator("#status").get_attribute("class"))
