"""Image to image: where the way begins, and that every step is spent on it."""

import pytest
import torch

from common import tiny_recipe
from mezzotint import RecipeError
from mezzotint.data import ImageSpec
from mezzotint.diffusion.process import diffuse
from mezzotint.diffusion.schedules import cosine, flow, linear
from mezzotint.editing.image_to_image import shortened
from mezzotint.loading import from_parts
from mezzotint.registry import GRIDS, SAMPLERS
from mezzotint.samplers import ImageNoise, make_grid
from mezzotint.utils.pixels import to_float, to_uint8
from models import model_for, random_weights

IMAGE = torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    "schedule", [flow(), linear(1000), cosine(100)], ids=["flow", "linear", "cosine"]
)
@pytest.mark.parametrize("strength", [0.01, 0.3, 0.5, 0.999])
def test_all_steps_lie_between_the_strength_and_the_image(grid, schedule, strength):
    for n in (1, 2, 7, 33):
        whole = make_grid(grid, schedule, n)
        T = schedule.timesteps
        if T is not None and round(strength * T) < n:
            with pytest.raises(ValueError, match="fewer than"):
                shortened(whole, strength, schedule)
            continue
        times = shortened(whole, strength, schedule)
        assert len(times) == n + 1
        assert (times.diff() < 0).all()
        assert times[-1] == 0
        assert times[0] == pytest.approx(strength, abs=0 if T is None else 0.5 / T)
        if T is not None:
            assert torch.allclose(times * T, (times * T).round(), atol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strength_0_is_the_image_and_1_is_sampling(sampler):
    model = model_for(sampler)
    assert torch.equal(model.edit(IMAGE, 0, [1, 2], sampler=sampler), IMAGE.expand(2, -1, -1, -1))
    whole = model.edit(IMAGE, 1, [1, 2], seed=4, sampler=sampler, steps=3)
    assert torch.equal(whole, model.sample([1, 2], seed=4, sampler=sampler, steps=3))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_way_begins_at_the_noised_image_and_takes_every_step(sampler):
    model = model_for(sampler)
    edit = model.image_to_image(IMAGE, 0.4)
    film = model.trajectory([3], seed=9, sampler=sampler, steps=5, edit=edit)
    assert len(film.t) == 6
    assert film.t[0] == pytest.approx(0.4)
    eps = ImageNoise(9, range(1), (1, 8, 8), torch.device("cpu"))()
    level = model.denoiser.schedule.level(torch.tensor(0.4, dtype=torch.float64))
    assert torch.equal(film.x[0], to_uint8(diffuse(to_float(IMAGE[None]), eps, level)))


def test_strength_1_is_sampling_for_a_table_whose_last_time_still_has_a_trace_of_the_image():
    recipe = tiny_recipe(
        diffusion={"schedule": "linear", "timesteps": 100, "parametrization": "eps"},
        sampling={"sampler": "ddpm", "steps": 10},
    )
    spec = ImageSpec((8, 8), 1, tuple("0123456789"))
    model = from_parts(recipe, spec, random_weights(recipe, spec), torch.device("cpu"))
    assert torch.equal(model.edit(IMAGE, 1, [1]), model.sample([1]))
    with pytest.raises(RecipeError, match="leaves 5 of the 100 time steps"):
        model.edit(IMAGE, 0.05, [1])


def test_results_do_not_depend_on_the_batch_and_images_may_be_one_for_each():
    model = model_for("ddpm")
    images = torch.stack([IMAGE, 255 - IMAGE, IMAGE])
    drawn = model.edit(images, 0.3, [1, 2, 3], sampler="ddpm")
    parts = model.edit(images, 0.3, [1, 2, 3], sampler="ddpm", batch=2)
    assert torch.equal(drawn, parts)
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf"), "1", None, True])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(RecipeError, match="strength"):
        model_for("heun").edit(IMAGE, strength, [1])
