"""Recipes: what they hold, how they are read and written, and what is refused in which words."""

import dataclasses
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mezzotint.registry
from mezzotint.evaluation.measures import Measure
from mezzotint.recipe import nets, objectives, presets, schema
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import RECIPES, as_recipe, find
from mezzotint.recipe.schema import Recipe
from mezzotint.recipe.toml import differences, from_toml, leaves, override, to_dict, to_toml
from mezzotint.recipe.versions import FORMAT
from mezzotint.registry import (
    GRIDS,
    LOSSES,
    NETS,
    OBJECTIVES,
    OPTIMIZERS,
    PARAMETRIZATIONS,
    SAMPLERS,
    SCHEDULES,
    TIMES,
    WEIGHTINGS,
    Registry,
    load,
)

# A change to each kind of objective.
DENOISING: dict[str, Any] = {
    "objective": {
        "name": "denoising",
        "curriculum_start": 0.1,
        "loss": "huber",
        "weighting": "min-snr",
    },
    "sampling": {"sampler": "heun"},
}
DISTILLATION: dict[str, Any] = {
    "objective": {
        "name": "distillation",
        "teacher": "t",
        "interval": [0.25, 0.5],
        "solver": "heun",
        "stages": 3,
    },
    "sampling": {"sampler": "consistency"},
}
REFINEMENT: dict[str, Any] = {
    "objective": {"name": "refinement", "reference": "r", "sha256": "0" * 64, "wrong_labels": 0.5},
    "sampling": {"sampler": "heun"},
}
ADVERSARIAL: dict[str, Any] = {
    "objective": {
        "name": "adversarial",
        "reference": "r",
        "critic": 8,
        "critic_features": "model",
        "instance_noise": 0.0,
    },
    "training": {"optimizer": "adam", "weight_decay": 0.0},
    "sampling": {"sampler": "consistency"},
}

# A change of every kind of field, some of them away from what any named recipe has.
CHANGES: list[dict[str, Any]] = [
    {},
    {"name": 'a "quoted" \\ name, with ü', "seed": 2**63 - 1},
    {"data": {"folder": "C:\\data\\mnist", "size": 20, "fit": "pad"}},
    {"net": {"name": "unet", "depth": 2}},
    {"net": {"name": "lean", "heads": 2}},
    {"training": {"clip_gradient": 1.0, "compile": True, "learning_rate": 1e-5, "ema": 0.0}},
    {
        **DENOISING,
        "sampling": {"interval": [0.25, 0.75], "sampler": "ddim:eta=0.5", "clip": False},
    },
    DENOISING,
    DISTILLATION,
    REFINEMENT,
    ADVERSARIAL,
]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_recipe_survives_toml(name: str, changes: dict[str, Any]) -> None:
    recipe = as_recipe(name, changes)
    text = to_toml(recipe)
    assert text.startswith(f"format = {FORMAT}\n")
    back = from_toml(text)
    assert back == recipe
    # Equal is not enough: 1 == 1.0 == True.
    kinds = [[type(value) for _, value in leaves(r)] for r in (back, recipe)]
    assert kinds[0] == kinds[1]


def test_recipes_are_named_after_their_keys() -> None:
    assert {name: recipe.name for name, recipe in RECIPES.items()} == {n: n for n in RECIPES}


def test_a_recipe_cannot_be_altered() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["digits"].training.steps = 1  # type: ignore[misc]


def test_ddpm_is_the_original_system() -> None:
    ddpm = RECIPES["ddpm"]
    assert (ddpm.data.name, ddpm.data.size) == ("mnist", 32)
    assert ddpm.net == nets.UNet(width=64, depth=4, embedding=128, groups=8)
    diffusion = ddpm.diffusion
    assert (diffusion.schedule, diffusion.timesteps, diffusion.parametrization) == (
        "original-linear",
        1000,
        "eps",
    )
    assert ddpm.objective == objectives.Denoising(
        loss="l1", weighting="constant", times="uniform", label_dropout=0.0
    )
    assert ddpm.objective.curriculum_start == 1  # off
    training = ddpm.training
    assert (training.optimizer, training.learning_rate, training.batch) == ("adam", 1e-4, 64)
    # 1000 epochs of 60,000 images, the last batch of each filled up.
    assert training.steps == 1000 * 60_000 // 64 == 937_500
    assert (training.decay, training.warmup, training.ema) == ("none", 0, 0)
    assert (training.clip_gradient, training.weight_decay, training.balance) == (None, None, "none")
    assert training.sample_every == 1000
    sampling = ddpm.sampling
    assert (sampling.sampler, sampling.steps, sampling.guidance) == ("ddpm", 1000, 1)


