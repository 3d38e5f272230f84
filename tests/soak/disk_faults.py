"""Let every operation on files fail in turn, in everything that writes, and look at what is left.

Each command runs once for each of its operations (open, read, write, fsync, rename, unlink, mkdir, map)
and each kind of fault; then once more without a fault, as the next start.
"""

import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from common import as_if_killed, idx_file, tiny_recipe
from mezzotint.cli import main as command_line
from mezzotint.data import ImageData
from mezzotint.data.idx_sets import IdxSet
from mezzotint.data.images import Split
from mezzotint.export import onnx, runtime
from mezzotint.export.description import LabelInput
from mezzotint.export.onnx import export_onnx
from mezzotint.loading import load
from mezzotint.model import Model
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.toml import to_toml
from mezzotint.registry import DATASETS
from mezzotint.training.checkpoint import latest_checkpoint
from mezzotint.utils.files import TEMPORARY
from models import random_model_file

from . import disk, report, tiny_runs
from .disk import WORDS, Fault, Outcome
from .report import Broken

UNHARMED = "done as if nothing were"
WARNED = "done, with a warning"
REFUSED = "failed in words"
KILLED = "killed"

FAULTS = [Fault.FULL, Fault.IO, Fault.SHORT, Fault.PERMISSION, Fault.KILL]


RUNTIME = {name: name.encode() * 1000 for name in runtime.SHA256}


@dataclass(frozen=True)
class Scenario:
    """A command under attack.

    Args:
        prepare: fills a folder with what is there before.
        words: the command, run in that folder.
        run: the folder of the run that it trains, if it does.
        every: only each ``every``-th operation fails, where a command takes seconds.
    """

    prepare: Callable[[Path], None]
    words: list[str]
    run: str | None = None
    every: int = 1


def with_recipe(folder: Path) -> None:
    """A recipe and its data."""
    recipe = as_recipe(tiny_runs.recipe_of("denoising, adamw", folder), {"training": {"steps": 4}})
    text = to_toml(recipe).replace(str(folder), ".")  # because the folder will be copied
    (folder / "tiny.toml").write_text(text, encoding="utf-8")


def with_run(folder: Path) -> None:
    """A run that was killed after the first of two checkpoints."""
    with_recipe(folder)
    words = ["train", "tiny.toml", "--out", "unbroken"]
    disk.warm_up(lambda: command_line(words), folder)
    as_if_killed(folder / "unbroken", folder / "run")
    shutil.rmtree(folder / "unbroken")


def with_pictures(folder: Path) -> None:
    """Pictures to decode."""
    source = np.random.default_rng(1)
    for number in range(8):
        path = folder / "pictures" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.integers(0, 256, (9, 9), np.uint8)).save(path)
    _write_data_recipe(folder / "pictures.toml", name="folder:pictures", size=8)


def with_served(folder: Path) -> None:
    """A recipe whose data are to be downloaded."""
    _write_data_recipe(folder / "served.toml", name="served")


def _write_data_recipe(path: Path, **data: object) -> None:
    path.write_text(to_toml(tiny_recipe(data=data)))


def with_mirror(folder: Path) -> None:
    """Files of a data set, for a server."""
    for name, array in {
        "images": np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8),
        "labels": np.arange(20, dtype=np.uint8) % 10,
    }.items():
        (folder / name).write_bytes(idx_file(array))
    subprocess.run(["gzip", "-n", "images", "labels"], cwd=folder, check=True)
    (folder / "mirror").mkdir()
    for name in ("images.gz", "labels.gz"):
        (folder / name).rename(folder / "mirror" / name)


def with_model(folder: Path) -> None:
    """A model, and results of before."""
    random_model_file(folder / "model.safetensors", tiny_recipe(sampling={"steps": 2}))
    for name in ("digits.png", "digits.npz"):
        (folder / name).write_bytes(b"of before")


