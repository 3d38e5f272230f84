"""Inpainting: against the exact conditional of a Gaussian, and what it promises of every model."""

from dataclasses import dataclass

import pytest
import torch

from common import tiny_recipe
from mezzotint import RecipeError
from mezzotint.data import ImageSpec
from mezzotint.diffusion.level import scale
from mezzotint.diffusion.parametrizations import Prediction
from mezzotint.diffusion.schedules import Schedule, flow
from mezzotint.editing import Plan
from mezzotint.editing.inpainting import make_method
from mezzotint.editing.known import Known
from mezzotint.loading import from_parts
from mezzotint.registry import INPAINTERS
from mezzotint.samplers import make_grid, make_sampler
from models import model_for, random_weights

R = 0.9
"""Correlation of the two pixels of the exact case, whose covariance is [[1, R], [R, 1]]."""


@dataclass(frozen=True)
class Pair:
    """The exact answers for two correlated pixels: the mean of x0, or the end of the flow's path."""

    schedule: Schedule
    few_step: bool = False

    def __call__(self, x_t, t, labels):
        level = self.schedule.level(t)
        covariance = torch.tensor([[1, R], [R, 1]], dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        variance = level.alpha**2 * values + level.sigma**2
        gain = (values / variance).sqrt() if self.few_step else level.alpha * values / variance
        x0 = x_t @ (vectors * gain @ vectors.T)
        return Prediction(x0, scale(1 / level.sigma, x_t) - scale(level.alpha / level.sigma, x0))


def distance(method, steps, sampler="ddim"):
    """How far what is drawn is from p(second pixel | first pixel), and the second pixels.

    It is the Wasserstein-2 distance in the mean over the first pixel. All is linear, so what is drawn is
    normal, with a mean proportional to the first pixel.
    """
    source = torch.Generator().manual_seed(1)

    def noise():
        return torch.randn(4_000, 1, 1, 2, generator=source, dtype=torch.float64)

    first = noise()[..., :1]
    known = Known(
        torch.cat([first, torch.zeros_like(first)], -1), torch.tensor([[[[False, True]]]])
    )
    few_step = method.few_step
    schedule = flow()
    plan = Plan(
        Pair(schedule, few_step),
        make_sampler("consistency" if few_step else sampler),
        make_grid("trailing", schedule, steps),
        clip=False,
    )
    plan = method.plan(plan, known)
    for step in plan.walk(plan.denoiser, noise(), plan.grid, None, noise):
        drawn = step.x[..., 1:]
    slope = (drawn * first).mean() / first.square().mean()
    spread = (drawn - slope * first).std()
    return ((slope - R) ** 2 + (spread - (1 - R**2) ** 0.5) ** 2).sqrt().item()


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("replace", {8: 0.4, 24: 0.2, 96: 0.09}),
        ("pigdm", {8: 0.15, 24: 0.1, 96: 0.1}),
        # four walks of each step, so 8, 24 and 96 evaluations
        ("repaint:repeats=2", {4: 0.36}),
        ("repaint:repeats=4", {6: 0.2, 24: 0.12}),
    ],
)
def test_each_method_comes_close_to_the_exact_conditional(name, cases):
    method = make_method(name, INPAINTERS[name.partition(":")[0]].few_step)
    for steps, limit in cases.items():
        assert distance(method, steps) < limit, steps


def test_pigdm_needs_the_gradient_and_repaint_the_repeats():
    """What these methods do beyond pasting the known pixels is what brings them near."""
    assert distance(make_method("repaint:repeats=1", False), 24) > 0.28

    class Deterministic(INPAINTERS["replace"]):
        few_step = False

    assert distance(Deterministic(), 96) > 0.45


def methods():
    return [(name, kind.few_step) for name, kind in INPAINTERS.items()]


def model_of(few_step):
    return model_for("consistency" if few_step else "heun")


def picture(count=1, seed=3):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, 8, 8), generator=source).to(torch.uint8)


HALF = torch.zeros(8, 8, dtype=torch.bool)
HALF[4:] = True


@pytest.mark.parametrize(("method", "few_step"), methods())
def test_known_pixels_come_back_exactly_and_results_do_not_depend_on_the_batch(method, few_step):
    model = model_of(few_step)
    images = picture(5)
    labels = [1, 2, 3, 4, 5]
    drawn = model.inpaint(images, HALF, labels, method=method, steps=4, seed=7)
    assert (drawn[:, :, ~HALF] == images[:, :, ~HALF]).all()
    assert (drawn[:, :, HALF] != images[:, :, HALF]).any()
    parts = model.inpaint(images, HALF, labels, method=method, steps=4, seed=7, batch=2)
    assert torch.equal(drawn, parts)
    film = model.trajectory(labels, seed=7, steps=4, edit=model.inpainting(images, HALF, method))
    assert len(film.t) == 5
    assert torch.equal(film.x[-1], drawn)
    other = model.inpaint(images, HALF, labels, method=method, steps=4, seed=8)
    assert not torch.equal(drawn, other)