# --- The names in the config are those of the registries.

REGISTRIES = [
    (schema.Diffusion, "schedule", SCHEDULES),
    (schema.Diffusion, "parametrization", PARAMETRIZATIONS),
    (objectives.Denoising, "loss", LOSSES),
    (objectives.Denoising, "weighting", WEIGHTINGS),
    (objectives.Denoising, "times", TIMES),
    (objectives.Distillation, "times", TIMES),
    (objectives.Refinement, "weighting", WEIGHTINGS),
    (objectives.Refinement, "times", TIMES),
    (schema.Training, "optimizer", OPTIMIZERS),
    (schema.Sampling, "sampler", SAMPLERS),
    (schema.Sampling, "grid", GRIDS),
]


@pytest.mark.parametrize(
    ("section", "field", "registry"),
    REGISTRIES,
    ids=[f"{section.__name__}.{field}" for section, field, _ in REGISTRIES],
)
def test_choices_are_the_registry_itself(section: type, field: str, registry: Any) -> None:
    """A name that is added there is known here, on the command line and in messages."""
    (choice,) = (f for f in dataclasses.fields(section) if f.name == field)
    assert choice.metadata["choices"] is registry
    assert choice.default in registry


def test_registries_import_nothing_before_a_part_is_asked_for() -> None:
    script = (
        "import sys, mezzotint.recipe.presets, mezzotint.registry; print('torch' in sys.modules)"
    )
    made = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == "False"


@pytest.mark.parametrize(
    "registry", [r for r in vars(mezzotint.registry).values() if isinstance(r, Registry)]
)
def test_every_registered_name_leads_to_a_part(registry: Any) -> None:
    assert len(registry) > 1
    for name in registry:
        part = registry[name]
        assert callable(part) or isinstance(part, Measure), name


