"""All attacks, one after the other; see ``python -m soak --help``."""

import argparse
import subprocess
import sys
import time

PARTS = ["kills", "disk_faults", "integrity", "mutants", "planted", "long_run"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"which (all: {' '.join(PARTS)})")
    parser.add_argument(
        "--write", action="store_true", help="write the figures to docs/reliability.md"
    )
    options = parser.parse_args()
    failed = []
    start = time.perf_counter()
    for part in options.parts or PARTS:
        print(f"--- {part}", flush=True)
        words = [sys.executable, "-m", f"soak.{part}", *(["--write"] if options.write else [])]
        if subprocess.run(words).returncode:
            failed.append(part)
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{minutes:.1f} minutes; {'broken: ' + ', '.join(failed) if failed else 'all promises held'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
