"""Faults that gave a wrong result, or lost one, and said nothing."""

import json
import os
import shutil
import tracemalloc
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.cli import main
from mezzotint.data import open_data
from mezzotint.evaluation import matching
from mezzotint.loading import load
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import RECIPES, as_recipe
from mezzotint.recipe.toml import override
from mezzotint.runs.train import make_trainer, train
from mezzotint.sampling import _share
from mezzotint.training.checkpoint import latest_checkpoint, read_manifest, save_checkpoint
from mezzotint.training.log import MetricsLog, read_metrics
from mezzotint.utils import files
from mezzotint.utils.files import restore_interrupted, whole_folder
from mezzotint.utils.randomness import Stream, generator
from mezzotint.viz.curves import MOST_POINTS, running_mean, save_loss_curve, thinned
from mezzotint.viz.report import save_sweep
from models import random_model_file


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


def command(*words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code in (0, None), stopped.value


# --- random streams ------------------------------------------------------------------------------


def test_no_two_streams_share_their_numbers() -> None:
    """Image k begins from the path (k,) alone; every stream has places of two numbers or more."""
    paths = [(k,) for k in range(8)]
    paths += [(stream, place) for stream in Stream for place in (0, 1)]
    paths += [(Stream.DRAWS, 0, part) for part in (0, 1)]
    draws = {path: torch.rand(4, generator=generator(0, *path)) for path in paths}
    for one, other in combinations(paths, 2):
        assert not torch.equal(draws[one], draws[other]), (one, other)


def test_initial_weights_are_not_drawn_from_the_noise_of_an_image() -> None:
    recipe, data = tiny_recipe(), tiny_data()
    first = next(iter(build.new_denoiser(recipe, data.spec).network.parameters()))
    for number in range(10):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(recipe.seed, number).initial_seed())
            other = next(iter(build.make_network(recipe.net, data.spec).parameters()))
        assert not torch.equal(first, other)


# --- the loss curve ------------------------------------------------------------------------------