@pytest.mark.parametrize("name", ["mnits", "folder", "folder:", "foldr:x", ""])
def test_data_that_cannot_be_are_refused_with_the_names(name: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.name = .*mnist, fashion-mnist.*folder:PATH"):
        as_recipe("digits", {"data": {"name": name}})


@pytest.mark.parametrize("registry", [NETS, OBJECTIVES], ids=["nets", "objectives"])
def test_sections_tell_themselves_apart_by_their_registered_name(registry: Any) -> None:
    for name in registry:
        assert registry[name]().name == name


@pytest.mark.parametrize(
    ("changes", "initial", "few_step"),
    [
        (DENOISING, None, False),
        (DISTILLATION, "t", True),
        (REFINEMENT, "r", False),
        (ADVERSARIAL, "r", True),
    ],
    ids=["denoising", "distillation", "refinement", "adversarial"],
)
def test_an_objective_decides_what_to_begin_from_and_how_to_sample(
    changes: dict[str, Any], initial: str | None, few_step: bool
) -> None:
    recipe = as_recipe("digits", changes)
    assert (recipe.initial_model, recipe.few_step) == (initial, few_step)


@pytest.mark.parametrize("name", NETS)
def test_net_sections_have_their_networks_arguments(name: str) -> None:
    """Defaults are the section's alone."""
    section = as_recipe("digits", {"net": {"name": name}}).net
    parameters = dict(inspect.signature(load(NETS[name].network)).parameters)
    for from_data in ("size", "channels", "num_classes"):
        del parameters[from_data]
    assert section.name == name
    assert {"name", *parameters} == {field.name for field in dataclasses.fields(section)}
    assert {parameter.default for parameter in parameters.values()} == {inspect.Parameter.empty}


def test_every_field_explains_itself_and_has_a_default_within_its_range() -> None:
    sections = list(RECIPES.values())
    names = {recipe.objective.name for recipe in sections} | {
        recipe.net.name for recipe in sections
    }
    assert names == {"denoising", "distillation", "refinement", "adversarial", "lean", "unet"}
    for recipe in sections:
        for section in (
            recipe.data,
            recipe.net,
            recipe.diffusion,
            recipe.objective,
            recipe.training,
            recipe.sampling,
        ):
            for field in dataclasses.fields(section):
                if section in (recipe.net, recipe.objective) and field.name == "name":
                    continue  # explained by the flag, or by the verb that chooses it
                assert field.metadata["help"], field.name
                first = field.metadata["help"].split()[0]
                acronym = len(first) > 1 and first[:2].isupper()  # such as SHA-256
                assert first[0].islower() or acronym, field.name
    # Replacing everything by itself runs every check on every default.
    for recipe in sections:
        assert override(recipe, to_dict(recipe)) == recipe


# --- Refusals.


def refused(changes: Any, *words: str, recipe: str = "digits") -> None:
    """``changes`` are refused as a RecipeError whose message holds all the ``words``."""
    with pytest.raises(RecipeError) as caught:
        as_recipe(recipe, changes)
    for word in words:
        assert word in str(caught.value), (word, str(caught.value))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainig": {"steps": 5}}, ["'trainig'", "'training'"]),
        ({"training": {"step": 5}}, ["'training.step'", "'steps'"]),
        ({"training": {"learning-rate": 5}}, ["'training.learning-rate'", "'learning_rate'"]),
        ({"net": {"widht": 5}}, ["'net.widht'", "'width'"]),
        ({"net": {"depth": 5}}, ["'net.depth'"]),  # the other network's
        ({"net": {"name": "unet", "patch": 5}}, ["'net.patch'"]),
        ({"objective": {"losss": "l1"}}, ["'objective.losss'", "'loss'"]),
        ({"objective": {"teacher": "digits"}}, ["'objective.teacher'"]),  # another objective's
        ({"distillation": {"teacher": "x"}}, ["'distillation'", "objective, with name ="]),
        ({"refinement": {"reference": "x"}}, ["'refinement'", "objective, with name ="]),
    ],
    ids=str,
)
def test_unknown_keys_are_refused_with_the_nearest(changes: Any, words: list[str]) -> None:
    refused(changes, "unknown key", *words)


