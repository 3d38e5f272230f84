"""Sampling from a weights file: what comes out, what it depends on, and what is refused."""

import dataclasses
import re
import shutil
import time
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file

import mezzotint
from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.data import ImageSpec
from mezzotint.registry import GRIDS, SAMPLERS
from mezzotint.runs.train import make_trainer
from mezzotint.samplers import ImageNoise, make_grid, make_sampler
from mezzotint.training.checkpoint import save_checkpoint
from mezzotint.utils import pixels
from models import model_for, random_model_file

LABELS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The weights file of a model of ten classes, 8x8, one channel."""
    return random_model_file(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def model(file):
    return mezzotint.load(file, "cpu")


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "unconditional.safetensors"
    return mezzotint.load(random_model_file(path, classes=0), "cpu")


class Forbidden(torch.nn.Module):
    """A network that must not be asked anything."""

    def forward(self, x, steps, labels=None):
        raise AssertionError("the network was evaluated")


@pytest.fixture
def idle(model):
    """The model, with a network that fails at the first evaluation."""
    return dataclasses.replace(
        model, denoiser=dataclasses.replace(model.denoiser, network=Forbidden())
    )


def furthest(a, b):
    """The largest difference between uint8 images, in grey values."""
    return (a.int() - b.int()).abs().max().item()


# Loading


def test_a_file_a_run_folder_and_a_checkpoint_folder_load_alike(file, model, tmp_path):
    run, checkpoint = tmp_path / "run", tmp_path / "step-00000004"
    for folder in (run, checkpoint):
        folder.mkdir()
        shutil.copy(file, folder / "model.safetensors")
    images = model.sample(LABELS, seed=5)
    for path in (str(file), run, str(checkpoint)):
        loaded = mezzotint.load(path, "cpu")
        assert loaded.recipe == tiny_recipe()
        assert loaded.spec == ImageSpec((8, 8), 1, tuple("0123456789"))
        assert torch.equal(loaded.sample(LABELS, seed=5), images)


def test_of_a_run_that_is_not_finished_the_newest_whole_checkpoint_is_loaded(tmp_path):
    recipe = tiny_recipe(training={"ema": 0.0})
    trainer = make_trainer(recipe, tiny_data())
    for step in (2, 4, 6):
        trainer.state.step = step
        with torch.no_grad():
            for parameter in trainer.state.network.parameters():
                parameter.fill_(step)
        header = weights.header(recipe, trainer.spec)
        save_checkpoint(tmp_path / "checkpoints", trainer.state, header, keep=3)
    cut = tmp_path / "checkpoints" / "step-00000006" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-8])
    loaded = mezzotint.load(tmp_path, "cpu")
    assert {p.unique().item() for p in loaded.denoiser.network.parameters()} == {4.0}


def test_a_missing_path_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mezzotint.load(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds neither"):
        mezzotint.load(tmp_path / "empty")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_cut_file_is_refused_by_name(share, file, tmp_path):
    content = file.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cut\.safetensors"):
        mezzotint.load(path)


def test_a_file_that_is_no_safetensors_is_refused_by_name(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_text("these are no weights, but words, and many enough to look like a header")
    with pytest.raises(ValueError, match=r"foreign\.safetensors"):
        mezzotint.load(path)


def test_safetensors_of_another_program_are_refused_by_name(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"foreign\.safetensors has no recipe"):
        mezzotint.load(path)


def test_weights_that_do_not_fit_their_recipe_are_refused(file, tmp_path):
    tensors, recipe, spec = weights.read(file)
    del tensors["stem.weight"]
    weights.write(tmp_path / "holed.safetensors", tensors, recipe, spec)
    with pytest.raises(ValueError, match=r"do not fit[\s\S]*stem\.weight"):
        mezzotint.load(tmp_path / "holed.safetensors")


def with_header(file, path, **changes):
    """A copy of a weights file with other words in its header."""
    _, recipe, spec = weights.read(file)
    save_file(load_file(file), path, {**weights.header(recipe, spec), **changes})
    return path


def test_a_recipe_from_the_future_is_refused_by_name(file, tmp_path):
    recipe = 'name = "x"\n[net]\nname = "lean"\nwings = 2\n'
    path = with_header(file, tmp_path / "future.safetensors", recipe=recipe)
    with pytest.raises(ValueError, match=r"net\.wings"):
        mezzotint.load(path)


@pytest.mark.parametrize("words", ["[[[", "{}", '{"size": [8, 8], "channels": 1}', "3"])
def test_a_header_that_does_not_describe_images_is_refused_by_name(words, file, tmp_path):
    path = with_header(file, tmp_path / "odd.safetensors", images=words)
    with pytest.raises(ValueError, match=r"odd\.safetensors"):
        mezzotint.load(path)


def test_a_device_that_is_not_there_is_refused_by_name(file):
    with pytest.raises(ValueError, match="'abacus'"):
        mezzotint.load(file, "abacus")


# What comes out


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_are_uint8_one_per_label_and_the_same_each_time(sampler):
    model = model_for(sampler)
    images = model.sample(LABELS, sampler=sampler)
    assert images.shape == (8, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert images.device.type == "cpu"
    assert torch.equal(model.sample(torch.tensor(LABELS), sampler=sampler), images)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_grid_works_with_every_sampler(sampler):
    model = model_for(sampler)
    images = [model.sample([3], sampler=sampler, grid=grid, steps=4) for grid in GRIDS]
    assert all(image.float().std() > 0 for image in images)
    # On continuous time "linspace" is "trailing"; the others lead elsewhere.
    assert len({tuple(image.flatten().tolist()) for image in images}) == len(GRIDS) - 1


def test_three_channels_and_a_table_of_steps_work_too(tmp_path):
    recipe = tiny_recipe(
        diffusion={"schedule": "original-linear", "timesteps": 20, "parametrization": "v"},
        net={"name": "unet", "width": 8, "depth": 2, "embedding": 16, "groups": 4},
    )
    path = random_model_file(tmp_path / "rgb.safetensors", recipe, channels=3)
    loaded = mezzotint.load(path, "cpu")
    trajectory = loaded.trajectory([0, 9], steps=20)
    assert trajectory.x.shape == (21, 2, 3, 8, 8)
    assert trajectory.t == pytest.approx([k / 20 for k in range(20, -1, -1)])
    with pytest.raises(ValueError, match=r"steps = 21 .*20 time steps"):
        loaded.sample([0], steps=21)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_image_is_the_same_at_any_batch_size_and_among_any_others(sampler):
    model = model_for(sampler)
    whole = model.sample(LABELS, sampler=sampler, seed=11, batch=8)
    for batch in (1, 3):
        assert furthest(model.sample(LABELS, sampler=sampler, seed=11, batch=batch), whole) <= 1
    for k in (0, 4, 7):
        among_others = [(label + 1 + j) % 10 for j, label in enumerate(LABELS)]
        among_others[k] = LABELS[k]
        images = model.sample(among_others, sampler=sampler, seed=11)
        assert furthest(images[k], whole[k]) <= 1
        assert furthest(images[k - 1], whole[k - 1]) > 5  # the other labels did change theirs
        first = model.sample(LABELS[: k + 1], sampler=sampler, seed=11)
        assert furthest(first[k], whole[k]) <= 1
        alone = model.sample(LABELS[k : k + 1], sampler=sampler, seed=11, first=k)
        assert furthest(alone[0], whole[k]) <= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_images_of_one_label_differ_from_each_other_and_between_seeds(sampler):
    model = model_for(sampler)
    images = torch.cat([model.sample([7] * 4, sampler=sampler, seed=seed) for seed in (0, 1)])
    for k in range(8):
        for j in range(k):
            assert furthest(images[k], images[j]) > 5


@pytest.mark.parametrize("sampler", ["ddpm", "ddpm:variance=large", "ddim:eta=1"])
def test_random_samplers_draw_new_noise_at_each_step_for_each_image(sampler, model):
    # Two steps from the same first noise: a deterministic sampler reaches another image.
    random = model.sample([7, 7], sampler=sampler)
    assert furthest(random, model.sample([7, 7], sampler="ddim")) > 5


def test_the_largest_seed_is_a_seed(model):
    assert furthest(model.sample([1], seed=2**63 - 1), model.sample([1], seed=0)) > 5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trajectory_falls_from_noise_at_1_to_the_sample_at_0(sampler):
    model = model_for(sampler)
    labels = LABELS * 8
    trajectory = model.trajectory(labels, sampler=sampler, seed=4, steps=5)
    assert trajectory.x.shape == trajectory.x0.shape == (6, 64, 1, 8, 8)
    assert trajectory.x.dtype == trajectory.x0.dtype == torch.uint8
    assert (trajectory.t[0], trajectory.t[-1], len(trajectory.t)) == (1.0, 0.0, 6)
    assert all(before > after for before, after in pairwise(trajectory.t))
    images = model.sample(labels, sampler=sampler, seed=4, steps=5)
    assert furthest(trajectory.x[-1], images) <= 1
    assert torch.equal(trajectory.x0[-1], trajectory.x[-1])
    # Of standard normal noise, 31.7% lies beyond -1 and 1, half on either side.
    first = trajectory.x[0]
    assert (first == 0).float().mean().item() == pytest.approx(0.159, abs=0.02)
    assert (first == 255).float().mean().item() == pytest.approx(0.159, abs=0.02)
    assert furthest(first, model.trajectory([0] * 64, seed=4).x[0]) == 0


def test_one_step_is_enough(model):
    trajectory = model.trajectory([3], steps=1)
    assert trajectory.t == (1.0, 0.0)
    assert torch.equal(trajectory.x[-1], model.sample([3], steps=1))


# Labels and guidance


def by_hand(model, labels, sampler="heun", steps=3):
    """Samples of the bare network, neither guided nor clipped."""
    grid = make_grid(model.recipe.sampling.grid, model.denoiser.schedule, steps)
    noise = ImageNoise(0, range(len(LABELS)), (1, 8, 8), torch.device("cpu"))
    *_, last = make_sampler(sampler)(model.denoiser, noise(), grid, labels, noise)
    return pixels.to_uint8(last.x)


def test_guidance_1_is_the_conditional_model(model):
    plain = by_hand(model, torch.tensor(LABELS))
    assert torch.equal(model.sample(LABELS, guidance=1, clip=False), plain)
    assert furthest(model.sample(LABELS, guidance=3, clip=False), plain) > 5


def test_guidance_0_is_the_unconditional_model(model):
    plain = by_hand(model, None)
    assert torch.equal(model.sample(LABELS, guidance=0, clip=False), plain)
    assert torch.equal(model.sample(count=8, clip=False), plain)


def test_guidance_outside_its_interval_does_nothing(model):
    plain = model.sample(LABELS, guidance=1)
    late = model.sample(LABELS, guidance=3, interval=(0.0, 0.1))  # the times are 1, 2/3 and 1/3
    assert torch.equal(late, plain)
    assert not torch.equal(model.sample(LABELS, guidance=3, interval=(0.5, 0.9)), plain)


def test_options_left_out_are_the_recipes(model):
    recipe = dataclasses.replace(
        model.recipe, sampling=dataclasses.replace(model.recipe.sampling, steps=7, guidance=2.5)
    )
    other = dataclasses.replace(model, recipe=recipe)
    assert torch.equal(other.sample(LABELS), model.sample(LABELS, steps=7, guidance=2.5))
    assert not torch.equal(other.sample(LABELS), model.sample(LABELS))


def test_a_model_without_classes_samples_by_count(unconditional):
    images = unconditional.sample(count=5, batch=2)
    assert images.shape == (5, 1, 8, 8)
    assert furthest(images[0], images[1]) > 5


@pytest.mark.parametrize("labels", [[0], [3, 7]])
def test_a_model_without_classes_refuses_labels(labels, unconditional):
    with pytest.raises(ValueError, match=r"no classes.*count"):
        unconditional.sample(labels)


# Refusals: clear, and before anything is computed


@pytest.mark.parametrize("label", [-1, 10, 11, 1.5, True, float("nan"), None, "3"])
def test_a_label_that_is_no_class_is_refused_with_value_and_range(label, idle):
    # 10 is the row of the hidden label: nobody may ask for it by accident.
    with pytest.raises(ValueError, match=f"{label!r} .*0 to 9"):
        idle.sample([0, label])


@pytest.mark.parametrize("values", [[1.5], [2.0], [True], [-1], [10]])
def test_tensors_of_wrong_labels_are_refused_with_value_and_range(values, idle):
    with pytest.raises(ValueError, match=f"{values[0]!r} .*0 to 9"):
        idle.sample(torch.tensor(values))


@pytest.mark.parametrize("count", [10**6 + 1, 0, -1, None, "abc", float("nan"), 1e6, True])
def test_an_impossible_count_is_refused_within_a_second(count, idle):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=f"1 to 1000000, not {count!r}"):
        idle.sample(count=count)
    assert time.perf_counter() - start < 1


def test_no_labels_at_all_are_refused(idle):
    with pytest.raises(ValueError, match="not 0"):
        idle.sample([])


@pytest.mark.parametrize("seed", [2**70, 2**63, -1, 1.5, None, "abc", True])
def test_an_impossible_seed_is_refused_at_once(seed, idle):
    with pytest.raises(ValueError, match=f"seed .*2\\*\\*63.* not {seed!r}"):
        idle.sample([1], seed=seed)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("steps", 0, "from 1 to"),
        ("steps", -5, "from 1 to"),
        ("steps", 2.5, "a whole number"),
        ("steps", float("nan"), "a whole number"),
        ("steps", "abc", "a whole number"),
        ("guidance", -1, "at least 0"),
        ("guidance", float("nan"), "finite"),
        ("guidance", "abc", "a number"),
        ("interval", (0.5, 0.5), "empty"),
        ("interval", (0.5, 1.5), "from 0 to 1"),
        ("sampler", "dpm++:eta=0.5", "no option"),
        ("sampler", "ddim:rho=0.5", "its options are eta"),
        ("sampler", "ddim:eta", "option=value"),
        ("sampler", "ddim:eta=much", "a number"),
        ("sampler", "ddim:eta=2", "0, 1"),
        ("grid", "karras:rho=0", "above 0"),
        ("grid", "trailing:shift=nan", "above 0"),
        ("grid", "linspace:rho=2", "no option"),
        ("grid", "1, 0.5, 0.6, 0", "fall"),
        ("grid", "1, 0.5, 0", "the same"),
        ("grid", "1, half, 0", "between commas"),
        ("sampler", "consistency", "distilled models"),
        ("clip", 1, "true or false"),
    ],
)
def test_an_option_out_of_range_is_refused_before_any_compute(option, value, words, idle):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=f"{option} .*{words}"):
        idle.sample([1, 2], **{option: value})
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"consistency"}))
def test_a_few_step_model_is_sampled_by_its_own_sampler_alone(sampler):
    few_step = model_for("consistency")
    few_step = dataclasses.replace(
        few_step, denoiser=dataclasses.replace(few_step.denoiser, network=Forbidden())
    )
    with pytest.raises(ValueError, match=rf"{re.escape(repr(sampler))}.*'consistency'"):
        few_step.sample([1, 2], sampler=sampler)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, "abc"])
def test_an_impossible_batch_is_refused_by_name(batch, idle):
    with pytest.raises(ValueError, match="batch"):
        idle.sample([1, 2], batch=batch)


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"smapler": "ddim"}, "sampler"),
        ({"guidence": 2.0}, "guidance"),
        ({"sampler": "huen"}, "heun"),
        ({"grid": "trailling"}, "trailing"),
    ],
    ids=str,
)
def test_a_misspelt_option_or_choice_is_refused_with_the_nearest(options, meant, idle):
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        idle.sample([1], **options)


def test_denoising_refuses_before_the_first_step_is_asked_for(idle):
    with pytest.raises(ValueError, match="label 11"):
        idle.denoise([11])


def test_the_next_request_works_after_a_refusal(model):
    images = model.sample(LABELS)
    with pytest.raises(ValueError, match="steps"):
        model.sample(LABELS, steps=0)
    assert torch.equal(model.sample(LABELS), images)
