"""One of each kind, in a package of somebody's own: a file and one line, and it is a name like ours.

This is what the table in CONTRIBUTING.md promises.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint import build, load
from mezzotint.cli import main
from mezzotint.data import ImageData
from mezzotint.data.samples import Samples
from mezzotint.evaluation.evaluate import evaluate_images, evaluations
from mezzotint.evaluation.features import SHIPPED, load_classifier
from mezzotint.evaluation.measure import make_reference
from mezzotint.evaluation.report import table
from mezzotint.objectives import DenoisingObjective
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.schema import Data
from mezzotint.registry import (
    DATASETS,
    GRIDS,
    LOSSES,
    MEASURES,
    NETS,
    OBJECTIVES,
    OPTIMIZERS,
    PARAMETRIZATIONS,
    SAMPLERS,
    SCHEDULES,
    TIMES,
    WEIGHTINGS,
    Registry,
)
from mezzotint.runs.train import train
from mezzotint.training.trainer import Trainer

FILES = {
    "parts": '''
import torch
from mezzotint.data import ImageData
from mezzotint.diffusion.level import NoiseLevel
from mezzotint.diffusion.schedules import Schedule
from mezzotint.evaluation.measures import Measure
from mezzotint.samplers import DDIM, Sampler


class Arc(Schedule):
    """A quarter of a circle: alpha = cos, sigma = sin."""

    timesteps = None

    def __init__(self, timesteps=None):
        pass

    def level(self, t):
        angle = t.double() * torch.pi / 2
        return NoiseLevel(angle.cos(), angle.sin())

    def time_of(self, log_snr):
        return torch.atan(torch.exp(-log_snr.double() / 2)) * 2 / torch.pi


def half_noise(level):
    return -level.sigma, level.alpha


def quartic(residual):
    return residual.square().square() + residual.square()


def by_alpha(level, parametrization):
    return level.alpha.square() + 0.1


def late(u):
    return u.sqrt()


def cubic(schedule, n):
    return torch.linspace(1, 0, n + 1, dtype=torch.float64) ** 3


def sgd(network, settings):
    return torch.optim.SGD(network.parameters(), lr=settings.learning_rate)


def stripes(split, folder):
    images = (torch.arange(40 * 64).view(40, 1, 8, 8) * 7 % 256).to(torch.uint8)
    return ImageData(images, torch.arange(40) % 2, ("even", "odd"))


class Twice(Sampler):
    """DDIM that asks twice at each step, and says so."""

    def __call__(self, denoiser, x, grid, labels, noise):
        for step in DDIM()(denoiser, x, grid, labels, noise):
            if not step.final:
                denoiser(step.x, torch.tensor(step.t, dtype=torch.float64), labels)
            yield step

    def evaluations(self, grid):
        return 2 * super().evaluations(grid)



def brightness(subject, real):
    return subject.images.float().mean().item()


BRIGHTNESS = Measure(label="mean brightness", decimals=1, better="like the floor", compute=brightness)
''',
    "net": """
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from mezzotint.recipe.fields import option


@dataclass(frozen=True, kw_only=True)
class Section:
    network: ClassVar[str] = "own_parts.net:Net"
    name: str = "mine"
    kernel: int = option(3, "side of the kernels", least=1)


class Net(nn.Module):
    def __init__(self, *, size, channels, num_classes, kernel):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.label = nn.Embedding(num_classes + 1, channels)

    def forward(self, x, timestep, labels):
        x = self.layer(x) * (1 + timestep / 1000)[:, None, None, None]
        return x if labels is None else x + self.label(labels)[:, :, None, None]
""",
    "objective": """
from dataclasses import dataclass
from typing import ClassVar

from mezzotint.diffusion.process import diffuse
from mezzotint.objectives import Draws, Objective
from mezzotint.objectives.times import stratified, uniforms
from mezzotint.recipe.fields import option
from mezzotint.recipe.objectives import ObjectiveSection


@dataclass(frozen=True, kw_only=True)
class Section(ObjectiveSection):
    objective: ClassVar[str] = "own_parts.objective:make"
    name: str = "mine"
    power: float = option(1.0, "power of the error", least=0.1)


@dataclass(frozen=True)
class Mine(Objective):
    power: float

    def draw(self, count, schedule, generator, progress):
        return Draws(schedule.snap(stratified(uniforms(count, generator))))

    def loss(self, denoiser, x0, labels, draws, noise):
        x_t = diffuse(x0, noise[:, 0], denoiser.schedule.level(draws.t))
        error = denoiser(x_t, draws.t, labels).x0 - x0
        return error.abs().pow(self.power).flatten(1).mean(1)


def make(section, context):
    return Mine(section.power)
""",
}

LINES: list[tuple[Registry[Any], str]] = [
    (SCHEDULES, "own_parts.parts:Arc"),
    (PARAMETRIZATIONS, "own_parts.parts:half_noise"),
    (LOSSES, "own_parts.parts:quartic"),
    (WEIGHTINGS, "own_parts.parts:by_alpha"),
    (TIMES, "own_parts.parts:late"),
    (GRIDS, "own_parts.parts:cubic"),
    (OPTIMIZERS, "own_parts.parts:sgd"),
    (SAMPLERS, "own_parts.parts:Twice"),
    (DATASETS, "own_parts.parts:stripes"),
    (MEASURES, "own_parts.parts:BRIGHTNESS"),
    (NETS, "own_parts.net:Section"),
    (OBJECTIVES, "own_parts.objective:Section"),
]


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, and one line for each part of it."""
    package = tmp_path / "own_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in FILES.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for registry, place in LINES:
        registry["mine"] = place
    yield
    for registry, _ in LINES:
        del registry["mine"]
    for name in [name for name in sys.modules if name.startswith("own_parts")]:
        del sys.modules[name]