def test_a_key_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(RecipeError, match=r"'training.zzzzz'") as caught:
        as_recipe("digits", {"training": {"zzzzz": 1}})
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"diffusion": {"schedule": "cosin"}},
            ["diffusion.schedule", "'cosin'", "'cosine'", "flow"],
        ),
        ({"objective": {"loss": "L1"}}, ["objective.loss", "'L1'", "l1, l2, huber"]),
        (
            {"objective": {"name": "distilation"}},
            ["objective.name", "'distilation'", "Did you mean 'distillation'"],
        ),
        ({"objective": {"name": 3}}, ["objective.name", "3", "denoising, distillation"]),
        ({"sampling": {"sampler": "hun"}}, ["sampling.sampler", "'hun'", "'heun'"]),
        ({"training": {"optimizer": "adamW"}}, ["training.optimizer", "'adamW'", "'adamw'"]),
        ({"data": {"name": "mnits"}}, ["data.name", "'mnits'", "'mnist'"]),
        ({"net": {"name": "unett"}}, ["net.name", "'unett'", "'unet'", "lean, unet"]),
        ({"net": {"name": 3}}, ["net.name", "3"]),
        ({"net": {"name": ["unet"]}}, ["net.name", "['unet']"]),
        ({"training": {"decay": ["linear"]}}, ["training.decay", "['linear']"]),
        ({"training": {"precision": 32}}, ["training.precision", "32"]),
    ],
    ids=str,
)
def test_unknown_values_are_refused_with_the_nearest(changes: Any, words: list[str]) -> None:
    refused(changes, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"steps": "5"}}, ["training.steps", "'5'", "a whole number"]),
        ({"training": {"steps": 5.0}}, ["training.steps", "5.0", "a whole number"]),
        ({"training": {"steps": True}}, ["training.steps", "True", "a whole number"]),
        ({"training": {"steps": None}}, ["training.steps", "None", "a whole number"]),
        ({"training": {"learning_rate": "fast"}}, ["training.learning_rate", "'fast'", "a number"]),
        ({"training": {"learning_rate": True}}, ["training.learning_rate", "True", "a number"]),
        ({"training": {"compile": 1}}, ["training.compile", "1", "true or false"]),
        ({"training": {"clip_gradient": "1"}}, ["training.clip_gradient", "'1'", "a number"]),
        ({"data": {"folder": 3}}, ["data.folder", "3", "text"]),
        ({"name": 3}, ["name", "3", "text"]),
        ({"sampling": {"interval": 0.5}}, ["sampling.interval", "0.5", "2 numbers"]),
        ({"sampling": {"interval": [0.5]}}, ["sampling.interval", "[0.5]", "2 numbers"]),
        ({"sampling": {"interval": [0, "1"]}}, ["sampling.interval", "'1'", "a number"]),
        ({"training": 5}, ["training", "5", "section"]),
        ({"net": "unet"}, ["net", "'unet'", "section"]),
        ({"objective": "denoising"}, ["objective", "'denoising'", "section"]),
    ],
    ids=str,
)
def test_wrong_types_are_refused_in_words(changes: Any, words: list[str]) -> None:
    refused(changes, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"steps": 0}}, ["training.steps", "0", "at least 1"]),
        ({"training": {"batch": -8}}, ["training.batch", "-8", "at least 1"]),
        ({"training": {"ema": 1.5}}, ["training.ema", "1.5", "from 0 to 0.999999"]),
        (
            {"training": {"learning_rate": -1e-3}},
            ["training.learning_rate", "-0.001", "at least 0"],
        ),
        ({"training": {"learning_rate": math.nan}}, ["training.learning_rate", "nan", "finite"]),
        ({"training": {"learning_rate": math.inf}}, ["training.learning_rate", "inf", "finite"]),
        (
            {"training": {"clip_gradient": -1.0}},
            ["training.clip_gradient", "-1.0", "at least 1e-06"],
        ),
        ({"objective": {"label_dropout": 1.1}}, ["objective.label_dropout", "1.1", "from 0 to 1"]),
        ({"objective": {"curriculum_start": 0}}, ["objective.curriculum_start", "0.001 to 1"]),
        ({"sampling": {"guidance": -1}}, ["sampling.guidance", "-1", "at least 0"]),
        ({"sampling": {"interval": [0.5, 2]}}, ["sampling.interval", "2.0", "from 0 to 1"]),
        ({"data": {"size": 0}}, ["data.size", "0", "at least 1"]),
        ({"net": {"name": "unet", "depth": 9}}, ["net.depth", "9", "from 1 to 8"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 2**70}, ["seed", str(2**70), str(2**63 - 1)]),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_with_the_range(changes: Any, words: list[str]) -> None:
    refused(changes, *words)


