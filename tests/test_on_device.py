"""What has to hold on whatever device there is: ``pytest -m device --device cuda`` runs it on a GPU."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common import tiny_data, tiny_recipe
from mezzotint import build, load
from mezzotint.classic import GabiDiffUnet, sampling
from mezzotint.data import ImageData
from mezzotint.evaluation import evaluate as evaluation
from mezzotint.recipe.presets import as_recipe
from mezzotint.registry import SAMPLERS
from mezzotint.runs.train import make_trainer, train
from mezzotint.sampling import round_robin_labels
from mezzotint.viz.grids import tile, to_pillow
from models import random_model_file

pytestmark = pytest.mark.device

UNET = {"name": "unet", "width": 8, "depth": 2, "embedding": 16, "groups": 4}
FEW_STEP = {"name": "distillation", "teacher": "digits"}


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data(section: Any, split: str = "train") -> ImageData:
        return tiny_data(40, size=8)

    monkeypatch.setattr(build, "load_data", load_data)


def ddpm(**training: Any) -> Any:
    settings = {"steps": 6, "batch": 8, "sample_every": 2, "save_every": 3, "log_every": 1}
    return as_recipe(
        "ddpm",
        {
            "net": UNET,
            "diffusion": {"timesteps": 10},
            "training": settings | training,
            "sampling": {"steps": 10},
        },
    )


@pytest.mark.parametrize("net", ["lean", "unet"])
@pytest.mark.parametrize("sampler", [*SAMPLERS, "ddim:eta=0.7", "ddpm:variance=large"])
def test_every_sampler_draws_what_it_draws_on_the_cpu(
    sampler: str, net: str, device: str, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"sampling": {"sampler": sampler, "steps": 4, "guidance": 1.5}}
    if net == "unet":
        changes["net"] = UNET
    if sampler == "consistency":
        changes["objective"] = FEW_STEP
    file = random_model_file(tmp_path / "model.safetensors", tiny_recipe(**changes))
    one = load(file, "cpu").sample([3, 7, 1]).float()
    two = load(file, device).sample([3, 7, 1]).float()
    # A weight at random makes small differences of arithmetic large, in a few pixels.
    assert (one - two).abs().mean() < 2


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_originals_job_draws_grids_that_are_its_models(
    ema: float, precision: str, device: str, tmp_path: Path
) -> None:
    run = train(ddpm(ema=ema, precision=precision), tmp_path / "run")
    last = np.asarray(Image.open(run / "samples" / "step-00000006.png"))
    images = load(run, device).sample(round_robin_labels(40, 10), batch=40)
    difference = np.abs(np.asarray(to_pillow(tile(images, 10), 2)).astype(int) - last.astype(int))
    assert difference.max() <= (0 if device == "cpu" else 2)


@pytest.mark.usefixtures("tiny_images")
@pytest.mark.parametrize("draws", ["cpu", "device"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_a_resumed_run_ends_with_the_same_bits(
    optimizer: str, draws: str, device: str, tmp_path: Path
) -> None:
    recipe = ddpm(
        optimizer=optimizer,
        learning_rate=1e-3,
        draws=draws,
        deterministic=True,
        precision="fp32",
        sample_every=0,
    )
    whole = train(recipe, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    (stopped / "model.safetensors").unlink()
    shutil.rmtree(stopped / "checkpoints" / "step-00000006")
    train(resume=stopped)
    one, two = ((run / "model.safetensors").read_bytes() for run in (whole, stopped))
    assert one == two


def test_noise_of_the_device_is_other_noise_and_as_reproducible() -> None:
    data = tiny_data()

    def losses(draws: str) -> list[float]:
        trainer = make_trainer(tiny_recipe(training={"draws": draws}), data)
        return [trainer.step().loss.item() for _ in range(3)]

    assert losses("device") == pytest.approx(losses("device"), rel=1e-5)
    assert losses("device") != pytest.approx(losses("cpu"), rel=1e-5)


def test_a_model_is_asked_on_its_device(device: str, tmp_path: Path) -> None:
    file = random_model_file(tmp_path / "model.safetensors")
    data = tiny_data(40)
    values = []
    for name in ("cpu", device):
        model = load(file, name)
        values.append(evaluation._measures_of_model(model, data, 0, bits=4))
    for key, value in values[0].items():
        assert values[1][key] == pytest.approx(value, rel=0.02), key


def test_the_originals_own_words_work_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint import classic

    monkeypatch.setattr(classic, "num_timesteps", 6)
    model = GabiDiffUnet(in_channels=1, image_size=16).to(device).eval()
    (images,) = sampling(model, (10, 1, 16, 16), labels=torch.arange(10))
    assert images.shape == (10, 1, 16, 16)
    assert images.device.type == "cpu"
    assert images.isfinite().all()
