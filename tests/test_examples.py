"""The examples run, as they are, from a folder of their own; those that train, for a few steps."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_data, tiny_recipe
from mezzotint import build
from mezzotint.runs.train import make_trainer
from mezzotint.samplers import denoise, make_grid, make_sampler

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, folder: Path, *words: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *words]
    made = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "picture"),
    [("own_network.py", ["3"], "own-network.png"), ("own_sampler.py", [], "own-sampler.png")],
)
def test_an_example_draws_ten_digits(
    name: str, words: list[str], picture: str, tmp_path: Path
) -> None:
    assert picture in run(name, tmp_path, *words)
    drawn = np.asarray(Image.open(tmp_path / picture))
    assert drawn.shape == (32 * 4, (10 * 30 + 2) * 4)
    assert drawn.std() > 10


@pytest.mark.slow
def test_an_objective_of_ones_own_is_trained_in_a_loop_of_ones_own(tmp_path: Path) -> None:
    assert run("own_objective.py", tmp_path, "3").startswith("step 3: loss ")


def test_the_steps_of_a_trainer_are_those_of_its_run() -> None:
    data = tiny_data()
    looped, ran = (make_trainer(tiny_recipe(), data) for _ in range(2))
    losses = [result.loss.item() for result in looped]
    ran.run()
    assert len(losses) == looped.state.step == ran.state.step == 10
    for name, value in ran.state.network.state_dict().items():
        assert torch.equal(looped.state.network.state_dict()[name], value), name


def test_labels_become_images_in_one_function(tmp_path: Path) -> None:
    """Without a recipe, a model or a file: a denoiser is enough."""
    recipe, data = tiny_recipe(), tiny_data()
    denoiser = build.new_denoiser(recipe, data.spec)
    grid = make_grid("trailing", denoiser.schedule, 3)
    labels = torch.arange(5)
    whole = list(denoise(denoiser, make_sampler("ddpm"), grid, labels, range(5), data.spec.shape))
    parts = [
        list(denoise(denoiser, make_sampler("ddpm"), grid, labels[rows], numbers, data.spec.shape))
        for rows, numbers in [(slice(0, 2), range(2)), (slice(2, 5), range(2, 5))]
    ]
    assert len(whole) == 4
    together = torch.cat([steps[-1].x for steps in parts])
    torch.testing.assert_close(together, whole[-1].x, rtol=1e-4, atol=1e-5)
