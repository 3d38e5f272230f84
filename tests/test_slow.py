"""Minutes of real training: run with `make test-slow`."""

from pathlib import Path

import pytest

from mezzotint import evaluation, load
from mezzotint.build import load_data
from mezzotint.recipes import as_recipe
from mezzotint.run import train
from mezzotint.training.trainer import Trainer

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
    Trainer(recipe, load_data(recipe), lambda entry: losses.append(entry["loss"])).run()
    assert 0.75 < losses[0] < 1.1
    assert losses[-1] < losses[0] - 0.02
