"""``mezzotint distill`` from a teacher's file to a student's images, and models known by their names."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common import as_if_killed, tiny_data, tiny_recipe
from mezzotint import load, weights
from mezzotint.cli import main
from mezzotint.cli.distill import student_of
from mezzotint.loading import find_weights
from mezzotint.recipe.objectives import Distillation
from mezzotint.recipe.toml import from_toml, to_toml
from mezzotint.runs.initial import INITIAL
from mezzotint.utils import assets
from mezzotint.utils.files import sha256
from models import random_model_file


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A teacher of images that are quickly read."""
    data = tiny_data(60)
    np.savez(tmp_path / "tiny.npz", images=data.images.numpy(), labels=data.labels.numpy())
    recipe = tiny_recipe(
        data={"name": f"npz:{tmp_path / 'tiny.npz'}"},
        sampling={"guidance": 2.0, "interval": (0.2, 0.9)},
    )
    return random_model_file(tmp_path / "teacher.safetensors", recipe)


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code in (0, None), stopped.value


def test_the_student_takes_over_data_network_and_guidance(teacher: Path) -> None:
    theirs = weights.read(teacher)[1]
    student = student_of(str(teacher))
    assert student.data == theirs.data
    assert student.net == theirs.net
    assert student.diffusion == theirs.diffusion
    assert isinstance(student.objective, Distillation)
    assert student.objective.teacher == student.initial_model == str(teacher)
    assert student.objective.sha256 == sha256(teacher)
    assert (student.objective.guidance, student.objective.interval) == (2.0, (0.2, 0.9))
    assert student.few_step
    assert student.name == "digits-fast"
    assert (student.sampling.sampler, student.sampling.guidance) == ("consistency", 1.0)
    assert from_toml(to_toml(student)) == student


def test_from_teacher_to_students_images(teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "fast"
    short = [
        "--steps",
        "4",
        "--batch",
        "8",
        "--warmup",
        "1",
        "--sample-every",
        "0",
        "--log-every",
        "1",
    ]
    run("distill", str(teacher), "--out", str(out), *short)
    student = load(out)
    assert student.recipe.initial_model == str(teacher)
    assert student.recipe.few_step
    assert (out / INITIAL).read_bytes() == teacher.read_bytes()
    images = student.sample([3, 7], seed=1)
    assert images.shape == (2, 1, 8, 8)
    assert not torch.equal(images, student.sample([3, 7], seed=2))
    assert not torch.equal(images, load(teacher).sample([3, 7], seed=1))
    with pytest.raises(SystemExit, match="exists"):
        main(["distill", str(teacher), "--out", str(out), *short])


def test_a_stopped_student_goes_on_with_the_same_bits(teacher: Path, tmp_path: Path) -> None:
    settings = ["--steps", "4", "--batch", "8", "--warmup", "1", "--sample-every", "0"]
    run("distill", str(teacher), "--out", str(tmp_path / "a"), "--save-every", "2", *settings)
    second = as_if_killed(tmp_path / "a", tmp_path / "b")
    teacher.unlink()  # the run has it
    run("train", "--resume", str(second))
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert one == two


def test_words_before_the_model_are_refused(teacher: Path) -> None:
    with pytest.raises(SystemExit, match="comes first"):
        main(["distill", "--steps", "3", str(teacher)])
    with pytest.raises(SystemExit, match="no model at nowhere"):
        main(["distill", "nowhere"])


# --- models by name -----------------------------------------------------------------------------


def test_a_name_stands_for_the_shipped_model_unless_a_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    own = random_model_file(tmp_path / "models" / "someone.safetensors")
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_weights("someone") == own
    assert load("someone").sample([1]).shape == (1, 1, 8, 8)
    with pytest.raises(FileNotFoundError, match=r"shipped model: someone\. Did you mean 'someone'"):
        find_weights("someon")
    file = random_model_file(tmp_path / "someone")
    assert find_weights("someone") == Path("someone")
    assert file.samefile("someone")


@pytest.mark.parametrize("name", sorted(assets.shipped("models")))
def test_every_shipped_model_is_small_has_a_card_and_draws(name: str) -> None:
    path = assets.shipped("models")[name]
    assert path.stat().st_size <= 4e6
    card = path.with_suffix(".md").read_text()
    assert sha256(path) in card
    distance = "digit-FID" if name.startswith("digits") else "Frechet distance, fashion-plain"
    for said in (distance, "conditional accuracy", "[training]", "make weights"):
        assert said in card
    model = load(name)
    assert {p.dtype for p in model.denoiser.network.parameters()} == {torch.float32}
    images = model.sample([7, 1])
    # A seven and a one, a sneaker and trousers: dark in the upper corners, and something bright in it.
    assert images[:, :, :3, :3].float().mean() < 5
    assert images[:, :, :3, -3:].float().mean() < 5
    assert (images.flatten(1).amax(1) > 200).all()
