"""``mezzotint refine`` from a model's file to a better one's images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common import as_if_killed, few_step_recipe, tiny_data, tiny_recipe
from mezzotint import load, weights
from mezzotint.cli import main
from mezzotint.cli.refine import refined
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.objectives import AdversarialRefinement, Refinement
from mezzotint.recipe.toml import from_toml, override, to_toml
from mezzotint.runs.initial import INITIAL, SAMPLES
from mezzotint.runs.train import train
from mezzotint.sampling import sample_distributed
from mezzotint.utils.files import sha256
from models import random_model_file

SHORT = [
    "--steps",
    "4",
    "--batch",
    "8",
    "--warmup",
    "1",
    "--sample-every",
    "0",
    "--log-every",
    "1",
    "--images",
    "23",
]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A model of images that are quickly read."""
    data = tiny_data(60)
    np.savez(tmp_path / "tiny.npz", images=data.images.numpy(), labels=data.labels.numpy())
    recipe = tiny_recipe(
        data={"name": f"npz:{tmp_path / 'tiny.npz'}"}, sampling={"guidance": 2.0, "steps": 2}
    )
    return random_model_file(tmp_path / "reference.safetensors", recipe)


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code in (0, None), stopped.value


def test_it_trains_at_the_times_of_the_model_also_in_a_second_round(tmp_path: Path) -> None:
    times = {"objective": {"times": "logit-normal:shift=3"}}
    first = random_model_file(tmp_path / "first.safetensors", tiny_recipe(**times))
    second = random_model_file(tmp_path / "second.safetensors", refined(str(first)))
    for model in (first, second):
        assert refined(str(model)).objective.times == "logit-normal:shift=3"


def test_it_takes_over_data_network_and_sampling_but_not_guidance(reference: Path) -> None:
    theirs = weights.read(reference)[1]
    own = refined(str(reference))
    assert (own.data, own.net) == (theirs.data, theirs.net)
    assert own.diffusion == theirs.diffusion
    assert isinstance(own.objective, Refinement)
    assert own.objective.reference == own.initial_model == str(reference)
    assert own.objective.sha256 == sha256(reference)
    assert (own.sampling.sampler, own.sampling.steps, own.sampling.guidance) == ("heun", 2, 1.0)
    assert own.name == "digits-refined"
    assert from_toml(to_toml(own)) == own


