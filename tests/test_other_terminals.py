"""Terminals that are closed, narrow-minded or gone: the second list, D51 to D53 and D61."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import tiny_data, tiny_recipe
from machines import (
    COMMAND,
    TINY,
    ended,
    environment,
    mezzo,
    named_model,
    pictures,
    redirected,
    rubbish,
    run,
    save_npz,
    small_measures,
    started,
    wait_for_entries,
    without_bars,
)
from mezzotint import build, load, train
from mezzotint.data import open_data
from mezzotint.training.log import read_metrics

SILENT = (0, 141, -signal.SIGPIPE)
"""How a command may end whose reader has seen enough."""

HUNG_UP = (129, -signal.SIGHUP)


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


@pytest.fixture(scope="module")
def measures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return small_measures(tmp_path_factory.mktemp("measures"))


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The picture that `mezzotint sample digits-fast 7` draws."""
    folder = tmp_path_factory.mktemp("seven")
    ran = mezzo("sample", "digits-fast", "7", "--out", "x.png", folder=folder)
    assert ran.returncode == 0, ran.stderr
    return (folder / "x.png").read_bytes()


# --- D51: no standard error ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "closed",
    ["2>&-", "<&- >&- 2>&-", *(pytest.param(c, marks=pytest.mark.slow) for c in (">&-", "<&-"))],
)
def test_d51_sample_with_standard_streams_closed(closed: str, seven: bytes, tmp_path: Path) -> None:
    words = ["sample", "digits-fast", "7", "--out", "x.png"]
    ran = redirected(*words, folder=tmp_path, to=closed)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "x.png").read_bytes() == seven
    assert not rubbish(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_d51_train_with_standard_error_closed(closed: str, tmp_path: Path) -> None:
    pictures(tmp_path / "pics")
    words = ["train", "digits", "--data.name", "folder:pics", *TINY, "--steps", "2", "--out", "run"]
    ran = redirected(*words, folder=tmp_path, to=closed)
    assert ran.returncode == 0, ran.stderr
    assert load(tmp_path / "run").spec.classes == ("ant", "bee")
    assert [e["step"] for e in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2]


@pytest.mark.slow
def test_d51_evaluate_with_standard_error_closed(measures: list[str], tmp_path: Path) -> None:
    save_npz(tmp_path / "drawn.npz", tiny_data(200))
    words = ["evaluate", "drawn.npz", *measures, "--out", "E"]
    ran = redirected(*words, folder=tmp_path, to="2>&-")
    assert ran.returncode == 0, ran.stderr
    assert "digit_fid" in json.loads((tmp_path / "E/evaluation.json").read_text())["results"]
    assert (tmp_path / "E/evaluation.png").is_file()


def test_d51_an_error_without_standard_error_is_an_exit_status(tmp_path: Path) -> None:
    ran = redirected("sample", "no-such-model", folder=tmp_path, to="2>&-")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout


@pytest.mark.usefixtures("tiny_images")
def test_d51_the_package_works_in_a_process_without_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under pythonw, where sys.stderr is None: bars and notices are left out, nothing else is."""
    monkeypatch.setattr(sys, "stderr", None)
    run_folder = train(tiny_recipe(training={"steps": 4, "save_every": 2}), tmp_path / "run")
    images = load(run_folder).sample([1, 2], progress=True)
    assert images.shape == (2, 1, 8, 8)
    (run_folder / "model.safetensors").unlink()
    (run_folder / "checkpoints/step-00000004/model.safetensors").write_bytes(b"damaged")
    assert load(run_folder).sample([1], seed=1, progress=True).shape == (1, 1, 8, 8)
    assert train(resume=run_folder) == run_folder
    assert (run_folder / "model.safetensors").is_file()


def test_d51_notices_of_broken_pictures_need_no_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pics = pictures(tmp_path / "pics")
    for name in ("ant", "bee"):
        (pics / name / "broken.png").write_bytes(b"no picture")
    monkeypatch.setattr(sys, "stderr", None)
    parts = [open_data(f"folder:{pics}", s, broken="skip") for s in ("train", "test")]
    assert sum(map(len, parts)) == 24


# --- D52: a reader that has seen enough ----------------------------------------------------------


def gone(*words: str, folder: Path, unbuffered: bool = True) -> tuple[int, str]:
    """The command line on ``words``, writing to a pipe whose reader has left: status, and what it said."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        changes = {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
        ran = mezzo(*words, folder=folder, env=changes, stdout=writer)
    finally:
        os.close(writer)
    return ran.returncode, without_bars(ran.stderr)


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["--version"], ["info", "digits", "--recipe"]]
)
def test_d52_words_for_a_reader_that_is_gone(
    words: list[str], unbuffered: bool, tmp_path: Path
) -> None:
    status, said = gone(*words, folder=tmp_path, unbuffered=unbuffered)
    assert said == ""
    assert status in SILENT


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_d52_doctor_for_a_reader_that_is_gone(unbuffered: bool, tmp_path: Path) -> None:
    pictures(tmp_path / "pics")
    status, said = gone("doctor", "folder:pics", folder=tmp_path, unbuffered=unbuffered)
    assert said == ""
    assert status in SILENT