def test_the_loss_curve_of_the_longest_run_takes_little_memory(tmp_path: Path) -> None:
    """The recipe ddpm logs 187,500 entries; keeping the window of each would take 14 GB."""
    count = RECIPES["ddpm"].training.steps // RECIPES["ddpm"].training.log_every
    assert count == 187_500
    losses = np.random.default_rng(0).random(count).tolist()
    tracemalloc.start()
    save_loss_curve(tmp_path / "loss.png", range(count), losses, "ddpm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    assert (tmp_path / "loss.png").stat().st_size > 1000


@pytest.mark.parametrize("count", [1, 2, 19, 20, 100, 5000])
def test_the_running_mean_is_that_of_each_window(count: int) -> None:
    values = np.random.default_rng(1).random(count)
    span = max(1, count // 20)
    expected = [values[max(0, k - span) : k + 1].mean() for k in range(count)]
    np.testing.assert_allclose(running_mean(values, span), expected, rtol=1e-9)
    points = thinned(values)
    assert len(points) == min(count, MOST_POINTS)
    np.testing.assert_allclose(points.mean(), values.mean(), rtol=0.05)


@pytest.mark.parametrize("title", ["plain", "a$x^_$b", "100% {of} it\\"])
def test_pictures_leave_matplotlibs_backend_alone_and_take_titles_as_they_are(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "backend", "svg")
    save_loss_curve(tmp_path / "loss.png", [1, 2], [0.5, 0.4], title)
    save_sweep(tmp_path / "sweep.png", "steps", [1, 2], {"recall": [0.1, 0.2]}, {})
    assert dict.__getitem__(matplotlib.rcParams, "backend") == "svg"


# --- metrics -------------------------------------------------------------------------------------


def refuse_constant(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


def test_a_step_that_was_skipped_is_logged_without_numbers_that_json_lacks(tmp_path: Path) -> None:
    trainer = make_trainer(tiny_recipe(training={"log_every": 2, "steps": 4}), tiny_data())
    parameter = next(trainer.state.network.parameters())
    parameter.register_hook(lambda g: g * float("nan") if trainer.state.step in (1, 3) else g)
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    trainer.run(log=log.write)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line, parse_constant=refuse_constant) for line in lines]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert [entry["gradient_norm"] for entry in entries] == [None, None]
    assert [entry["skipped_steps"] for entry in entries] == [1, 1]
    assert entries == read_metrics(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_whatever_is_logged_is_json(value: float, tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    log.write({"step": 1, "loss": 0.5, "other": value})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=refuse_constant)["other"] is None


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("fails", [False, True])
def test_a_tracker_is_closed_however_training_ends(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import tracking

    from mezzotint.runs import folder as run_folder

    events: list[str] = []

    class Tracker:
        requires_logging_directory = False

        def __init__(self, name: str) -> None:
            events.append("made")

        def start(self) -> None:
            events.append("started")

        def log(self, values: dict[str, Any], step: int) -> None:
            events.append("logged")
            if fails:
                raise OSError("the server is gone")

        def finish(self) -> None:
            events.append("closed")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "trackio", Tracker)
    monkeypatch.setattr(run_folder, "find_spec", lambda name: object())
    recipe = tiny_recipe(training={"tracker": "trackio", "steps": 2})
    folder = train(recipe, tmp_path / "run")  # a tracker never ends a run
    assert (folder / "model.safetensors").is_file()
    assert events[:3] == ["made", "started", "logged"]
    assert events[-1] == "closed"
    assert events.count("closed") == 1


@pytest.mark.usefixtures("tiny_images")
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(RecipeError, match=r"needs the package trackio.*accelerate trackio"):
        train(tiny_recipe(training={"tracker": "trackio"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- checkpoints ---------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_never_kept_in_the_place_of_a_whole_one(tmp_path: Path) -> None:
    """Resumed past a damaged one: the next save would delete the only other whole one."""
    trainer = make_trainer(tiny_recipe(), tiny_data())
    paths = {}
    for step in (1000, 2000, 1500):
        trainer.state.step = step
        paths[step] = save_checkpoint(tmp_path, trainer.state, {}, keep=2)
        if step == 2000:
            flip(paths[2000] / "state.safetensors")
    assert [step for step, path in paths.items() if path.is_dir()] == [1000, 1500]
    assert all(read_manifest(paths[step]) for step in (1000, 1500))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_nothing_is_deleted_while_whole_ones_are_missing(keep: int, tmp_path: Path) -> None:
    trainer = make_trainer(tiny_recipe(), tiny_data())
    for step in (10, 20, 30, 40):
        trainer.state.step = step
        path = save_checkpoint(tmp_path, trainer.state, {}, keep=keep)
        if step in (20, 30):
            flip(path / "model.safetensors")
    left = sorted(int(p.name.removeprefix("step-")) for p in tmp_path.glob("step-*"))
    # Of 10 and 40, the whole ones, two are there at most: with three to keep nothing goes.
    assert left == {1: [40], 2: [10, 40], 3: [10, 20, 30, 40]}[keep]


def test_a_manifest_may_say_more_than_is_known_today(tmp_path: Path) -> None:
    trainer = make_trainer(tiny_recipe(), tiny_data())
    path = save_checkpoint(tmp_path, trainer.state, {}, keep=1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "host": "tomorrow's"}))
    assert latest_checkpoint(tmp_path) == path


def test_damage_is_said_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(tiny_recipe(), tiny_data())
    flip(save_checkpoint(tmp_path, trainer.state, {}, keep=1) / "model.safetensors")
    assert latest_checkpoint(tmp_path) is None
    out, err = capsys.readouterr()
    assert out == ""
    assert "is damaged" in err


@pytest.mark.parametrize("stray", ["step-1abc", "step-", "step-00000001.bak"])
def test_stray_folders_are_no_checkpoints(stray: str, tmp_path: Path) -> None:
    (tmp_path / stray).mkdir()
    assert latest_checkpoint(tmp_path) is None


class Killed(BaseException):
    """As if the process ended here."""


def test_a_folder_caught_between_two_names_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole folders replace each other in two steps: after a kill in between, the old one stands."""
    path = tmp_path / "step-00000001"
    with whole_folder(path) as folder:
        (folder / "content").write_text("old")
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(files, "restore_interrupted", lambda folder: None)  # the process is no more
        with pytest.raises(Killed), whole_folder(path) as folder:
            (folder / "content").write_text("new")
    assert not path.exists()
    restore_interrupted(tmp_path)
    assert (path / "content").read_text() == "old"
    with whole_folder(path) as folder:
        (folder / "content").write_text("newer")
    assert (path / "content").read_text() == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_every_file_of_a_folder_reaches_the_disk_before_its_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    original = files._sync
    monkeypatch.setattr(files, "_sync", lambda p: (synced.append(p.name), original(p)))
    with whole_folder(tmp_path / "pictures") as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "deep.png").write_text("x")
        (folder / "top.png").write_text("y")
    assert {"deep.png", "top.png", "a", "b"} <= set(synced)


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_rights_follow_the_umask(umask: int, file: int, folder: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with files.whole_file(tmp_path / "file.txt") as temporary:
            temporary.write_text("x")
        with whole_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == file
    assert (tmp_path / "folder").stat().st_mode & 0o777 == folder


# --- options that would do nothing ----------------------------------------------------------------

SILENT: dict[str, tuple[dict[str, Any], str]] = {
    "decay of adam": (
        {"training": {"optimizer": "adam", "weight_decay": 0.1}},
        "adam has none",
    ),
    "curriculum that is off": ({"objective": {"curriculum_until": 0.3}}, "does nothing"),
    "fit without size": ({"data": {"fit": "pad"}}, "does nothing without data.size"),
    "loss of a refinement": (
        {"objective": {"name": "refinement", "reference": "x", "loss": "l1"}},
        "unknown key 'objective.loss'",
    ),
    "dropout of a distillation": (
        {"objective": {"name": "distillation", "teacher": "x", "label_dropout": 0.1}},
        "unknown key 'objective.label_dropout'",
    ),
    "times of a critic": (
        {"objective": {"name": "adversarial", "reference": "x", "times": "uniform"}},
        "unknown key 'objective.times'",
    ),
    "a distilled model that walks": (
        {
            "objective": {"name": "distillation", "teacher": "x"},
            "sampling": {"sampler": "dpm++"},
        },
        "only sampler 'consistency' does",
    ),
    "a jump that was never learnt": ({"sampling": {"sampler": "consistency"}}, "distilled models"),
    "no teacher": ({"objective": {"name": "distillation"}}, "needs objective.teacher"),
    "no reference": ({"objective": {"name": "refinement"}}, "needs objective.reference"),
}


@pytest.mark.parametrize("case", SILENT)
def test_an_option_that_would_do_nothing_is_refused(case: str) -> None:
    changes, words = SILENT[case]
    with pytest.raises(RecipeError, match=words):
        as_recipe("digits", changes)


def test_flags_of_a_verb_are_those_of_its_objective(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, present, absent in (
        ("train", "--label-dropout", "--teacher"),
        ("distill", "--stages", "--label-dropout"),
        ("refine", "--beta", "--stages"),
    ):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        text = capsys.readouterr().out
        assert present in text
        assert absent not in text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_model_file(tmp_path / "model.safetensors")


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "heun"])
def test_a_few_step_model_is_not_drawn_with_another_sampler(sampler: str) -> None:
    with pytest.raises(RecipeError, match="only sampler 'consistency' does"):
        load("digits-fast").sampling_options(sampler=sampler)  # type: ignore[typeddict-item]


def test_guidance_is_refused_where_there_are_no_classes(tmp_path: Path) -> None:
    path = random_model_file(tmp_path / "plain.safetensors", classes=0)
    unconditional = load(path)
    assert unconditional.sample(count=1).shape == (1, 1, 8, 8)
    with pytest.raises(RecipeError, match="no classes to be guided to"):
        unconditional.sample(count=1, guidance=2.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "500"], "--count is for models"),
        (["--sweep", "steps=1,2"], "--sweep is for models"),
        (["--guidance", "2"], "--guidance is for models"),
        (["--against", "real.npz", "--data", "mnist"], "leave out --data"),
    ],
)
def test_options_of_models_are_refused_for_images(
    words: list[str], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 28, 28), np.uint8))
    with pytest.raises(SystemExit, match=said):
        main(["evaluate", str(tmp_path / "images.npz"), *words])


def test_a_value_and_a_sweep_of_one_option_are_refused(model: Path) -> None:
    with pytest.raises(SystemExit, match="say one or the other"):
        main(["evaluate", str(model), "--steps", "3", "--sweep", "steps=1,2"])


def test_enlarging_an_array_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"only a \.png is enlarged"):
        main(["sample", str(model), "3", "--scale", "8", "--out", str(tmp_path / "x.npz")])
    assert not (tmp_path / "x.npz").exists()


# --- names ---------------------------------------------------------------------------------------


def test_a_name_is_the_model_in_every_verb_that_takes_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("info", "digits")
    assert capsys.readouterr().out.splitlines()[0].split() == ["model", "digits"]
    command("info", "digits", "--recipe")
    assert capsys.readouterr().out.startswith("# the recipe digits\n")
    command("info", "ddpm")
    assert capsys.readouterr().out.startswith("# the recipe ddpm\n")


@pytest.mark.slow
def test_a_shipped_model_is_evaluated_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command("evaluate", "digits-fast", "--count", "200", "--steps", "1")
    result = json.loads((tmp_path / "evaluation.json").read_text())
    assert result["protocol"]["source"] == "digits-fast"
    assert result["results"]["accuracy"]["mean"] > 0.9


@pytest.mark.parametrize("name", ["nothing", "folder", "folder:", "nothing:x", "", "mnist:x"])
def test_unknown_data_are_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="there is no data set") as refusal:
        open_data(name)
    assert "mnist" in str(refusal.value)


def test_the_published_schedules_and_the_originals_are_told_apart() -> None:
    made = {
        name: build.make_schedule(as_recipe("ddpm", {"diffusion": {"schedule": name}}).diffusion)
        for name in ("linear", "cosine", "original-linear", "original-cosine")
    }
    first = torch.tensor(1 / 1000, dtype=torch.float64)
    beta = {name: schedule.level(first).sigma.square().item() for name, schedule in made.items()}
    assert beta["linear"] == pytest.approx(1e-4, rel=1e-6)
    assert beta["cosine"] == pytest.approx(4.1284e-5, rel=1e-3)
    # The first two of a table of 1001: 1 - (1 - b_0) (1 - b_1).
    second = 1e-4 + (0.02 - 1e-4) / 1000
    assert beta["original-linear"] == pytest.approx(1 - (1 - 1e-4) * (1 - second), rel=1e-5)


# --- runs that go on from a model ----------------------------------------------------------------


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("kind", ["distillation", "refinement", "adversarial"])
def test_a_run_resumes_wherever_its_first_model_has_gone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named as typed, in another folder, and deleted since."""
    monkeypatch.chdir(tmp_path)
    few = {"objective": {"name": "distillation", "teacher": "x"}}
    begun = tiny_recipe(
        sampling={"sampler": "consistency" if kind == "adversarial" else "heun"},
        **(few if kind == "adversarial" else {}),
    )
    random_model_file(Path("first.safetensors"), begun)
    key = "teacher" if kind == "distillation" else "reference"
    section = {"name": kind, key: "first.safetensors"}
    section |= {"images": 20} if kind == "refinement" else {}
    section |= {"critic": 8} if kind == "adversarial" else {}
    recipe = tiny_recipe(
        objective=section,
        training={"steps": 6, "save_every": 3, "optimizer": "adam", "learning_rate": 1e-3},
        sampling={"sampler": "heun" if kind == "refinement" else "consistency"},
    )
    train(recipe, "whole")
    Path("first.safetensors").unlink()
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree("whole", "elsewhere/run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree("run/checkpoints/step-00000006")
    Path("run/model.safetensors").unlink()
    train(resume="run")
    assert (
        Path("run/model.safetensors").read_bytes()
        == (tmp_path / "whole" / "model.safetensors").read_bytes()
    )


@pytest.mark.usefixtures("tiny_images")
def test_another_objective_within_a_run_is_refused(tmp_path: Path) -> None:
    run = train(tiny_recipe(training={"steps": 1}), tmp_path / "run")
    random_model_file(tmp_path / "teacher.safetensors")
    other = override(
        tiny_recipe(training={"steps": 1}),
        {
            "objective": {"name": "distillation", "teacher": str(tmp_path / "teacher.safetensors")},
            "sampling": {"sampler": "consistency"},
        },
    )
    with pytest.raises(RecipeError, match=r"objective\.name cannot change"):
        train(other, resume=run, changes="allow")


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 10])
def test_images_are_shared_among_any_number_of_processes(count: int, processes: int) -> None:
    shares = [_share(count, rank, processes) for rank in range(processes)]
    assert [number for share in shares for number in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


# --- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.int16])
def test_labels_of_a_large_set_are_checked_at_once(dtype: torch.dtype) -> None:
    """A loop in Python over 60,000 labels took longer than all else at a start."""
    from mezzotint.data import check_labels

    labels = torch.arange(60_000).remainder(10).to(dtype)
    assert torch.equal(check_labels(labels, [str(k) for k in range(10)]), labels.long())
    labels[41] = 10
    with pytest.raises(ValueError, match="label 10 is not a class"):
        check_labels(labels, [str(k) for k in range(10)])


def test_the_held_out_loss_asks_the_reference_for_its_test_images(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model trained on a folder that is not here is measured on what it is measured against."""

    loaded = load(model)
    data = Path("/nowhere/to/be/found")
    recipe = override(loaded.recipe, {"data": {"name": f"folder:{data}"}})
    monkeypatch.setattr(build, "load_data", None)  # nothing is opened
    reference: Any = type("Reference", (), {"test": tiny_data(20, size=28)})()
    test = matching.test_images_of(
        type(loaded)(recipe, loaded.spec, loaded.denoiser, loaded.device), reference
    )
    assert test is not None
    assert test.spec == loaded.spec
    other: Any = type("Reference", (), {"test": tiny_data(20, classes=3)})()
    assert matching.test_images_of(loaded, other) is None


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize(("key", "value"), [("images", 30), ("reference", "other.safetensors")])
def test_what_a_run_began_from_cannot_change_on_resume(
    key: str, value: Any, tmp_path: Path
) -> None:
    """Its own copy would be taken all the same, and the recipe would lie about it."""
    begun = random_model_file(tmp_path / "begun.safetensors")
    section = {"name": "refinement", "reference": str(begun), "images": 20}
    recipe = tiny_recipe(objective=section, training={"steps": 2, "optimizer": "adam"})
    run = train(recipe, tmp_path / "run")
    other = override(recipe, {"objective": {key: value}, "training": {"steps": 3}})
    with pytest.raises(RecipeError, match=rf"objective\.{key} cannot change within a run"):
        train(other, resume=run, changes="allow")


@pytest.mark.slow
def test_an_evaluation_is_on_disk_before_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that cannot show it, or is gone, costs no result."""

    def fails(result: Any) -> None:
        raise UnicodeEncodeError("ascii", "ä", 0, 1, "ordinal not in range")

    monkeypatch.setattr("mezzotint.cli.report._print_table", fails)
    data = build.load_data(as_recipe("digits").data, "test")
    np.savez(tmp_path / "samples.npz", images=data.images[:200].numpy(), labels=data.labels[:200])
    with pytest.raises(SystemExit, match="ordinal not in range"):
        main(["evaluate", str(tmp_path / "samples.npz"), "--out", str(tmp_path)])
    assert "digit_fid" in json.loads((tmp_path / "evaluation.json").read_text())["results"]