def test_from_a_model_to_a_better_one(reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "better"
    run("refine", str(reference), "--out", str(out), *SHORT)
    assert load(out).recipe.initial_model == str(reference)
    assert (out / INITIAL).read_bytes() == reference.read_bytes()
    samples = np.load(out / SAMPLES)["images"]
    drawn = sample_distributed(load(reference), 23, 0, guidance=1.0)
    assert np.array_equal(samples, drawn.images.numpy())
    assert drawn.labels.tolist() == [k % 10 for k in range(23)]
    images = load(out).sample([3, 7])
    assert images.shape == (2, 1, 8, 8)
    assert not torch.equal(images, load(reference).sample([3, 7], guidance=1.0))
    with pytest.raises(SystemExit, match="exists"):
        main(["refine", str(reference), "--out", str(out), *SHORT])


def test_a_stopped_run_goes_on_with_the_same_bits_against_the_same_samples(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    run("refine", str(reference), "--out", str(first), "--save-every", "2", *SHORT)
    as_if_killed(first, second)
    monkeypatch.setattr("mezzotint.runs.initial.sample_distributed", None)  # not to be drawn again
    reference.unlink()  # the run has it
    run("train", "--resume", str(second))
    one, two = ((folder / "model.safetensors").read_bytes() for folder in (first, second))
    assert one == two


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": {"width": 16}}, r"net or diffusion is not that of objective\.reference"),
        ({"diffusion": {"parametrization": "v"}}, r"is not that of objective\.reference"),
        ({"objective": {"sha256": "0" * 64}}, r"objective\.reference.*SHA-256"),
        ({"objective": {"images": 9}}, r"images = 9: at least one for each of 10 classes"),
        ({"objective": {"reference": "nowhere"}}, "no model at nowhere"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    reference: Path, tmp_path: Path, changes: dict[str, dict[str, Any]], said: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        train(override(refined(str(reference)), changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", ["refinement", "adversarial"])
def test_a_refinement_of_nothing_is_refused(objective: str) -> None:
    with pytest.raises(RecipeError, match=r"needs objective\.reference, the model to begin from"):
        tiny_recipe(objective={"name": objective})


@pytest.fixture
def student(reference: Path, tmp_path: Path) -> Path:
    """A few-step model of the same images."""
    recipe = override(
        weights.read(reference)[1],
        {
            "objective": {"name": "distillation", "teacher": "digits"},
            "sampling": {"sampler": "consistency", "guidance": 1.0},
        },
    )
    return random_model_file(tmp_path / "student.safetensors", recipe)


def test_a_few_step_model_meets_a_critic_and_resumes_with_the_same_bits(
    student: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    short = [word for word in SHORT if word not in ("--images", "23")]
    short += ["--critic", "8", "--objective.critic-rate", "20", "--learning-rate", "0.001"]
    run("refine", str(student), "--out", str(first), "--save-every", "2", *short)
    recipe = load(first).recipe
    assert recipe.sampling.sampler == "consistency"
    assert isinstance(recipe.objective, AdversarialRefinement)
    assert (recipe.objective.reference, recipe.objective.critic) == (str(student), 8)
    assert recipe.objective.critic_rate == 20
    assert recipe.few_step
    assert (first / INITIAL).read_bytes() == student.read_bytes()
    assert not (first / SAMPLES).exists()
    assert not torch.equal(load(first).sample([3]), load(student).sample([3]))
    as_if_killed(first, second)
    student.unlink()
    run("train", "--resume", str(second))
    one, two = ((folder / "model.safetensors").read_bytes() for folder in (first, second))
    assert one == two


def test_few_step_models_and_others_are_not_mixed_up(
    reference: Path, student: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="'ddim': a distilled model jumps to the end of a path"):
        main(["refine", str(student), "--sampling.sampler", "ddim", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit, match="'consistency' is for distilled models"):
        main(
            [
                "refine",
                str(reference),
                "--sampling.sampler",
                "consistency",
                "--optimizer",
                "adam",
                "--out",
                str(tmp_path / "run"),
            ]
        )
    for own, other, said in [
        (reference, student, r"is a few-step model, which .* 'refinement' is not for"),
        (student, reference, r"is not a few-step model, which .* 'adversarial' is not for"),
    ]:
        changes = {"objective": {"reference": str(other), "sha256": sha256(other)}}
        recipe = override(refined(str(own)), changes)
        with pytest.raises(RecipeError, match=said):
            train(recipe, tmp_path / "run")
    with pytest.raises(SystemExit, match="is trained with 'adam'"):
        main(["refine", str(student), "--optimizer", "muon", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit, match="few-step model already"):
        main(["distill", str(student), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_words_before_the_model_are_refused(reference: Path) -> None:
    with pytest.raises(SystemExit, match="comes first"):
        main(["refine", "--steps", "3", str(reference)])
    with pytest.raises(SystemExit, match="no model at nowhere"):
        main(["refine", "nowhere"])


@pytest.mark.parametrize("classes", [0, 1])
def test_a_few_step_model_without_classes_meets_a_critic_too(classes: int, tmp_path: Path) -> None:
    """By default half of what the critic is shown is under a wrong label, which there is none of here."""
    data = tiny_data(60, classes=classes)
    arrays = {"labels": data.labels.numpy()} if classes else {}
    np.savez(tmp_path / "tiny.npz", images=data.images.numpy(), **arrays)
    recipe = override(
        few_step_recipe(),
        {
            "data": {"name": f"npz:{tmp_path / 'tiny.npz'}"},
            "objective": {"name": "distillation", "teacher": "digits"},
        },
    )
    student = random_model_file(tmp_path / "student.safetensors", recipe, classes=classes)
    short = [word for word in SHORT if word not in ("--images", "23")]
    run("refine", str(student), "--out", str(tmp_path / "run"), "--critic", "8", *short)
    objective = load(tmp_path / "run").recipe.objective
    assert isinstance(objective, AdversarialRefinement)
    assert (objective.critic_features, objective.wrong_labels) == ("model", 0.0)
