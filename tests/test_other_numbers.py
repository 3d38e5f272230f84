"""Many classes, copies, and numbers that are not Python's or JSON's: the second list, D63, D64, D69, D70."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from common import tiny_data, tiny_recipe
from machines import in_process, named_model, small_measures
from mezzotint import RecipeError, build, train
from mezzotint.evaluation.memorization import nearest
from mezzotint.evaluation.report import Evaluation, write
from mezzotint.runs import train as run_training
from mezzotint.training.monitor import Diverged
from mezzotint.training.trainer import Trainer
from mezzotint.viz.report import save_report
from models import model_for

LARGEST_BATCH = 512
"""Rows that a network may be shown at once for pictures on the way; guidance doubles images."""

LONGEST_SIDE = 4096
"""Pixels of a page."""


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


# --- D63: pictures of everything at once ---------------------------------------------------------


@contextmanager
def rows_at_once() -> Iterator[list[int]]:
    """How many rows each evaluation of a module within the block has."""
    seen = [0]

    def note(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
            seen.append(len(inputs[0]))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.fixture
def many(work: Path) -> Path:
    """A model of 600 classes."""
    recipe = tiny_recipe(sampling={"sampler": "heun", "steps": 1})
    return named_model(work / "many.safetensors", [f"class {k}" for k in range(600)], recipe)


@pytest.mark.parametrize("classes", [400, 1000])
def test_d63_grids_on_the_way_are_bounded(
    classes: int, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_data(classes, classes=classes)
    monkeypatch.setattr(build, "load_data", lambda section, split="train": data)
    recipe = tiny_recipe(training={"steps": 2, "sample_every": 2}, sampling={"steps": 1})
    with rows_at_once() as seen:
        folder = train(recipe, work / "run")
    assert 1 < max(seen) <= LARGEST_BATCH
    with Image.open(folder / "samples/step-00000002.png") as page:
        assert max(page.size) <= LONGEST_SIDE


def test_d63_a_film_of_everything_is_bounded(many: Path, work: Path) -> None:
    """Or refused in words."""
    with rows_at_once() as seen:
        words = ["gif", str(many), "--layout", "grid", "--steps", "1", "--frames", "2"]
        said = in_process(*words, "--scale", "4")
    assert max(seen) <= LARGEST_BATCH
    if said == 0:
        with Image.open(work / "gifs/grid.gif") as page:
            assert max(page.size) <= LONGEST_SIDE
    else:
        assert "600" in str(said)


def test_d63_films_of_each_are_drawn_in_batches(many: Path, work: Path) -> None:
    with rows_at_once() as seen:
        words = ["gif", str(many), "--steps", "1", "--frames", "2", "--scale", "1"]
        said = in_process(*words)
    assert max(seen) <= LARGEST_BATCH
    assert said == 0 or "600" in str(said)
    if said == 0:
        assert len(list((work / "gifs").iterdir())) == 600


def test_d63_images_of_everything_are_drawn_in_batches(many: Path, work: Path) -> None:
    with rows_at_once() as seen:
        assert in_process("sample", str(many), "--out", "all.png", "--scale", "1") == 0
    assert max(seen) <= LARGEST_BATCH
    with Image.open(work / "all.png") as page:
        assert max(page.size) <= LONGEST_SIDE


def test_d63_the_page_of_an_evaluation_is_bounded(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confusion of 400 classes has 160,000 numbers, which nobody can read."""
    written = [0]
    text = Axes.text

    def counted(self: Axes, *words: Any, **options: Any) -> Any:
        written[0] += 1
        assert written[0] <= 10_000
        return text(self, *words, **options)

    monkeypatch.setattr(Axes, "text", counted)
    images = tiny_data(400).images
    save_report(
        work / "page.png",
        samples=images,
        columns=10,
        confusion=torch.ones(400, 400, dtype=torch.int64),
        classes=[f"class {k}" for k in range(400)],
        worst=images[:64],
        generated=images[:32],
        training=images[:32],
        title="many",
    )
    with Image.open(work / "page.png") as page:
        assert max(page.size) <= LONGEST_SIDE


