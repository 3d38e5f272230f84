"""How soon a page without a server shows its first digit, and how long one digit takes then.

    python benchmarks/page_speed.py
    python benchmarks/page_speed.py --beside EARLIER_PAGE

In a real browser (chromium, by Playwright), each time with an empty cache: a page of several files from a web
server on this computer, and a page of one file from the disk, in turn. Needs the extra mezzotint[onnx].
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import machine
import mezzotint
from mezzotint.export.page import export_page

MODEL = "digits-fast"
DIGITS = 20
"""Single digits that are timed in each visit."""

ONE_DIGIT = """async (digits) => {
  const { engine } = window.mezzotint;
  const settings = { ...window.mezzotint.settings(), task: "generate", labels: [3], count: 1 };
  const request = checked(settings, engine.models);
  const tools = { progress: () => {}, signal: new AbortController().signal };
  const times = [];
  for (let k = 0; k < digits; k++) {
    const began = performance.now();
    await engine.run(request, tools);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[Math.floor(digits / 2)];
}"""
"""Milliseconds of the middle one of so many digits."""


class Quiet(SimpleHTTPRequestHandler):
    """A plain web server's handler, which says nothing."""

    def log_message(self, format: str, *words: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a plain web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def visit(browser: Any, address: str) -> tuple[float, float]:
    """Seconds from opening a page to its first picture, and milliseconds of a digit after that."""
    context = browser.new_context()
    page = context.new_page()
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#results:not([hidden])", timeout=120_000)
    first = time.perf_counter() - start
    digit = page.evaluate(ONE_DIGIT, DIGITS)
    context.close()
    return first, digit


def measure(addresses: dict[str, str], runs: int) -> dict[str, list[tuple[float, float]]]:
    """What each visit of each page took; the pages take turns."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in addresses}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        for _ in range(runs):
            for name, address in addresses.items():
                found[name].append(visit(browser, address))
        browser.close()
    return found


def row(name: str, visits: list[tuple[float, float]]) -> list[str]:
    """A line of the table: medians, with the least and the most."""
    cells = [name]
    for values, digits in zip(zip(*visits, strict=True), (2, 0), strict=True):
        middle, least, most = statistics.median(values), min(values), max(values)
        cells.append(f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="visits of each page")
    parser.add_argument(
        "--runtime", type=Path, help="the package onnxruntime-web, if it is at hand"
    )
    parser.add_argument(
        "--beside", type=Path, help="an earlier page, to be compared; nothing is written"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {MODEL: mezzotint.load(MODEL, "cpu")}
        export_page(models, folder / "page", runtime=arguments.runtime)
        export_page(models, folder / "one", single_file=True, runtime=arguments.runtime)
        with served(folder / "page") as address, served(arguments.beside or folder) as earlier:
            addresses = {
                "several files, from a web server": address,
                "one file, from the disk": (folder / "one" / "index.html").as_uri(),
            }
            if arguments.beside is not None:
                addresses["the earlier page"] = earlier
            found = measure(addresses, arguments.runs)
    headings = ["page", "s to the first picture", "ms for one digit"]
    table = machine.table(headings, [row(name, visits) for name, visits in found.items()])
    if arguments.beside is not None:
        print(table)
        return
    machine.write_section(
        "page speed",
        "## The page without a server, in a browser\n\nFrom opening the page, with an empty cache, to the"
        f" first digit; then one digit of {MODEL} alone, the middle one of {DIGITS}. Medians of"
        f" {arguments.runs} visits, the pages taking turns, with the least and the most.\n\n{table}\n\n"
        f"{machine.describe()}",
    )


if __name__ == "__main__":
    main()