@pytest.mark.parametrize(("method", "few_step"), methods())
def test_a_mask_that_keeps_nothing_is_sampling(method, few_step):
    model = model_of(few_step)
    everything = torch.ones(8, 8, dtype=torch.bool)
    drawn = model.inpaint(picture(), everything, [4, 2], method=method, seed=5)
    assert torch.equal(drawn, model.sample([4, 2], seed=5))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "ddim:eta=1", "dpm++", "heun"])
def test_pigdm_goes_with_every_sampler(sampler):
    model = model_of(False)
    drawn = model.inpaint(picture(), HALF, [1], method="pigdm", sampler=sampler, steps=3)
    assert torch.equal(drawn[:, :, ~HALF], picture()[:, :, ~HALF])


def test_masks_and_images_may_be_one_for_each_result():
    model = model_of(True)
    masks = torch.stack([HALF, ~HALF])[:, None]
    drawn = model.inpaint(picture(2), masks, [1, 2], steps=2)
    assert torch.equal(drawn[0, 0, :4], picture(2)[0, 0, :4])
    assert torch.equal(drawn[1, 0, 4:], picture(2)[1, 0, 4:])
    grey = masks.to(torch.uint8) * 100 + 100  # 100 is black, 200 is white
    assert torch.equal(drawn, model.inpaint(picture(2), grey, [1, 2], steps=2))


def test_without_labels_there_is_one_result_for_each_image():
    assert len(model_of(True).inpaint(picture(3), HALF, steps=1)) == 3
    assert len(model_of(True).inpaint(picture(), HALF, count=4, steps=1)) == 4


def test_steps_are_the_method_s_unless_asked_for_and_never_more_than_there_are():
    few = model_of(True)
    edit = few.inpainting(picture(), HALF)
    assert len(few.trajectory([1], edit=edit).t) == 25
    recipe = tiny_recipe(
        diffusion={"schedule": "linear", "timesteps": 10, "parametrization": "eps"},
        sampling={"sampler": "ddpm"},
    )
    spec = ImageSpec((8, 8), 1, tuple("0123456789"))
    table = from_parts(recipe, spec, random_weights(recipe, spec), torch.device("cpu"))
    assert len(table.trajectory([1], edit=table.inpainting(picture(), HALF)).t) == 11


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (torch.zeros(1, 8, 9, dtype=torch.uint8), HALF, "image must be"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), HALF, "image must be"),
        (torch.zeros(1, 8, 8), HALF, "torch.float32"),
        ("picture.png", HALF, "not str"),
        (picture()[:0], HALF, "image must be"),
        (picture(), torch.zeros(8, 9, dtype=torch.bool), "the size of the image"),
        (picture(), torch.zeros(8, dtype=torch.bool), "the size of the image"),
        (picture(), torch.zeros(2, 2, 1, 8, 8, dtype=torch.bool), "the size of the image"),
        (picture(), torch.zeros(8, 8), "torch.float32"),
        (picture(), torch.zeros(8, 8, dtype=torch.bool), "black everywhere"),
        (picture(), torch.stack([HALF, HALF & False])[:, None], "black everywhere"),
        (picture(), None, "not NoneType"),
        (picture(3), HALF, "3 images for 2 results"),
    ],
)
def test_images_and_masks_that_do_not_fit_are_refused(image, mask, words):
    with pytest.raises(RecipeError, match=words):
        model_of(True).inpaint(image, mask, [1, 2])


@pytest.mark.parametrize(
    ("few_step", "method", "words"),
    [
        (True, "pigdm", "use replace"),
        (False, "replace", "use pigdm or repaint"),
        (False, "paste", "one of replace"),
        (False, "repaint:jump=0", "jump must be at least 1"),
        (False, "repaint:leap=2", "no option 'leap'"),
        (False, "pigdm:jump=2", "has no options"),
    ],
)
def test_methods_that_do_not_fit_are_refused(few_step, method, words):
    with pytest.raises(RecipeError, match=words):
        model_of(few_step).inpaint(picture(), HALF, [1], method=method)


def test_a_sampler_that_a_method_would_not_use_is_refused():
    with pytest.raises(RecipeError, match="sampler of its own"):
        model_of(False).inpaint(picture(), HALF, [1], method="repaint", sampler="heun")