# --- D64: metrics that are no JSON ---------------------------------------------------------------


def strict(text: str) -> Any:
    """JSON as its standard has it, without NaN and Infinity."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_d64_a_step_that_overflows_is_logged_as_null_with_the_reason(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = run_training.make_trainer

    def overflowing(*words: Any) -> Trainer:
        trainer = make(*words)
        parameter = next(trainer.state.network.parameters())
        parameter.register_hook(lambda g: g * float(value) if trainer.state.step == 3 else g)
        return trainer

    monkeypatch.setattr(run_training, "make_trainer", overflowing)
    folder = train(tiny_recipe(training={"steps": 4, "log_every": 2}), tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [strict(line) for line in lines]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert entries[0]["gradient_norm"] > 0
    assert entries[1]["gradient_norm"] is None
    assert entries[1]["skipped_steps"] == 1


@pytest.mark.usefixtures("tiny_images")
def test_d64_the_metrics_of_a_run_that_diverges_are_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(
        training={"steps": 40, "optimizer": "adam", "learning_rate": 1e30, "warmup": 0}
    )
    with pytest.raises((Diverged, ValueError)):
        train(recipe, tmp_path / "run")
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert len([strict(line) for line in lines]) >= 1


@pytest.mark.parametrize(
    "found", [[0.5], [0.5, 1.0], [float("nan")], [float("inf")], [float("nan"), 1.0]]
)
def test_d64_an_evaluation_without_a_number_is_json(found: list[float], tmp_path: Path) -> None:
    network = {"network": "plain", "sha256": "0" * 64}
    protocol = {
        **{"source": "x", "images": 2, "features": network, "witness": network, "date": "today"},
        **{"version": "0", "torch": "2", "hardware": "cpu", "reference": "real"},
    }
    shown: Any = (None, SimpleNamespace(confusion=None))
    values = {"digit_fid": found, "recall": [0.25] * len(found)}
    written = write(Evaluation(values, {"digit_fid": found[0]}, protocol, shown), tmp_path)
    results = strict(next(p for p in written if p.suffix == ".json").read_text())["results"]
    assert results.keys() == values.keys()
    assert results["recall"]["mean"] == 0.25


def test_d64_a_sweep_without_a_number_is_json(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint.evaluation import evaluate as evaluation

    flags = small_measures(work)
    model = named_model(work / "m.safetensors", tuple("0123456789"))
    shown: Any = (None, SimpleNamespace(confusion=None))
    names = ("accuracy", "digit_fid", "precision", "recall")
    values = {name: [float("nan")] for name in names}
    found = Evaluation(values, dict.fromkeys(names, 0.5), {}, shown)
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *words, **options: found)
    assert in_process("evaluate", str(model), *flags, "--sweep", "steps=1,2") == 0
    rows = strict((work / "sweep-steps.json").read_text())["rows"]
    assert [row["digit_fid"] for row in rows] == [None, None]


# --- D69: numbers that are not Python's ----------------------------------------------------------


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, torch.tensor])
def test_d69_a_recipe_with_whole_numbers_of_other_kinds(kind: Any, tmp_path: Path) -> None:
    """The same run, and the same recipe in its folder."""

    def recipe(number: Any) -> Any:
        training = {"steps": number(2), "batch": number(8), "warmup": number(0)}
        return tiny_recipe(seed=number(1), training=training, net={"width": number(8)})

    other = train(recipe(kind), tmp_path / "other")
    plain = train(recipe(int), tmp_path / "plain")
    for name in ("recipe.toml", "model.safetensors"):
        assert (other / name).read_bytes() == (plain / name).read_bytes()
    assert recipe(kind) == recipe(int)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, torch.tensor])
def test_d69_a_recipe_with_other_kinds_of_fractions(kind: Any) -> None:
    made = tiny_recipe(
        training={"learning_rate": kind(0.25), "ema": kind(0.5)},
        sampling={"guidance": kind(2.0), "interval": (kind(0.25), kind(0.75))},
    )
    plain = tiny_recipe(
        training={"learning_rate": 0.25, "ema": 0.5},
        sampling={"guidance": 2.0, "interval": (0.25, 0.75)},
    )
    assert made == plain
    assert isinstance(made.training.learning_rate, float)


def test_d69_a_recipe_with_other_kinds_of_whole_numbers_as_fractions() -> None:
    assert tiny_recipe(sampling={"guidance": np.int64(2)}).sampling.guidance == 2.0


@pytest.mark.parametrize("value", [np.bool_(True), torch.tensor(True)])
def test_d69_a_recipe_with_other_kinds_of_truth(value: Any) -> None:
    assert tiny_recipe(training={"deterministic": value}).training.deterministic is True


@pytest.mark.parametrize(
    "value",
    [
        *[True, np.bool_(True), torch.tensor(True), 2.0, np.float64(2), torch.tensor(2.0), "2"],
        *[np.array([2]), np.array([2, 3]), None],
    ],
    ids=repr,
)
@pytest.mark.parametrize("key", ["steps", "batch"])
def test_d69_what_is_no_whole_number_is_refused_in_a_recipe(value: Any, key: str) -> None:
    with pytest.raises(RecipeError, match=rf"training\.{key}"):
        tiny_recipe(training={key: value})


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, torch.tensor])
def test_d69_sampling_with_whole_numbers_of_other_kinds(kind: Any) -> None:
    model = model_for("heun")
    plain = model.sample([3, 7], seed=5, batch=1, steps=2, first=4)
    made = model.sample([3, 7], seed=kind(5), batch=kind(1), steps=kind(2), first=kind(4))
    assert made.equal(plain)
    assert model.trajectory([3], seed=kind(5), steps=kind(2)).x.shape[0] == 3
    assert model.sample(count=kind(2), seed=5).equal(model.sample(count=2, seed=5))
    guided = model.sample([3], guidance=np.float32(2), interval=(np.float32(0), np.int64(1)))
    assert guided.equal(model.sample([3], guidance=2.0, interval=(0.0, 1.0)))


LABELS = [
    np.array([3, 7]),
    np.array([3, 7], np.uint8),
    np.array([3, 7], np.int16),
    [np.int64(3), np.int32(7)],
    (np.uint8(3), 7),
    [torch.tensor(3), torch.tensor(7)],
    torch.tensor([3, 7]),
    torch.tensor([3, 7], dtype=torch.uint8),
    torch.tensor([3, 7], dtype=torch.int32),
    (3, 7),
    range(3, 8, 4),
]


@pytest.mark.parametrize("labels", LABELS, ids=repr)
def test_d69_labels_of_other_kinds(labels: Any) -> None:
    model = model_for("heun")
    assert model.sample(labels, seed=1).equal(model.sample([3, 7], seed=1))


@pytest.mark.parametrize("label", [3, np.int64(3), np.array(3), torch.tensor(3)], ids=repr)
def test_d69_a_label_that_is_no_list_is_one_or_refused(label: Any) -> None:
    """In words; never another number of images."""
    model = model_for("heun")
    try:
        made = model.sample(label, seed=1)
    except (RecipeError, ValueError) as error:
        said = str(error)
    else:
        said = ""
        assert made.equal(model.sample([3], seed=1))
    assert said == "" or "list" in said


@pytest.mark.parametrize(
    "options",
    [
        {"count": True},
        {"count": np.bool_(True)},
        {"count": torch.tensor(True)},
        {"count": 2.0},
        {"count": np.float64(2)},
        {"count": 0},
        {"count": np.int64(-1)},
        {"labels": [True, False]},
        {"labels": np.array([True, False])},
        {"labels": torch.tensor([True])},
        {"labels": np.array([3.0])},
        {"labels": [3.5]},
        {"labels": [[3]]},
        {"labels": np.array([[3]])},
        {"labels": [3], "seed": np.bool_(True)},
        {"labels": [3], "seed": 1.0},
        {"labels": [3], "seed": np.int64(-1)},
        {"labels": [3], "batch": np.bool_(True)},
        {"labels": [3], "batch": np.float32(2)},
        {"labels": [3], "steps": np.bool_(True)},
        {"labels": [3], "steps": np.float64(2)},
    ],
    ids=repr,
)
def test_d69_what_is_no_whole_number_is_refused_in_sampling(options: dict[str, Any]) -> None:
    with pytest.raises((RecipeError, ValueError)):
        model_for("heun").sample(**options)


def test_d69_a_seed_of_64_bits(tmp_path: Path) -> None:
    model = model_for("heun")
    assert model.sample([3], seed=np.uint64(2**63 - 1)).equal(model.sample([3], seed=2**63 - 1))
    with pytest.raises(ValueError, match="seed"):
        model.sample([3], seed=np.uint64(2**63))  # type: ignore[arg-type]


# --- D70: copies that are not at distance 0 ------------------------------------------------------


def bright(count: int, channels: int, size: int = 32) -> Tensor:
    """Images of which no two are alike, far from black."""
    source = torch.Generator().manual_seed(3)
    shape = (count, channels, size, size)
    return torch.randint(200, 256, shape, generator=source).to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_d70_copies_are_at_distance_0(chunk: int, channels: int) -> None:
    images = bright(200, channels)
    found = nearest(images, images, chunk)
    assert found.distance.tolist() == [0.0] * 200
    assert found.index.tolist() == list(range(200))
    assert found.summary() == {"median": 0.0, "percentile_1": 0.0, "minimum": 0.0}


@pytest.mark.parametrize("chunk", [1, 30, 1000])
def test_d70_one_level_of_one_pixel_is_told_from_a_copy(chunk: int) -> None:
    images = bright(60, 3)
    other = images.clone()
    other[:, 0, 0, 0] -= 1
    found = nearest(other, images, chunk).distance
    expected = torch.full((60,), (3 * 32 * 32) ** -0.5)
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=0)


def test_d70_copies_among_more_images_than_are_compared_at_once() -> None:
    training = bright(10_050, 1, size=6)
    rows = torch.tensor([0, 9_999, 10_000, 10_049])
    found = nearest(training[rows], training)
    assert found.distance.tolist() == [0.0] * 4
    assert found.index.tolist() == rows.tolist()


def test_d70_distances_do_not_depend_on_the_chunk() -> None:
    images, training = bright(90, 3), bright(150, 3).flip(0)
    found = [nearest(images, training, chunk) for chunk in (1, 7, 1000)]
    exact = (images[:, None].double() - training[None].double()).square().flatten(2).mean(2).sqrt()
    for neighbours in found:
        torch.testing.assert_close(
            neighbours.distance.double(), exact.min(1).values, rtol=1e-5, atol=0
        )


def test_d70_an_evaluation_of_copies_says_so(work: Path) -> None:
    flags = small_measures(work)
    with np.load("real.npz") as real:
        images = np.maximum(real["images"], 200)
        arrays = {**real, "images": images}
    np.savez("real.npz", **arrays)
    np.savez("copies.npz", images=images[:150], labels=arrays["labels"][:150])
    assert in_process("evaluate", "copies.npz", *flags) == 0
    results = json.loads((work / "evaluation.json").read_text())["results"]
    found = {name: r["mean"] for name, r in results.items() if name.startswith("nearest")}
    assert len(found) == 3
    assert set(found.values()) == {0.0}
