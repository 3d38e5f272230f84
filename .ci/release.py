"""The checklist of a release. Each step is printed with what it found; the first that fails ends it.

    python .ci/release.py               # everything
    python .ci/release.py --quick       # without the tests and the pages
    python .ci/release.py --rehearsal   # uncommitted changes and a missing date are said and passed over

Leaves the wheel and the sdist that it checked in dist/. Run it with the environment that the Makefile makes:
its hatchling builds. The last steps install the packages of constraints.txt, with torch's build for CPUs,
from where pip looks for them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from artifacts import Fault, build_twice, clean_tree, contents, metadata, run, version
from installation import install, use

ROOT = Path(__file__).parents[1]


def checklist(
    out: Path, home: Path, quick: bool, rehearsal: bool
) -> Iterator[tuple[str, Callable[[], str]]]:
    """The steps by their names, each of which gives what it found."""

    def make(verb: str) -> Callable[[], str]:
        def step() -> str:
            lines = run(["make", verb], ROOT).strip().splitlines()
            return lines[-1] if lines else "done"

        return step

    def listed() -> str:
        run([sys.executable, "-m", "pytest", "-n", "0", "tests/test_supply.py"], ROOT)
        return "every pin, every licence"

    yield "clean tree", lambda: clean_tree(ROOT, rehearsal)
    yield "version", lambda: version(ROOT, rehearsal)
    yield "lint", make("lint")
    yield "pins and licences", listed
    if not quick:
        yield "docs", make("docs")
        yield "tests", make("test")
    yield "build", lambda: build_twice(ROOT, out)
    yield "contents", lambda: contents(ROOT, out)
    yield "metadata", lambda: metadata(ROOT, out)
    yield "installation", lambda: install(ROOT, out, home)
    yield "README", lambda: use(ROOT, home, version(ROOT, rehearsal).partition(",")[0])


def main() -> None:
    """Go through the checklist."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the tests and the pages")
    parser.add_argument(
        "--rehearsal", action="store_true", help="the tree may be changed, the date may be missing"
    )
    arguments = parser.parse_args()
    out = ROOT / "dist"
    for old in [*out.glob("*.whl"), *out.glob("*.tar.gz")]:
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "environment"
        for name, step in checklist(out, home, arguments.quick, arguments.rehearsal):
            start = time.perf_counter()
            try:
                found = step()
            except Fault as fault:
                sys.exit(f"FAILED  {name}: {fault}")
            print(f"ok      {name}: {found} ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