def with_runtime(folder: Path) -> None:
    """A model, and a small package in the place of the runtime that a page brings along.

    Its graph is exported once for all pages: how that is written is tried by ``export onnx``.
    """
    with_model(folder)
    graph = folder.parent / "graph.onnx"
    export_onnx(load(folder / "model.safetensors"), graph, labels="weights", half=True)
    exported = graph.read_bytes()
    write_graph = onnx._write_graph

    def write(model: Model, path: Path, labels: LabelInput) -> None:
        if labels == "weights":  # as pages take them
            path.write_bytes(exported)
        else:
            write_graph(model, path, labels)

    onnx._write_graph = write
    with tarfile.open(folder / "runtime.tgz", "w:gz") as archive:
        for name, content in RUNTIME.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def with_samples(folder: Path) -> None:
    """Images to measure, and images to measure against."""
    source = np.random.default_rng(2)
    for name in ("samples", "real"):
        images = source.integers(0, 256, (100, 28, 28), np.uint8)
        np.savez(folder / f"{name}.npz", images=images, labels=np.arange(100) % 10)
    (folder / "evaluation.json").write_text("{}")


SCENARIOS = {
    "train": Scenario(with_recipe, ["train", "tiny.toml", "--out", "run", "--keep", "1"], "run"),
    "resume": Scenario(with_run, ["train", "--resume", "run"], "run"),
    "cache of pictures": Scenario(with_pictures, ["forward", "pictures.toml", "--label", "1"]),
    "download": Scenario(with_served, ["forward", "served.toml", "--label", "1"]),
    "sample": Scenario(
        with_model, ["sample", "model.safetensors", "3", "--count", "2", "--out", "digits.png"]
    ),
    "sample, array": Scenario(
        with_model, ["sample", "model.safetensors", "3", "--count", "2", "--out", "digits.npz"]
    ),
    "film": Scenario(with_model, ["gif", "model.safetensors", "3", "--out", "films"]),
    "evaluate": Scenario(
        with_samples, ["evaluate", "samples.npz", "--data", "npz:real.npz", "--out", "."]
    ),
    "export diffusers": Scenario(
        with_model, ["export", "diffusers", "model.safetensors", "--out", "exported"]
    ),
    "export onnx": Scenario(
        with_model, ["export", "onnx", "model.safetensors", "--out", "model.onnx"], every=5
    ),
    "export page": Scenario(
        with_runtime,
        ["export", "page", "model.safetensors", "--out", "page", "--runtime", "runtime.tgz"],
    ),
}