@pytest.mark.parametrize("key", ["steps", "learning_rate", "clip_gradient"])
def test_whole_numbers_beyond_floats_are_refused_in_words(key: str) -> None:
    # TOML's integers have no end in Python; 10^400 has no float.
    with pytest.raises(RecipeError, match=f"training.{key}"):
        as_recipe("digits", {"training": {key: 10**400}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diffusion": {"schedule": "cosine", "parametrization": "v"}}, ["diffusion.timesteps"]),
        ({"diffusion": {"parametrization": "eps"}}, ["diffusion.parametrization", "'flow'"]),
        ({"diffusion": {"timesteps": 5}}, ["sampling.steps", "12", "5"]),
        ({"sampling": {"eta": 0.5}}, ["eta", "ddim:eta=0.5"]),
        ({"sampling": {"sampler": "dmp++"}}, ["dmp++", "dpm++"]),
        ({"sampling": {"sampler": "ddim,heun"}}, ["ddim,heun", "one of"]),
        ({"sampling": {"sampler": "ddim:eta"}}, ["ddim:eta", "option=value"]),
        ({"sampling": {"grid": "karas:rho=3"}}, ["karas", "karras"]),
        ({"sampling": {"interval": [0.5, 0.5]}}, ["interval", "[0.5, 0.5]", "empty"]),
        ({"sampling": {"interval": [0.8, 0.2]}}, ["interval", "[0.8, 0.2]", "empty"]),
        ({"training": {"batch": 4, "accumulate": 5}}, ["training.accumulate", "5", "4"]),
        (
            {"training": {"optimizer": "adam", "weight_decay": 0.01}},
            ["training.weight_decay", "0.01", "adamw or muon"],
        ),
        ({"objective": {"curriculum_until": 0.3}}, ["objective.curriculum_until", "0.3", "start"]),
        ({"objective": {"name": "distillation"}}, ["objective.teacher", "mezzotint distill"]),
        ({"objective": {"name": "refinement"}}, ["objective.reference", "mezzotint refine"]),
        ({"objective": {"name": "adversarial"}}, ["objective.reference", "mezzotint refine"]),
        (
            {**DISTILLATION, "objective": DISTILLATION["objective"] | {"interval": [0.5, 0.5]}},
            ["objective.interval", "[0.5, 0.5]", "empty"],
        ),
        (
            {"sampling": {"sampler": "consistency"}},
            ["sampling.sampler", "'consistency'", "mezzotint distill"],
        ),
        (
            {**DISTILLATION, "sampling": {"sampler": "ddim"}},
            ["sampling.sampler", "'ddim'", "'consistency'"],
        ),
        (
            {**REFINEMENT, "sampling": {"sampler": "consistency"}},
            ["sampling.sampler", "'consistency'"],
        ),
        (
            {**ADVERSARIAL, "sampling": {"sampler": "heun"}},
            ["sampling.sampler", "'heun'", "'consistency'"],
        ),
        ({**ADVERSARIAL, "training": {}}, ["training.optimizer", "'muon'", "'adam'"]),
        (
            {**ADVERSARIAL, "training": {"optimizer": "adam", "batch": 7}},
            ["training.batch", "7", "pairs"],
        ),
    ],
    ids=str,
)
def test_contradictions_between_fields_are_refused(changes: Any, words: list[str]) -> None:
    refused(changes, *words)


def test_weight_decay_is_that_of_the_optimizers_that_have_one() -> None:
    assert schema.Training().decoupled_decay == 0.01
    assert schema.Training(weight_decay=0.5).decoupled_decay == 0.5
    assert schema.Training(weight_decay=0.0).decoupled_decay == 0
    none = {"optimizer": "adam", "weight_decay": 0.0}
    assert as_recipe("digits", {"training": none}).training.weight_decay == 0


def test_whole_numbers_are_welcome_where_a_fraction_may_stand() -> None:
    changed = as_recipe("digits", {"training": {"learning_rate": 1}, "sampling": {"guidance": 0}})
    assert type(changed.training.learning_rate) is float
    assert type(changed.sampling.guidance) is float


# --- Changing the kind of network or objective.


def test_naming_another_network_takes_that_networks_defaults() -> None:
    wide = as_recipe("digits", {"net": {"width": 48}})
    changed = as_recipe(wide, {"net": {"name": "unet", "depth": 2}})
    assert changed.net == nets.UNet(depth=2)


def test_naming_the_same_network_keeps_its_settings() -> None:
    wide = as_recipe("digits", {"net": {"width": 48}})
    assert as_recipe(wide, {"net": {"name": "lean", "blocks": 1}}).net == nets.Lean(
        width=48, blocks=1
    )


