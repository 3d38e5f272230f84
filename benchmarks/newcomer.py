"""What a newcomer does who has only the README: a film, a training, the page, a drawing; timed.

    python benchmarks/newcomer.py

Begins after the installation, in an empty folder, with the commands of README.md. The page is used in a real
browser (chromium, by Playwright).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import machine

README = Path(__file__).parent.parent / "README.md"
COMMAND = [sys.executable, "-m", "mezzotint"]


def command_of(verb: str) -> list[str]:
    """The words of README's first command of a verb, without ``mezzotint``."""
    found = re.search(rf"^ +(?:\$ )?mezzotint ({verb} [^#\n]*)", README.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"README.md has no command `mezzotint {verb}`")
    return found[1].split()


def run(words: list[str], folder: Path) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run([*COMMAND, *words], cwd=folder, check=True)
    return time.perf_counter() - start


@contextmanager
def studio(folder: Path) -> Iterator[tuple[str, float]]:
    """The studio's address, and seconds until it answers."""
    start = time.perf_counter()
    words = ["studio", "--no-browser"]
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        yield address, time.perf_counter() - start
    finally:
        process.terminate()  # a job in the background ignores SIGINT
        process.wait(timeout=30)


def draw(address: str) -> tuple[float, float]:
    """Seconds until the first pictures, and until a scribble has become a digit."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#results:not([hidden])")
        first = time.perf_counter() - start
        page.get_by_role("tab", name="Draw").click()
        box = page.locator("#easel").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=10)
        page.mouse.up()
        start = time.perf_counter()
        page.locator("#run").click()
        page.get_by_text(re.compile(r"1 pictures? in")).wait_for()
        second = time.perf_counter() - start
        browser.close()
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--no-training", action="store_true", help="leave the training out")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = command_of("gif")
        rows.append([f"`mezzotint {' '.join(film)}`", f"{run(film, folder):.1f}"])
        films = list(folder.rglob("*.gif"))
        with Image.open(films[0]) as opened:
            assert opened.n_frames > 10  # type: ignore[attr-defined]
        if not arguments.no_training:
            training = command_of("train")
            rows.append([f"`mezzotint {' '.join(training)}`", f"{run(training, folder):.0f}"])
        with studio(folder) as (address, seconds):
            rows.append(["`mezzotint studio`, until the page answers", f"{seconds:.1f}"])
            first, second = draw(address)
        rows.append(["from opening the page to the first pictures", f"{first:.1f}"])
        rows.append(["from the button to a scribble turned into a digit", f"{second:.1f}"])
    machine.write_section(
        "newcomer",
        "## A newcomer with the README\n\nThe commands of the README in an empty folder, after the"
        f" installation; seconds.\n\n{machine.table(['what', 'seconds'], rows)}\n\n{machine.describe()}",
    )


if __name__ == "__main__":
    main()
