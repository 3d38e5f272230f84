"""All attacks, two at a time."""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

# The longest first.
PARTS = ["disk_faults", "mutants", "long_run", "kills", "planted", "rank_kills", "integrity"]


def run(part: str, write: bool, log: Path) -> tuple[int, float]:
    """Run an attack, with what it prints in a file; its exit status and minutes."""
    start = time.perf_counter()
    words = [sys.executable, "-m", f"soak.{part}", *(["--write"] if write else [])]
    with log.open("w", encoding="utf-8") as output:
        status = subprocess.run(words, stdout=output, stderr=output).returncode
    return status, (time.perf_counter() - start) / 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help=f"which (all: {' '.join(PARTS)})"
    )
    parser.add_argument(
        "--write", action="store_true", help="write the figures to docs/reliability.md"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    options = parser.parse_args()
    parts = options.parts or PARTS
    logs = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"what they print: {logs}", flush=True)
    broken = []
    start = time.perf_counter()
    with ThreadPoolExecutor(options.jobs) as pool, tqdm(total=len(parts), unit="attack") as bar:
        running = {
            pool.submit(run, part, options.write, logs / f"{part}.txt"): part for part in parts
        }
        for done in as_completed(running):
            part = running[done]
            status, minutes = done.result()
            if status:
                broken.append(part)
            held = f"broken, see {logs / part}.txt" if status else "held"
            tqdm.write(f"{part}: {held}, {minutes:.1f} minutes")
            bar.update()
    minutes = (time.perf_counter() - start) / 60
    print(f"{minutes:.1f} minutes; {'broken: ' + ', '.join(broken) if broken else 'all held'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
