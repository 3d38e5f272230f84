"""Kill one of two processes that train together, resume both, and compare what they leave, bit for bit.

One process is killed at a random moment, or the first one at a random operation on a file. torchrun stops the
other, and two new ones resume.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from tqdm import tqdm

from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.toml import to_toml
from mezzotint.training.checkpoint import read_manifest

from . import disk, report, tiny_runs
from .disk import Fault
from .report import Broken

KINDS = {
    "copies": ("denoising, muon", "none"),
    "sharded weights": ("denoising, adamw", "full"),
    "copies, adversarial": ("adversarial", "none"),
}
"""The training and its ``training.sharding``, by the words for them."""

PATIENCE = 300
"""Seconds until two processes that do not end are a broken promise."""

OPERATIONS = 150
"""About as many operations on files as the first process has."""


@dataclass
class Pair:
    """Two processes that train a recipe, begun again and again.

    Args:
        folder: where they run.
        library: disk.c, compiled.
    """

    folder: Path
    library: Path

    def start(self, at: int = 0) -> "subprocess.Popen[bytes]":
        """Begin the run, or resume it; the first to write is killed at operation ``at``."""
        words = ["train", "tiny.toml", "--out", "run"]
        if (self.folder / "run" / "recipe.toml").is_file():
            words = ["train", "--resume", "run"]
        torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MEZZOTINT_CACHE": str(self.folder.parent / "cache"),
        }
        if at:
            environment |= {
                "LD_PRELOAD": str(self.library),
                "DISK_ROOT": str(self.folder / "run"),
                "DISK_KIND": str(int(Fault.KILL)),
                "DISK_AT": str(at),
            }
        with (self.folder.parent / "output.txt").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *torchrun, "-m", "mezzotint", *words],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def finish(self, process: "subprocess.Popen[bytes]") -> int:
        """The exit status.

        Raises:
            Broken: if they do not end.
        """
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
            raise Broken(f"the others still wait after {PATIENCE} s: {self.output()}") from None

    def output(self) -> str:
        """The end of what they printed."""
        return (self.folder.parent / "output.txt").read_text(errors="replace")[-600:]


def attack_one(pair: Pair, dice: random.Random, unbroken: dict[str, str], seconds: float) -> str:
    """Kill one process, and resume both.

    Returns:
        How it ended: "one killed at a moment", "first killed at a file" or "ended before".

    Raises:
        Broken: if a promise was not kept.
    """
    if dice.random() < 0.5:
        ended = "first killed at a file"
        process = pair.start(dice.randint(1, OPERATIONS))
    else:
        ended = "one killed at a moment"
        process = pair.start()
        time.sleep(dice.uniform(0.3, 1.0) * seconds)
        workers = psutil.Process(process.pid).children() if process.poll() is None else []
        if workers:
            dice.choice(workers).send_signal(signal.SIGKILL)
    if pair.finish(process) == 0:
        ended = "ended before"
    for path in (pair.folder / "run" / "checkpoints").glob("step-*"):
        if read_manifest(path) is None:
            raise Broken(f"{path.name} is neither whole nor absent")
    if pair.finish(pair.start()):
        raise Broken(f"the resumed run fails: {pair.output()}")
    if names := tiny_runs.differences(pair.folder / "run", unbroken):
        raise Broken(f"the end differs in {', '.join(names)}")
    return ended


def attack(count: int, seed: int, kinds: list[str]) -> tuple[str, list[str]]:
    """Attack ``count`` runs, with the kinds in turn."""
    tally = report.Tally(["one killed at a moment", "first killed at a file", "ended before"])
    with tempfile.TemporaryDirectory() as name, tqdm(total=count, unit="run") as bar:
        root = Path(name).resolve()
        library = disk.compile_library(root)
        for kind in kinds:
            training, sharding = KINDS[kind]
            folder = root / kind.replace(" ", "-")
            folder.mkdir()
            recipe = tiny_runs.recipe_of(training, folder)
            recipe = as_recipe(recipe, {"training": {"sharding": sharding}})
            (folder / "tiny.toml").write_text(to_toml(recipe), encoding="utf-8")
            pair = Pair(folder, library)
            start = time.perf_counter()
            if pair.finish(pair.start()):
                raise SystemExit(f"{kind} does not train: {pair.output()}")
            seconds = time.perf_counter() - start
            unbroken = tiny_runs.result(folder / "run")
            for number in range(kinds.index(kind), count, len(kinds)):
                (folder / "run").rename(folder.parent / f"done-{number}")
                try:
                    dice = random.Random(f"{seed} {number}")
                    tally.add(kind, attack_one(pair, dice, unbroken, seconds))
                except Broken as broken:
                    tally.fail(kind, f"run {number}: {broken}")
                bar.update()
    text = (
        "## Kills of one of two processes\n\nTwo processes (gloo) train together; one is killed, torchrun"
        " stops the other, and two new ones resume. In the end every file is that of an unbroken run of two"
        f" processes.\n\n{tally.table('training')}"
    )
    return text, tally.failures


def main() -> int:
    parser = report.parser("rank_kills", __doc__, 12, "runs")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help="of trainings")
    options = parser.parse_args()
    return report.run(
        "kills of one process",
        lambda: attack(options.count, options.seed, options.kinds),
        options.write,
    )


if __name__ == "__main__":
    sys.exit(main())
