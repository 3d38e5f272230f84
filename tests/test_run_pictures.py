"""The picture of a run is the picture of its model, for every recipe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_data
from mezzotint import build, load
from mezzotint.data import ImageData
from mezzotint.recipe.presets import RECIPES, as_recipe
from mezzotint.recipe.schema import Recipe
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.train import make_trainer, train
from mezzotint.sampling import round_robin_labels
from mezzotint.viz.grids import tile, to_pillow
from models import random_model_file

SIZE = 16


def small(name: str, folder: Path) -> Recipe:
    """A recipe at the size of a test, in its own words otherwise."""
    recipe = RECIPES[name]
    net: dict[str, Any] = {"width": 8, "embedding": 16, "groups": 4}
    net |= {"depth": 3} if recipe.net.name == "unet" else {"heads": 2, "blocks": 1}
    changes: dict[str, Any] = {
        "net": net,
        "training": {"steps": 3, "batch": 8, "warmup": 0, "sample_every": 1, "log_every": 1},
    }
    if recipe.diffusion.timesteps:
        changes |= {"diffusion": {"timesteps": 10}, "sampling": {"steps": 10}}
    if recipe.initial_model is not None:
        few = recipe.objective.name == "adversarial"
        begun = as_recipe("digits-fast" if few else "digits-long", {"net": net})
        path = random_model_file(folder / "initial.safetensors", begun, size=SIZE)
        key = "teacher" if recipe.objective.name == "distillation" else "reference"
        changes["objective"] = {key: str(path)}
        if recipe.objective.name == "refinement":
            changes["objective"]["images"] = 20
        if few:
            changes["objective"] |= {"critic": 8, "head_start": 0.0}
            changes["training"]["learning_rate"] = 1e-3
    return as_recipe(recipe, changes)


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data(section: Any, split: str = "train") -> ImageData:
        return tiny_data(40, size=SIZE, channels=section.channels or 1)

    monkeypatch.setattr(build, "load_data", load_data)


def drawn_by(run: Path, recipe: Recipe) -> np.ndarray[Any, Any]:
    """The grid as anybody would draw it with the saved model."""
    rows = 4 if recipe.sampling.steps <= 50 else 1
    images = load(run).sample(round_robin_labels(10 * rows, 10), batch=10 * rows)
    return np.asarray(to_pillow(tile(images, 10), 2))


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("name", RECIPES)
def test_the_last_grid_of_a_run_is_what_its_saved_model_draws(name: str, tmp_path: Path) -> None:
    recipe = small(name, tmp_path)
    run = train(recipe, tmp_path / "run")
    grids = sorted((run / "samples").iterdir())
    assert [path.name for path in grids] == [f"step-{k:08d}.png" for k in (1, 2, 3)]
    last = np.asarray(Image.open(grids[-1]))
    assert np.array_equal(last, drawn_by(run, recipe))
    assert not np.array_equal(np.asarray(Image.open(grids[0])), last)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_so_is_every_grid_of_a_network_with_standardized_kernels(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the optimizer changes weights without torch's counting it, and without an average."""
    recipe = as_recipe(
        small("ddpm", tmp_path), {"training": {"optimizer": optimizer, "learning_rate": 1e-2}}
    )
    run = train(recipe, tmp_path / "run")
    grid = np.asarray(Image.open(run / "samples" / "step-00000002.png"))
    short = as_recipe(recipe, {"training": {"steps": 2, "sample_every": 0}})
    again = train(short, tmp_path / "short")
    assert np.array_equal(grid, drawn_by(again, recipe))


@pytest.mark.usefixtures("tiny_images")
def test_pictures_leave_torchs_own_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(small("digits", tmp_path), tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("training", [True, False])
def test_a_picture_leaves_the_networks_in_the_mode_they_were_in(
    training: bool, ema: float, tmp_path: Path
) -> None:
    """Layers such as dropout, which a recipe's own network may have, would go on without learning."""
    recipe = as_recipe(small("digits", tmp_path), {"training": {"ema": ema}})
    trainer = make_trainer(recipe, tiny_data(40, size=SIZE))
    networks = [trainer.state.network.train(training), trainer.state.sampling_network]
    before = [module.training for network in networks for module in network.modules()]
    with RunFolder(tmp_path / "run", recipe, trainer) as run:
        run.draw(trainer.state)
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["step-00000000.png"]
    assert [module.training for network in networks for module in network.modules()] == before