def test_naming_another_objective_takes_that_objectives_defaults() -> None:
    huber = as_recipe("digits", {"objective": {"loss": "huber", "times": "uniform"}})
    changed = as_recipe(huber, {"objective": {"name": "refinement", "reference": "r"}})
    assert changed.objective == objectives.Refinement(reference="r")
    kept = as_recipe(changed, {"objective": {"name": "refinement", "beta": 0.5}})
    assert kept.objective == objectives.Refinement(reference="r", beta=0.5)


# --- TOML files of users.


def written(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_names_only_what_differs_from_its_base(tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "ddpm"\n[training]\nsteps = 2000\n')
    assert find(path) == as_recipe("ddpm", {"name": "mine", "training": {"steps": 2000}})


@pytest.mark.parametrize("name", RECIPES)
def test_a_whole_recipe_is_a_file_too(tmp_path: Path, name: str) -> None:
    recipe = as_recipe(name, {"name": "mine", "seed": 3})
    assert find(written(tmp_path, to_toml(recipe), "other.toml")) == recipe


def test_a_file_without_base_derives_from_digits_and_may_name_itself(tmp_path: Path) -> None:
    path = written(tmp_path, 'name = "other"\n[net]\nwidth = 16\n')
    assert find(path) == as_recipe("digits", {"name": "other", "net": {"width": 16}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('base = "dppm"', ["'dppm'", "'ddpm'"]),
        ("base = 3", ["base", "3"]),
        ('base = ["ddpm"]', ["base", "['ddpm']"]),
        ("[training]\nstep = 5", ["'training.step'", "'steps'"]),
        ("[diffusion]\nloss = 'l1'", ["'diffusion.loss'", "objective.loss"]),
        ("[training\nsteps = 5", ["mine.toml", "not valid TOML"]),
        ("[training]\nsteps = 5\nsteps = 6", ["mine.toml", "not valid TOML"]),
    ],
)
def test_a_faulty_file_is_refused_in_words(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        find(written(tmp_path, text))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    # What `>` writes in some Windows shells.
    path = tmp_path / "mine.toml"
    path.write_bytes("seed = 1\n".encode("utf-16"))
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        find(str(path))


def test_unknown_recipes_and_missing_files_are_refused_with_the_nearest() -> None:
    with pytest.raises(
        RecipeError,
        match=r"'digit'.*digits, digits-long, digits-refined, digits-fast, .*ddpm.*Did you mean 'digits'",
    ):
        find("digit")
    with pytest.raises(RecipeError, match=r"no recipe file nowhere\.toml"):
        find("nowhere.toml")


def test_the_named_recipes_survive_a_file_of_changes(tmp_path: Path) -> None:
    before = dict(presets.RECIPES)
    find(written(tmp_path, 'base = "ddpm"\n[training]\nsteps = 1\n'))
    assert before == presets.RECIPES


# --- What changed.


def test_differences_name_each_changed_field_old_and_new() -> None:
    old = as_recipe("digits")
    new = as_recipe(old, {"seed": 4, "training": {"batch": 32, "clip_gradient": 1.0}})
    assert differences(old, new) == [
        "seed: 0 -> 4",
        "training.batch: 64 -> 32",
        "training.clip_gradient: None -> 1.0",
    ]
    assert differences(old, as_recipe("digits")) == []


def test_differences_of_networks_name_the_fields_that_only_one_has() -> None:
    found = differences(as_recipe("digits"), as_recipe("digits", {"net": {"name": "unet"}}))
    assert "net.name: 'lean' -> 'unet'" in found
    assert "net.depth: '(absent)' -> 4" in found
    assert "net.blocks: 2 -> '(absent)'" in found
    assert all(line.startswith("net.") for line in found)


def test_every_field_of_a_recipe_is_compared() -> None:
    recipe = as_recipe("digits")
    keys = {key for key, _ in leaves(recipe)}
    sections = {f.name for f in dataclasses.fields(Recipe)} - {"name", "seed"}
    expected = {"name", "seed"} | {
        f"{s}.{f.name}" for s in sections for f in dataclasses.fields(getattr(recipe, s))
    }
    assert keys == expected