SMALL = {"steps": 4, "batch": 8, "warmup": 0, "sample_every": 2, "log_every": 1}


def recipe(**changes: Any) -> Any:
    made = {
        "data": {"name": "mine"},
        "net": {"name": "mine", "kernel": 5},
        "diffusion": {"schedule": "mine", "parametrization": "mine"},
        "objective": {"loss": "mine", "weighting": "mine", "times": "mine"},
        "training": {**SMALL, "optimizer": "mine", "learning_rate": 1e-3, "precision": "fp32"},
        "sampling": {"sampler": "mine", "grid": "mine", "steps": 3, "guidance": 1.0},
    }
    return as_recipe(as_recipe("digits", made), changes)


@pytest.mark.usefixtures("own_parts")
def test_parts_of_ones_own_train_are_saved_loaded_drawn_and_counted(tmp_path: Path) -> None:
    run = train(recipe(), tmp_path / "run")
    model = load(run)
    assert model.recipe == recipe()
    assert model.spec.classes == ("even", "odd")
    assert model.sample([0, 1, 1]).shape == (3, 1, 8, 8)
    assert evaluations(model) == 6
    assert evaluations(model, guidance=2.0) == 12


@pytest.mark.usefixtures("own_parts")
def test_so_does_an_objective_of_ones_own(tmp_path: Path) -> None:
    run = train(recipe(objective={"name": "mine", "power": 1.5}), tmp_path / "run")
    assert load(run).recipe.objective.power == 1.5
    assert load(run).sample([0]).shape == (1, 1, 8, 8)


@pytest.mark.usefixtures("own_parts")
def test_the_command_line_knows_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["train", "digits", "--net", "mine", "--help"])
    text = capsys.readouterr().out
    assert "--kernel" in text
    assert "side of the kernels" in text
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "train",
                "digits",
                "--net",
                "mine",
                "--data.name",
                "mine",
                "--optimizer",
                "mine",
                "--sampler",
                "mine",
                "--steps",
                "2",
                "--batch",
                "8",
                "--out",
                str(tmp_path / "run"),
            ]
        )
    assert stopped.value.code in (0, None), stopped.value
    assert load(tmp_path / "run").recipe.sampling.sampler == "mine"


@pytest.mark.usefixtures("own_parts")
def test_a_misspelt_name_is_refused_with_theirs_among_the_choices() -> None:
    with pytest.raises(RecipeError, match=r"one of linear, .*, flow, mine\. Did you mean 'mine'"):
        recipe(diffusion={"schedule": "mien"})


def test_without_its_line_a_name_is_unknown() -> None:
    with pytest.raises(RecipeError, match=r"schedule = 'mine': it is one of"):
        as_recipe("digits", {"diffusion": {"schedule": "mine"}})
    assert torch.is_tensor(SCHEDULES["flow"]().level(torch.tensor(0.5)).alpha)


@pytest.mark.usefixtures("own_parts")
def test_a_prediction_that_says_nothing_at_the_end_of_ones_own_schedule_is_refused() -> None:
    """Nobody compares its name: the schedule itself is asked."""
    section = recipe(diffusion={"parametrization": "eps"}).diffusion
    with pytest.raises(ValueError, match="says nothing of the image at the noisiest time"):
        build.make_denoiser(section, torch.nn.Identity())


@pytest.mark.usefixtures("own_parts")
def test_a_measure_of_ones_own_is_reported_beside_its_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    train_data, test_data = (
        build.load_data(Data(name="mnist"), split) for split in ("train", "test")
    )
    few = [ImageData(d.images[:800], d.labels[:800], d.classes) for d in (train_data, test_data)]
    classifiers = [load_classifier(name) for name in SHIPPED.values()]
    reference = make_reference(few[0], few[1], classifiers[0], classifiers[1])
    samples = Samples(few[0].images[:200], few[0].labels[:200])
    result = evaluate_images(samples, reference, "digits")
    expected = samples.images.float().mean().item()
    assert result.values["mine"] == [pytest.approx(expected)]
    assert result.floor["mine"] == pytest.approx(expected, rel=0.1)
    assert ("mean brightness", f"{expected:.1f}") in [row[:2] for row in table(result)]


@pytest.mark.usefixtures("own_parts")
def test_an_objectives_module_that_nothing_would_train_is_refused() -> None:
    class Idle(DenoisingObjective):
        def modules(self) -> dict[str, torch.nn.Module]:
            return {"helper": torch.nn.Linear(2, 2)}

    made = recipe()
    data = build.load_data(made.data)
    with pytest.raises(ValueError, match="'helper' is in no parameter group"):
        Trainer(build.new_denoiser(made, data.spec), Idle(null_label=2), data, made.training)
