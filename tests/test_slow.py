"""Minutes of real training: run with `make test-slow`."""

import subprocess
import sys
from pathlib import Path

import pytest

from mezzotint import load
from mezzotint.build import load_data
from mezzotint.evaluation import evaluate as evaluation
from mezzotint.recipe.presets import as_recipe
from mezzotint.runs.train import make_trainer, train

pytestmark = pytest.mark.slow


def test_four_hundred_steps_of_digits_are_mostly_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = as_recipe("digits", {"training": {"steps": 400, "ema": 0.99, "sample_every": 0}})
    model = load(train(recipe, tmp_path / "run"))
    reference = evaluation.reference_of()
    values = evaluation.evaluate_model(model, reference, count=500, guidance=2.0).values
    assert values["accuracy"][0] > 0.7  # chance is 0.1


def test_the_originals_recipe_starts_at_its_loss_and_falls() -> None:
    """The L1 distance between noise and a network that knows nothing is about 0.8 to 0.9."""
    recipe = as_recipe("ddpm", {"training": {"steps": 8, "log_every": 1}})
    losses: list[float] = []
    trainer = make_trainer(recipe, load_data(recipe.data))
    trainer.run(log=lambda entry: losses.append(entry["loss"]))
    assert len(losses) == 8
    assert 0.75 < losses[0] < 1.1
    assert losses[-1] < losses[0] - 0.02


COMPILED = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from common import tiny_data, tiny_recipe
from mezzotint import build, load
from mezzotint.sampling import round_robin_labels
from mezzotint.runs.train import make_trainer, train
from mezzotint.viz.grids import tile, to_pillow

build.load_data = lambda section, split="train": tiny_data(40)
plain = make_trainer(tiny_recipe(), tiny_data())
compiled = make_trainer(tiny_recipe(training={"compile": True}), tiny_data())
for _ in range(3):
    one, two = plain.step().loss.item(), compiled.step().loss.item()
    assert abs(one - two) < 1e-4 * one, (one, two)
run = train(tiny_recipe(training={"compile": True, "sample_every": 5}), Path(sys.argv[1]) / "run")
grid = np.asarray(Image.open(run / "samples" / "step-00000010.png"))
images = load(run).sample(round_robin_labels(40, 10), batch=40)
assert np.array_equal(grid, np.asarray(to_pillow(tile(images, 10), 2)))
print("drawn alike")
"""


def test_a_compiled_network_trains_and_is_drawn_as_any_other(tmp_path: Path) -> None:
    """In a process of its own: what checks shapes in the tests is not to be compiled."""
    command = [sys.executable, "-c", COMPILED, str(tmp_path)]
    tests = Path(__file__).parent
    made = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False)
    assert made.stdout.endswith("drawn alike\n"), made.stderr
