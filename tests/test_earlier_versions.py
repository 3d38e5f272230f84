"""Recipes, weights, checkpoints and runs that earlier versions wrote. The files are as they left them:
version-0.1 is from before format 2 of the weights file, the others are written by `soak.release`."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mezzotint
from common import tiny_data
from mezzotint import build, load, weights
from mezzotint.loading import find_weights
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.objectives import AdversarialRefinement, Denoising, Distillation, Refinement
from mezzotint.recipe.presets import RECIPES, find
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import from_toml, override, to_toml
from mezzotint.recipe.versions import MOVED, upgrade
from mezzotint.runs.train import train
from mezzotint.samplers import Sampler, make_sampler
from mezzotint.utils.assets import shipped
from soak.golden import build_description
from soak.release import LABELS, SEED, hash_of_images, hash_of_weights

REFERENCE = Path(__file__).parent / "reference"
OLD = REFERENCE / "version-0.1"
RUNS = ["version-0.1/ddpm", *(f"{p.name}/run" for p in sorted(REFERENCE.glob("version-*.*.*")))]
"""Runs as if killed, with the weights that they end with, one of each version."""


def old_recipe(name: str) -> Any:
    return from_toml((OLD / "recipes" / f"{name}.toml").read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_version_0_1_means_what_it_meant(name: str) -> None:
    """But for norms and heads of the lean network, the times of digits, few-step models, and clothes."""
    earlier: dict[str, Any] = {} if name == "ddpm" else {"net": {"groups": 8, "heads": 4}}
    if name == "fashion":
        earlier["net"]["width"] = 40
        earlier["training"] = {"steps": 2700, "ema": 0.995}
    if name in ("digits", "digits-long", "digits-refined"):
        earlier["objective"] = {"times": "logit-normal"}
    if name == "digits-fast":
        earlier["objective"] = {"solver": "ddim"}
    if name == "digits-fast-refined":
        earlier["objective"] = {"critic_features": "own", "wrong_labels": 0.0}
    assert old_recipe(name) == override(RECIPES[name], earlier)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].initial_model])
def test_a_recipe_that_begins_from_a_shipped_model_has_its_network(name: str) -> None:
    recipe = RECIPES[name]
    shipped, _ = weights.read_header(find_weights(str(recipe.initial_model)))
    assert recipe.net == shipped.net
    assert recipe.diffusion == shipped.diffusion


def test_what_moved_is_found_where_it_is_now() -> None:
    recipe = old_recipe("odd")
    assert recipe.training.balance == "classes"
    assert recipe.training.clip_gradient == 1.5
    assert recipe.training.weight_decay is None  # adam ignored it
    assert recipe.diffusion.schedule == "original-cosine"
    assert recipe.objective == Denoising(
        loss="huber",
        weighting="min-snr",
        times="uniform",
        label_dropout=0.2,
        curriculum_start=0.2,
        curriculum_until=0.7,
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("digits", Denoising),
        ("digits-fast", Distillation),
        ("digits-refined", Refinement),
        ("digits-fast-refined", AdversarialRefinement),
    ],
)
def test_three_sections_become_the_objective_they_amounted_to(name: str, kind: type) -> None:
    assert isinstance(old_recipe(name).objective, kind)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"sampler": "ddim", "eta": 0.5}, "ddim:eta=0.5"),
        ({"sampler": "ddim"}, "ddim"),
        ({"sampler": "ddpm-large"}, "ddpm:variance=large"),
    ],
)
def test_a_samplers_options_follow_its_name_now(before: dict[str, Any], after: str) -> None:
    recipe = override(Recipe(), upgrade({"sampling": before}))
    assert recipe.sampling.sampler == after
    assert isinstance(make_sampler(after), Sampler)


def test_a_recipe_of_today_is_not_translated() -> None:
    text = to_toml(RECIPES["ddpm"])
    assert from_toml(text) == RECIPES["ddpm"]
    values = tomllib.loads(text)
    assert upgrade(values) == {k: v for k, v in values.items() if k != "format"}


def test_a_recipe_of_a_later_format_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"runs/x is of format 3, not 2: update mezzotint"):
        from_toml("format = 3", "runs/x")


@pytest.mark.parametrize("key", [key for key in MOVED if "." in key])
def test_a_key_that_moved_is_refused_with_its_new_place(key: str) -> None:
    section, name = key.split(".")
    with pytest.raises(RecipeError, match=f"unknown key '{key}'. It is {MOVED[key]} now"):
        override(RECIPES["digits"], {section: {name: 1}})


@pytest.mark.parametrize("name", shipped("models"))
def test_shipped_models_load(name: str) -> None:
    model = load(name)
    assert model.recipe.few_step == name.endswith("-fast")


def known_bits(run: str) -> dict[str, str]:
    """The hashes that a release noted on the build that this is; empty if it noted none."""
    path = REFERENCE / run / "bits.json"
    noted = json.loads(path.read_text()) if path.is_file() else []
    build = build_description()
    return next((each for each in noted if each["build"] == build), {})


@pytest.mark.parametrize(
    ("file", "drawn_then"),
    [
        ("version-0.1/reference.safetensors", "version-0.1/reference.npz"),
        *((f"{run}/end.safetensors", f"{run}/images.npz") for run in RUNS),
    ],
)
def test_weights_draw_what_they_drew(file: str, drawn_then: str) -> None:
    """To a grey level: another processor rounds differently. On the same build, to the bit."""
    images = np.load(REFERENCE / drawn_then)["images"]
    drawn = load(REFERENCE / file).sample(LABELS, seed=SEED).numpy()
    difference = np.abs(drawn.astype(int) - images.astype(int))
    assert difference.max() <= 1
    if "images" in (bits := known_bits(Path(file).parent.as_posix())):
        assert hash_of_images(REFERENCE / file) == bits["images"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_to_the_weights_it_would_have_had(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "load_data", lambda section, split="train": tiny_data(40, size=8))
    run = tmp_path / "run"
    shutil.copytree(REFERENCE / name, run)
    train(resume=run)
    if "weights" in (bits := known_bits(name)):
        assert hash_of_weights(run / "model.safetensors") == bits["weights"]
    expected = load_file(run / "end.safetensors")
    found = load_file(run / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    # Earlier builds left the number type open, and computed in fp32.
    recipe = override(weights.read(run / "end.safetensors")[1], {"training": {"precision": "fp32"}})
    assert weights.read(run / "model.safetensors")[1] == recipe


@pytest.mark.parametrize(
    "text",
    [f"{name} = 3" for name in ("sampling", "training", "data", "distillation", "refinement")],
)
def test_a_broken_recipe_of_version_0_1_is_refused_in_words(text: str) -> None:
    with pytest.raises(RecipeError, match="is a section of keys, not the value 3"):
        from_toml(text)


def test_a_file_of_ones_own_that_says_format_1_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('format = 1\nbase = "ddpm"\n[diffusion]\nschedule = "linear"\n')
    with pytest.raises(RecipeError, match="is of format 1"):
        find(str(path))


def test_this_version_leaves_a_run_behind() -> None:
    """If not: `python -m soak.release`, with ``tests`` on the path."""
    assert f"version-{mezzotint.__version__}/run" in RUNS