@pytest.mark.slow
def test_d52_info_for_a_reader_that_takes_one_line(tmp_path: Path) -> None:
    named_model(tmp_path / "m.safetensors", "ab")
    script = 'set -o pipefail; "$@" | head -1'
    words = ["/bin/bash", "-c", script, "bash", *COMMAND, "info", "m.safetensors"]
    ran = run(words, tmp_path, env=environment(tmp_path, PYTHONUNBUFFERED="1"))
    assert ran.stdout.split() == ["model", "m.safetensors"]
    assert ran.stderr == ""
    assert ran.returncode in SILENT


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", [True, False])
def test_d52_images_are_on_disk_before_their_name_is_printed(
    unbuffered: bool, seven: bytes, tmp_path: Path
) -> None:
    words = ["sample", "digits-fast", "7", "--out", "x.png"]
    status, said = gone(*words, folder=tmp_path, unbuffered=unbuffered)
    assert said == ""
    assert status in SILENT
    assert (tmp_path / "x.png").read_bytes() == seven


@pytest.mark.slow
def test_d52_an_evaluation_is_on_disk_before_it_is_printed(
    measures: list[str], tmp_path: Path
) -> None:
    """The page of pictures too."""
    save_npz(tmp_path / "drawn.npz", tiny_data(200))
    status, said = gone("evaluate", "drawn.npz", *measures, "--out", "E", folder=tmp_path)
    written = sorted(p.name for p in (tmp_path / "E").iterdir())
    assert written == ["evaluation.json", "evaluation.md", "evaluation.png"]
    assert said == ""
    assert status in SILENT


@pytest.mark.slow
def test_d52_a_sweep_is_on_disk_although_nobody_reads_its_rows(
    measures: list[str], tmp_path: Path
) -> None:
    named_model(tmp_path / "m.safetensors", tuple("0123456789"))
    words = ["evaluate", "m.safetensors", *measures, "--count", "200", "--sweep", "steps=1,2"]
    status, said = gone(*words, folder=tmp_path)
    found = json.loads((tmp_path / "sweep-steps.json").read_text())
    assert [row["steps"] for row in found["rows"]] == [1, 2]
    assert said == ""
    assert status in SILENT


# --- D53: a terminal or locale that is not UTF-8 -------------------------------------------------

PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
UTF_8 = {"PYTHONUTF8": "1"}


@pytest.mark.slow
def test_d53_an_evaluation_on_a_terminal_of_ascii(measures: list[str], tmp_path: Path) -> None:
    save_npz(tmp_path / "sämples.npz", tiny_data(200))
    words = ["evaluate", "sämples.npz", *measures, "--out", "E"]
    ran = mezzo(*words, folder=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "E/evaluation.json").read_text(encoding="utf-8"))
    assert found["protocol"]["source"] == "sämples.npz"
    assert (tmp_path / "E/evaluation.png").is_file()
    assert "recall" in (tmp_path / "E/evaluation.md").read_text(encoding="utf-8")
    assert "s\\xe4mples.npz" in ran.stdout
    assert ran.stdout.isascii()


def test_d53_the_name_of_a_picture_on_a_terminal_of_ascii(seven: bytes, tmp_path: Path) -> None:
    words = ["sample", "digits-fast", "7", "--out", "söven.png"]
    ran = mezzo(*words, folder=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "söven.png").read_bytes() == seven
    assert ran.stdout.strip() == "s\\xf6ven.png"