class Subject:
    """A command, with what it leaves when nothing fails.

    Args:
        name: of its scenario.
        folder: where it runs; emptied before each attempt.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.scenario = SCENARIOS[name]
        self.folder = folder / "work"
        self.template = folder / "template"
        self.template.mkdir(parents=True)
        self.scenario.prepare(self.template)
        self.before = _content(self.template)
        self._reset()
        disk.warm_up(lambda: self._command(self.scenario.words), self.folder)
        self.after = self._undisturbed()
        second = self._undisturbed()
        # Times are in some files; these need only be there.
        self.varying = {name for name in second if second[name] != self.after[name]}

    def _undisturbed(self) -> dict[str, str]:
        self._reset()
        outcome = self._attempt(Fault.NONE, 0, self.scenario.words)
        if outcome.status:
            raise SystemExit(f"{self.scenario.words} fails by itself:\n{outcome.output}")
        return _content(self.folder)

    def _reset(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        (self.folder / "temporary").mkdir()

    def _attempt(self, fault: Fault, at: int, words: list[str]) -> Outcome:
        return disk.attempt(lambda: self._command(words), self.folder, fault, at)

    def _command(self, words: list[str]) -> None:
        os.environ["MEZZOTINT_CACHE"] = str(self.folder / "cache")
        tempfile.tempdir = str(self.folder / "temporary")
        try:
            command_line(words)
        finally:
            tempfile.tempdir = None

    def count(self, fault: Fault) -> int:
        """How many of its operations the fault can happen to."""
        self._reset()
        return self._attempt(fault, 0, self.scenario.words).operations

    def attack(self, fault: Fault, at: int) -> str:
        """Let one operation fail, then start again.

        Returns:
            What came of the first start.

        Raises:
            Broken: if a promise was not kept.
        """
        self._reset()
        outcome = self._attempt(fault, at, self.scenario.words)
        result = self._judge(outcome, fault)
        missing = self._check_files(outcome)
        if missing:
            result = WARNED
        again = self._attempt(Fault.NONE, 0, self._next_words())
        where = outcome.place or f"operation {at}"
        if again.status:
            raise Broken(f"{where}: the next start ends with {again.status}: {again.output[-400:]}")
        content = _content(self.folder)
        if names := set(self._unlike_the_end(content)) - missing:
            raise Broken(
                f"{where}: after the next start, another content: {', '.join(sorted(names))}"
            )
        return result

    def _next_words(self) -> list[str]:
        run = self.scenario.run
        if run and (self.folder / run / "recipe.toml").is_file():
            return ["train", "--resume", run]
        return self.scenario.words

    def _judge(self, outcome: Outcome, fault: Fault) -> str:
        where = outcome.place
        if fault is Fault.KILL and outcome.status == -signal.SIGKILL:
            return KILLED
        if outcome.status == 0:
            return UNHARMED
        last = outcome.output.strip().splitlines()[-1] if outcome.output.strip() else ""
        if "Traceback" in outcome.output or outcome.status != 1:
            raise Broken(f"{where}: status {outcome.status}: {outcome.output[-600:]}")
        if not last.startswith("mezzotint: "):
            raise Broken(f"{where}: the last line does not say what failed: {last!r}")
        if fault is Fault.SHORT:
            raise Broken(f"{where}: a write in two parts is no error, but: {last}")
        names = {Path(name).name for name in self.before.keys() | self.after.keys()}
        names.add(str(self.folder))
        if not last.endswith(": .") and not any(name in last for name in names):
            raise Broken(f"{where}: the message names no file: {last}")
        return REFUSED

    def _check_files(self, outcome: Outcome) -> set[str]:
        """Check that earlier files are as before, or already the new ones, and that no checkpoint is lost.

        Returns:
            If the command ended well, names of what it left otherwise than without a fault, and said so.
        """
        content = _content(self.folder)
        for name, digest in self.before.items():
            allowed = {digest, self.after.get(name)}
            inside = self.scenario.run and name.startswith(f"{self.scenario.run}/")
            if not inside and name not in self.varying and content.get(name) not in allowed:
                raise Broken(f"{name} was {'changed' if name in content else 'lost'}")
        unlike = self._unlike_the_end(content) if outcome.status == 0 else []
        said = {name for name in unlike if _is_named(name, outcome.output)}
        if unsaid := set(unlike) - said:
            raise Broken(f"it ended well, but with another content: {', '.join(sorted(unsaid))}")
        if self.scenario.run:
            had = latest_checkpoint(self.template / self.scenario.run / "checkpoints")
            newest = latest_checkpoint(self.folder / self.scenario.run / "checkpoints")
            if had and (newest is None or newest.name < had.name):
                raise Broken(f"the newest whole checkpoint was {had.name}, and now is {newest}")
        return said

    def _unlike_the_end(self, content: dict[str, str]) -> list[str]:
        """Names of files that are not as an undisturbed command leaves them."""
        names = content.keys() | self.after.keys()
        return sorted(
            name
            for name in names
            if content.get(name) != self.after.get(name)
            and not (name in self.varying and name in content)
        )


def _is_named(name: str, output: str) -> bool:
    """Whether a line says that a file, or something in a folder of it, was not written or not deleted.

    What is half-deleted needs no line: the next start removes it.
    """
    lines = [line for line in output.splitlines() if "not" in line]
    places = [str(place) for place in (Path(name), *Path(name).parents[:-2])]
    if any(part.startswith(TEMPORARY) for part in Path(name).parts):
        return True
    return any(place in line for place in places for line in lines)


def _content(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file by its name; of metrics, without times.

    Locks are left out: without one, nobody waits, and that is all.
    """
    content = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "checkpoints":
            content |= {
                f"{path.relative_to(folder)}/{name}": digest
                for name, digest in tiny_runs.result(path).items()
            }
        name = str(path.relative_to(folder))
        if path.suffix == ".lock":
            continue
        if path.name == "metrics.jsonl":
            content[name] = tiny_runs.result(path.parent)[path.name]
        else:
            content[name] = (
                "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            )
    return content


def served(split: Split = "train", folder: Path | None = None) -> ImageData:
    """A data set that a server on this machine has."""
    images = IdxSet(
        title="Served",
        classes=tuple("0123456789"),
        files={"train": ("images", "labels"), "test": ("images", "labels")},
        mirrors=(f"http://127.0.0.1:{os.environ['SERVED_PORT']}/mirror",),
    )
    return images(split, folder)


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """A server of the files in a folder, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = ["-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *words], stdout=quiet, stderr=quiet)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def attack(every: int, names: list[str]) -> tuple[str, list[str]]:
    """Attack each scenario at each ``every``-th operation."""
    torch.set_num_threads(1)
    os.environ["NO_PROXY"] = "*"
    tally = report.Tally([UNHARMED, WARNED, REFUSED, KILLED])
    counts = {}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as mirror:
        root = Path(name).resolve()
        with_mirror(Path(mirror))
        with server(Path(mirror)) as port:
            DATASETS["served"] = "soak.disk_faults:served"
            os.environ["SERVED_PORT"] = str(port)
            runtime.SHA256.update(
                {name: hashlib.sha256(content).hexdigest() for name, content in RUNTIME.items()}
            )
            for number, scenario in enumerate(names):
                subject = Subject(scenario, root / str(number))
                counts[scenario] = _attack_one(scenario, subject, every, tally)
    operations = [
        [scenario, *(f"{found[fault]}" for fault in FAULTS)] for scenario, found in counts.items()
    ]
    which = "each" if every == 1 else f"each {every}th"
    thinned = [
        f" (of {name} at each {SCENARIOS[name].every}th)"
        for name in names
        if SCENARIOS[name].every > 1
    ]
    text = (
        "## Faults of the disk\n\nThe operations on files of each command (open, list, read, write, copy,"
        " fsync, msync, truncate, allocate, map, rename, mkdir, unlink, rmdir), as the C library sees them,"
        " that each kind of fault can happen to:\n\n"
        f"{report.machine.table(['command', *(WORDS[f] for f in FAULTS)], operations)}\n\n"
        f"At {which} of them{''.join(thinned)} the fault was made to happen, and then the command was"
        " started again. A full"
        " disk stays full; the other faults happen once; a kill comes halfway through a write. What had to"
        " hold: the exit status is 0 only with the complete result; the last line says what failed and"
        " where; files of before are whole; no checkpoint is lost; the next start ends as if nothing had"
        " happened, and leaves nothing else in the folder.\n\n"
        f"{tally.table('command and fault')}"
    )
    return text, tally.failures


def _attack_one(name: str, subject: Subject, every: int, tally: report.Tally) -> dict[Fault, int]:
    counts = {}
    for fault in FAULTS:
        counts[fault] = subject.count(fault)
        row = f"{name}: {WORDS[fault]}"
        step = every * subject.scenario.every
        for at in tqdm(range(1, counts[fault] + 1, step), row, unit="fault"):
            try:
                tally.add(row, subject.attack(fault, at))
            except Broken as broken:
                tally.fail(row, str(broken))
    return counts


def main() -> int:
    parser = report.parser("disk_faults", __doc__, 1, "attack each COUNT-th operation")
    parser.add_argument("--only", nargs="*", default=list(SCENARIOS), help="names of commands")
    options = parser.parse_args()
    disk.preload()
    return report.run("disk faults", lambda: attack(options.count, options.only), options.write)


if __name__ == "__main__":
    sys.exit(main())
