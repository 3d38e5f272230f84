"""What a GPU would do, without one: with networks and images on ``meta``, where a CPU tensor that meets
them fails.

A meta tensor has a shape, a type and a device, and no numbers. So that what brings results back to the host
can run too, ``.cpu()``, ``.item()`` and ``.tolist()`` of a meta tensor give zeros here.
"""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.data import ImageData
from mezzotint.diffusion.denoiser import Clipped, Guided, NetworkDenoiser
from mezzotint.diffusion.likelihood import flow_bits, variational_bound
from mezzotint.evaluation import evaluate as evaluation
from mezzotint.evaluation.denoising_classifier import denoising_errors
from mezzotint.evaluation.train_classifier import ClassifierRecipe, train_classifier
from mezzotint.model import Model
from mezzotint.objectives import Objective
from mezzotint.recipe.presets import RECIPES, as_recipe
from mezzotint.registry import GRIDS, SAMPLERS

META = torch.device("meta")
DATA = tiny_data(16)


class NoFloat64(TorchDispatchMode):
    """Some devices, such as Apple's, have no float64: none may come to be there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.device == META:
                assert leaf.dtype != torch.float64, f"{func} made float64 on the device"
        return result


@pytest.fixture(autouse=True)
def no_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    to_host, to_number = Tensor.cpu, Tensor.item

    def cpu(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.device == META:
            return torch.zeros(self.shape, dtype=self.dtype)
        return to_host(self, *args, **kwargs)

    def item(self: Tensor) -> Any:
        return 0.0 if self.device == META else to_number(self)

    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(Tensor, "item", item)
    with NoFloat64():
        yield


def meta_denoiser(recipe: Any, data: ImageData = DATA) -> NetworkDenoiser:
    with torch.device("cpu"):
        network = build.make_network(recipe.net, data.spec)
    denoiser = build.make_denoiser(recipe.diffusion, network.to(META))
    assert next(denoiser.network.parameters()).device == META
    return denoiser


def meta_model(recipe: Any) -> Model:
    return Model(recipe, DATA.spec, meta_denoiser(recipe), META)


def recipe_for(sampler: str, **changes: Any) -> Any:
    if sampler == "consistency":
        changes |= {"objective": {"name": "distillation", "teacher": "digits"}}
    return tiny_recipe(**changes, sampling={"sampler": sampler, "steps": 3, "guidance": 2.0})


TINY_UNET = {"name": "unet", "width": 8, "depth": 2, "embedding": 16, "groups": 4}


@pytest.mark.parametrize("diffusion", ["flow", "original-linear", "cosine"])
@pytest.mark.parametrize("sampler", [*SAMPLERS, "ddim:eta=0.7", "ddpm:variance=large"])
def test_every_sampler_stays_on_the_device(sampler: str, diffusion: str) -> None:
    section = {"schedule": diffusion, "timesteps": None if diffusion == "flow" else 20}
    model = meta_model(recipe_for(sampler, diffusion=section))
    for labels, count in (([3, 7], None), (None, 2)):
        steps = list(model.denoise(labels, count=count, batch=2))
        assert len(steps) == 4
        assert {step.x.device for step in steps} == {step.x0.device for step in steps} == {META}
        assert {step.x.dtype for step in steps} == {torch.float32}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_and_trajectories_come_back_to_the_host(sampler: str) -> None:
    model = meta_model(recipe_for(sampler, net=TINY_UNET))
    assert model.sample([1, 2, 3], batch=2).shape == (3, 1, 8, 8)
    assert model.trajectory([1, 2]).x0.shape == (4, 2, 1, 8, 8)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.3, 0.8)])
def test_guidance_clipping_and_every_grid_stay_on_the_device(
    grid: str, interval: tuple[float, float]
) -> None:
    model = meta_model(recipe_for("heun"))
    for clip in (True, False):
        steps = model.denoise([1], grid=grid, guidance=3.0, interval=interval, clip=clip)
        assert all(step.x0.device == META for step in steps)


@pytest.mark.parametrize("name", RECIPES)
def test_the_samplers_of_every_recipe_stay_on_the_device(name: str) -> None:
    recipe = RECIPES[name]
    net = {"width": 8, "groups": 4} | ({} if recipe.net.name == "unet" else {"heads": 2})
    changes: dict[str, Any] = {"net": net}
    if recipe.diffusion.timesteps:
        changes |= {"diffusion": {"timesteps": 10}, "sampling": {"steps": 10}}
    small = as_recipe(recipe, changes)
    data = tiny_data(4, size=64 if name == "rgb64" else 32, channels=3)
    denoiser = meta_denoiser(small, data)
    model = Model(small, data.spec, denoiser, META)
    last = list(model.denoise([3, 7]))[-1]
    assert last.x.shape == (2, *data.spec.shape)
    assert last.x.device == META


def objectives() -> dict[str, Objective[Any]]:
    reference = meta_denoiser(tiny_recipe())
    sections: dict[str, dict[str, Any]] = {
        "denoising": {"weighting": "min-snr", "loss": "huber"},
        "distillation": {"teacher": "t", "guidance": 2.0},
        "refinement": {"reference": "r", "wrong_labels": 0.5},
        "adversarial": {"reference": "r", "critic": 8, "head_start": 0.5, "wrong_labels": 0.5},
    }
    sections["adversarial, features"] = sections["adversarial"] | {"critic_features": "model"}
    made = {}
    for case, section in sections.items():
        name = case.partition(",")[0]
        few = name in ("distillation", "adversarial")
        recipe = tiny_recipe(
            objective={"name": name, **section},
            training={"optimizer": "adam"},
            sampling={"sampler": "consistency" if few else "heun"},
        )
        made[case] = build.make_objective(
            recipe.objective, DATA.spec, initial=reference, samples=DATA.images
        )
        for module in made[case].modules().values():
            module.to(META)
    return made


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("progress", [0.0, 0.6])
@pytest.mark.parametrize(
    "name",
    ["denoising", "distillation", "refinement", "adversarial", "adversarial, features"],
)
def test_every_objective_trains_on_the_device(name: str, progress: float, labelled: bool) -> None:
    """The samples of a refinement stay on the CPU, and are moved batch by batch."""
    objective, student = objectives()[name], meta_denoiser(tiny_recipe())
    draws = objective.draw(8, student.schedule, torch.Generator(), progress)
    noise = torch.randn(8, objective.noises, 1, 8, 8, device=META)
    x0 = torch.zeros(8, 1, 8, 8, device=META)
    labels = torch.zeros(8, dtype=torch.int64, device=META) if labelled else None
    losses = objective.loss(student, x0, labels, draws, noise)
    assert losses.shape == (8,)
    assert losses.device == META
    losses.mean().backward()
    gradients = [p.grad for p in student.network.parameters() if p.grad is not None]
    assert all(gradient.device == META for gradient in gradients)
    critic_only = name.startswith("adversarial") and progress == 0
    assert bool(gradients) != critic_only


@pytest.mark.parametrize("labelled", [True, False])
def test_likelihood_and_classification_stay_on_the_device(labelled: bool) -> None:
    denoiser = Clipped(Guided(meta_denoiser(tiny_recipe()), 1.5))
    x0 = torch.zeros(2, 1, 8, 8, device=META)
    labels = torch.zeros(2, dtype=torch.int64, device=META) if labelled else None
    source = torch.Generator()
    assert variational_bound(denoiser, x0, labels, source, times=2).shape == (2,)
    assert flow_bits(denoiser, x0, labels, source, steps=2).shape == (2,)
    assert denoising_errors(denoiser, x0, 10, source, draws=2).shape == (2, 10)


@pytest.mark.slow
def test_an_evaluation_asks_the_model_on_its_device() -> None:
    model = meta_model(recipe_for("heun"))
    rows = torch.arange(16)
    assert math.isfinite(evaluation.held_out_loss(model, DATA, rows, 0))
    assert 0 <= evaluation.classify(model, DATA, count=8, draws=2) <= 1
    values = evaluation._measures_of_model(model, DATA, 0, bits=4)
    assert set(values) == {"denoising_loss", "bits_vlb", "bits_ode"}


def test_a_classifier_trains_and_answers_on_its_device() -> None:
    network = train_classifier(ClassifierRecipe(epochs=2, batch=8), tiny_data(16, size=28), META)
    assert next(network.parameters()).device == META