@pytest.mark.slow
def test_d53_classes_with_accents_on_a_terminal_of_ascii(tmp_path: Path) -> None:
    named_model(tmp_path / "m.safetensors", ("čáp", "\N{PENGUIN}"))
    ran = mezzo("info", "m.safetensors", folder=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0, ran.stderr
    assert "\\u010d\\xe1p, \\U0001f427" in ran.stdout


@pytest.mark.slow
def test_d53_doctor_in_the_locale_c(tmp_path: Path) -> None:
    pictures(tmp_path / "pics", ("čáp", "vrána"))
    ran = mezzo("doctor", "folder:pics", folder=tmp_path, env=PLAIN)
    assert ran.returncode == 0, ran.stderr
    assert "24 in pics" in ran.stdout
    assert "images:    22" in ran.stdout


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe ``größe.toml`` and the run it was trained to; its classes have accents too."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "größe.toml").write_text(RECIPE, encoding="utf-8")
    data = tiny_data(40, classes=2)
    save_npz(folder / "birds.npz", data, classes=np.array(["čáp", "vrána"]))
    ran = mezzo("train", "größe.toml", "--out", "whole", folder=folder, env=UTF_8)
    assert ran.returncode == 0, ran.stderr
    return folder


RECIPE = """
# čtyři kroky
[data]
name = "npz:birds.npz"
[net]
width = 8
blocks = 1
embedding = 16
heads = 2
groups = 4
[training]
steps = 4
batch = 8
save_every = 2
log_every = 1
sample_every = 2
[sampling]
steps = 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("locale", [PLAIN, {**PLAIN, "PYTHONIOENCODING": "ascii"}])
def test_d53_a_run_of_utf_8_goes_on_in_the_locale_c(
    begun: Path, tmp_path: Path, locale: dict[str, str]
) -> None:
    shutil.copytree(begun / "whole", tmp_path / "run")
    shutil.copy(begun / "birds.npz", tmp_path)
    (tmp_path / "run/model.safetensors").unlink()
    shutil.rmtree(tmp_path / "run/checkpoints/step-00000004")
    ran = mezzo("train", "--resume", "run", folder=tmp_path, env=locale)
    assert ran.returncode == 0, ran.stderr
    for name in ("model.safetensors", "recipe.toml", "checkpoints/step-00000004/state.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (begun / "whole" / name).read_bytes()
    assert [entry["step"] for entry in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_d53_a_recipe_file_with_accents_in_the_locale_c(begun: Path, tmp_path: Path) -> None:
    for name in ("größe.toml", "birds.npz"):
        shutil.copy(begun / name, tmp_path)
    ran = mezzo("train", "größe.toml", "--out", "run", folder=tmp_path, env=PLAIN)
    assert ran.returncode == 0, ran.stderr
    own, theirs = (f / "recipe.toml" for f in (tmp_path / "run", begun / "whole"))
    assert own.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8")
    assert load(tmp_path / "run").spec.classes == ("čáp", "vrána")


@pytest.mark.slow
def test_d53_data_under_a_name_with_accents_in_the_locale_c(begun: Path, tmp_path: Path) -> None:
    """Found all the same, or refused by name."""
    shutil.copytree(begun / "whole", tmp_path / "run")
    shutil.copy(begun / "birds.npz", tmp_path / "ptáci.npz")
    recipe = tmp_path / "run/recipe.toml"
    text = recipe.read_text(encoding="utf-8").replace("npz:birds", "npz:ptáci")
    recipe.write_text(text, encoding="utf-8")
    ran = mezzo("train", "--resume", "run", folder=tmp_path, env=PLAIN)
    assert "Traceback" not in ran.stderr
    if ran.returncode != 0:
        assert ran.returncode == 1
        assert "ci.npz" in ran.stderr


@pytest.mark.slow
def test_d53_a_file_that_is_not_there_is_named_in_the_locale_c(tmp_path: Path) -> None:
    ran = mezzo("sample", "größe.safetensors", folder=tmp_path, env=PLAIN)
    assert ran.returncode == 1
    assert "e.safetensors" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- D61: the terminal closes --------------------------------------------------------------------

ENDLESS = [*TINY, "--steps", "1000000", "--sample-every", "0", "--save-every", "0", "--out", "run"]


@pytest.fixture
def training(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder and a command that trains there until it is stopped."""
    save_npz(tmp_path / "tiny.npz", tiny_data(40))
    return tmp_path, [*COMMAND, "train", "digits", "--data.name", "npz:tiny.npz", *ENDLESS]


@pytest.mark.slow
def test_d61_a_hangup_while_training_saves(training: tuple[Path, list[str]]) -> None:
    folder, words = training
    with started(words, folder, preexec_fn=default_hangup) as process:
        wait_for_entries(folder / "run", 3, process)
        process.send_signal(signal.SIGHUP)
        ran = ended(process)
    assert ran.returncode == 129, ran.stderr
    last = read_metrics(folder / "run/metrics.jsonl")[-1]["step"]
    assert [p.name for p in (folder / "run/checkpoints").iterdir()] == [f"step-{last:08d}"]
    assert not rubbish(folder)
    assert load(folder / "run").sample([0]).shape == (1, 1, 8, 8)


def default_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def ignored_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.slow
def test_d61_a_hangup_that_was_ignored_stays_ignored(training: tuple[Path, list[str]]) -> None:
    """As under nohup; other signals are heard."""
    folder, words = training
    with started(words, folder, preexec_fn=ignored_hangup) as process:
        wait_for_entries(folder / "run", 3, process)
        process.send_signal(signal.SIGHUP)
        seen = len(read_metrics(folder / "run/metrics.jsonl"))
        wait_for_entries(folder / "run", seen + 20, process)
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
    assert ran.returncode == 143, ran.stderr
    assert len(list((folder / "run/checkpoints").iterdir())) == 1


HALF_WRITTEN = """
import contextlib, os, signal, sys
import numpy, PIL.Image
from matplotlib.figure import Figure
from mezzotint.cli import main

number = int(sys.argv[1])

def half(where, *arguments, **options):
    stream = hasattr(where, "write")  # pictures go through memory
    with contextlib.nullcontext(where) if stream else open(where, "wb") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), number)
        file.write(b"whole")

def half_method(self, where, *arguments, **options):
    half(where)

numpy.savez_compressed = half
PIL.Image.Image.save = half_method
Figure.savefig = half_method
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["sample", "gif"])
def test_d61_a_hangup_while_a_file_is_written_leaves_no_half(
    verb: str, number: signal.Signals, tmp_path: Path
) -> None:
    named_model(tmp_path / "m.safetensors", "ab")
    out = {"sample": ["--out", "x.npz"], "gif": ["--out", "gifs"]}[verb]
    words = [sys.executable, "-c", HALF_WRITTEN, str(int(number)), verb, "m.safetensors", "a", *out]
    ran = run(words, tmp_path, preexec_fn=default_hangup)
    assert ran.returncode in (128 + number, -number), ran.stderr
    assert not rubbish(tmp_path)
    assert not (tmp_path / "x.npz").exists()
    assert not list(tmp_path.glob("gifs/*"))
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_d61_a_hangup_in_an_evaluation_leaves_no_half(measures: list[str], tmp_path: Path) -> None:
    """It arrives while the page of pictures is written: the numbers are there."""
    save_npz(tmp_path / "drawn.npz", tiny_data(200))
    number = str(int(signal.SIGHUP))
    words = ["evaluate", "drawn.npz", *measures, "--out", "E"]
    ran = run(
        [sys.executable, "-c", HALF_WRITTEN, number, *words], tmp_path, preexec_fn=default_hangup
    )
    assert ran.returncode in HUNG_UP, ran.stderr
    assert not rubbish(tmp_path)
    assert not (tmp_path / "E/evaluation.png").exists()
    assert "digit_fid" in json.loads((tmp_path / "E/evaluation.json").read_text())["results"]
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_d52_a_pipe_that_is_gone_and_a_full_disk_are_told_apart(tmp_path: Path) -> None:
    """A reader that leaves is status 141; what a full disk loses is an error."""
    words = [sys.executable, "-m", "mezzotint", "info", "digits-fast"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 141
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False
        )
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
