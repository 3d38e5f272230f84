"""Kill trainings, resume them, and compare what they leave with an unbroken run, bit for bit.

A run is killed two to five times: by SIGKILL at a random moment, by SIGKILL at a random operation on a file
(most of them inside a save, some halfway through a write), or stopped by SIGTERM, SIGINT or SIGHUP.
"""

import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from tqdm import tqdm

from mezzotint.cli import main as command_line
from mezzotint.training import trainer
from mezzotint.training.checkpoint import checkpoint_name, read_manifest

from . import disk, report, tiny_runs
from .disk import Fault, Outcome
from .report import Broken

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

ENDINGS = ["killed at a moment", "killed at a file", "stopped by a signal", "ended before"]


_CHOOSE = trainer.choose_precision


def _chooses(precision: torch.dtype) -> Callable[..., torch.dtype]:
    """What chooses this precision, fp16 too, which is refused on a CPU otherwise."""
    return lambda *_: precision


class Subject:
    """A kind of training under attack.

    Args:
        kind: one of ``tiny_runs.KINDS``.
        folder: where its runs go.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        folder.mkdir(parents=True)
        tiny_runs.write_recipe(kind, folder)
        disk.warm_up(lambda: self._command("warm"), folder)
        first = self._train("unbroken", Fault.KILL)
        if first.status:
            raise SystemExit(f"{kind} does not train:\n{first.output}")
        self.operations = first.operations
        self.seconds = first.seconds
        self.unbroken = tiny_runs.result(folder / "unbroken")
        shutil.rmtree(folder / "unbroken")
        shutil.rmtree(folder / "warm")

    def _train(self, run: str, fault: Fault, at: int = 0, **stop: float) -> Outcome:
        return disk.attempt(lambda: self._command(run), self.folder, fault, at, **stop)

    def _command(self, run: str) -> None:
        """Begin the run, or resume it where there is one to resume."""
        words = ["train", "tiny.toml", "--out", run]
        if (self.folder / run / "recipe.toml").is_file():
            words = ["train", "--resume", run]
        precision = tiny_runs.HALF.get(self.kind)
        choose = _chooses(precision) if precision else _CHOOSE
        with patch.object(trainer, "choose_precision", choose):
            command_line(words)

    def attack(self, dice: random.Random) -> Iterator[str]:
        """Kill one run again and again, resume it, and compare the end.

        Yields:
            One of ``ENDINGS`` for each attempt to kill it.

        Raises:
            Broken: if a checkpoint is half there, a command fails, or the end differs.
        """
        stopped = False
        for _ in range(dice.randint(2, 5)):
            ended, killed = self._kill(dice)
            stopped = stopped or killed == ENDINGS[2]
            self._check_checkpoints()
            if ended.status == 0:
                yield ENDINGS[3]
                break
            yield killed
        last = self._train("run", Fault.NONE)
        if last.status:
            raise Broken(f"the last resume ended with {last.status}: {last.output[-500:]}")
        names = tiny_runs.differences(self.folder / "run", self.unbroken)
        if stopped:
            names = self._but_earlier_checkpoints(names)
        if names:
            raise Broken(f"the end differs in {', '.join(names)}")
        shutil.rmtree(self.folder / "run")

    def _but_earlier_checkpoints(self, names: list[str]) -> list[str]:
        """The names without those of earlier checkpoints: a run that is stopped by a signal saves one then.

        There are as many as in an unbroken run.
        """
        folders = [name for name, content in self.unbroken.items() if content == "folder"]
        expected = [name for name in folders if name.startswith("checkpoints/")]
        if len(list((self.folder / "run" / "checkpoints").iterdir())) != len(expected):
            raise Broken("the number of checkpoints differs")
        earlier = [name for name in names if name.startswith("checkpoints/step-")]
        last = f"checkpoints/{checkpoint_name(tiny_runs.STEPS)}"
        return [name for name in names if name not in earlier or name.startswith(last)]

    def _kill(self, dice: random.Random) -> tuple[Outcome, str]:
        moment = dice.uniform(0, self.seconds)
        number = dice.randint(1, self.operations)
        kind = dice.choices(ENDINGS[:3], [2, 3, 1])[0]
        if kind == ENDINGS[1]:
            ended = self._train("run", Fault.KILL, number)
            expected = {0, -signal.SIGKILL}
        elif kind == ENDINGS[0]:
            ended = self._train("run", Fault.NONE, stop_after=moment)
            expected = {0, -signal.SIGKILL}
        else:
            stop = dice.choice(STOPS)
            ended = self._train("run", Fault.NONE, stop_after=moment, stop_signal=stop)
            # Before the command has taken over, the signal does what it always does.
            expected = {0, 128 + stop, -stop}
        if ended.status not in expected:
            raise Broken(f"{kind}: ended with {ended.status}: {ended.output[-500:]}")
        return ended, kind

    def _check_checkpoints(self) -> None:
        for path in (self.folder / "run" / "checkpoints").glob("step-*"):
            if read_manifest(path) is None:
                raise Broken(f"{path.name} is neither whole nor absent")


@contextmanager
def subjects(kinds: list[str]) -> Iterator[dict[str, Callable[[], Subject]]]:
    """Makers of each kind of training, made once, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as name:
        made: dict[str, Subject] = {}

        def maker(kind: str) -> Callable[[], Subject]:
            def make() -> Subject:
                if kind not in made:
                    folder = Path(name).resolve() / str(kinds.index(kind))
                    made[kind] = Subject(kind, folder)
                return made[kind]

            return make

        yield {kind: maker(kind) for kind in kinds}


def attack(count: int, seed: int, kinds: list[str]) -> tuple[str, list[str]]:
    """Attack ``count`` runs, with the kinds in turn."""
    torch.set_num_threads(1)
    tally = report.Tally(["runs equal to the bit", *ENDINGS])
    with subjects(kinds) as makers:
        for number in tqdm(range(count), "runs", unit="run"):
            kind = kinds[number % len(kinds)]
            subject = makers[kind]()
            try:
                for ending in subject.attack(random.Random(f"{seed} {number}")):
                    tally.add(kind, ending)
                tally.add(kind, tally.outcomes[0])
            except Broken as broken:
                tally.fail(kind, f"run {number}: {broken}")
                shutil.rmtree(subject.folder / "run", ignore_errors=True)
    text = (
        f"## Kills\n\n{count} trainings of {tiny_runs.STEPS} steps, each killed or stopped two to five times"
        " and resumed after each. After every kill, each checkpoint is whole or absent. In the end, every"
        " file of the run (but an earlier checkpoint, which a signal causes to be saved at its step)"
        " has the SHA-256 of that of an unbroken run (weights, moving average, moments,"
        " scaler, critic, samples, recipe; metrics but for the images per second), and there is no file"
        " more.\n\n"
        f"{tally.table('training')}"
    )
    return text, tally.failures


def main() -> int:
    parser = report.parser("kills", __doc__, 300, "runs")
    parser.add_argument("--kinds", nargs="*", default=list(tiny_runs.KINDS), help="of trainings")
    options = parser.parse_args()
    disk.preload()
    return report.run(
        "kills", lambda: attack(options.count, options.seed, options.kinds), options.write
    )


if __name__ == "__main__":
    sys.exit(main())
