"""Several processes, as torchrun starts them, on one machine without a GPU (gloo): the same as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from common import as_if_killed, few_step_recipe, kill, tiny_data, tiny_recipe
from mezzotint.loading import load
from mezzotint.recipe.toml import to_toml
from mezzotint.runs.train import make_trainer, train
from mezzotint.sampling import round_robin_labels, sample_distributed
from mezzotint.training.log import read_metrics
from mezzotint.training.monitor import StepResult
from mezzotint.training.sharding import whole
from mezzotint.training.trainer import Trainer
from models import random_model_file

WORKER = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_processes import gradients
from mezzotint.evaluation.evaluate import is_main

folder = Path({folder!r})
found = gradients({balance!r}, {sharding!r})
if is_main():
    save_file(found, folder / "two.safetensors")
"""


def torchrun(
    arguments: list[str], folder: Path, world: int = 2
) -> subprocess.CompletedProcess[str]:
    """``arguments`` to Python, in ``world`` processes of one thread each.

    All that starts torchrun is in this file, whose tests run one after another: two that begin at the
    same moment may be given the same free port.
    """
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(world),
    ]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("MASTER_", "PYTEST_"))},
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def gradients(balance: str = "none", sharding: str = "none") -> dict[str, Tensor]:
    """The gradient of each step of a short run, by step and name."""
    recipe = tiny_recipe(
        training={
            "steps": 3,
            "batch": 8,
            "optimizer": "adamw",
            "learning_rate": 1e-4,
            "sharding": sharding,
            "balance": balance,
        },
    )
    trainer, found, update = make_trainer(recipe, tiny_data()), dict[str, Tensor](), Trainer._update

    def spy(loss: Tensor) -> StepResult:
        for name, parameter in trainer.state.network.named_parameters():
            assert parameter.grad is not None
            gradient = whole(parameter.grad).clone().contiguous()
            found[f"{trainer.state.step}.{name}"] = gradient
        found[f"{trainer.state.step} loss"] = loss.clone()
        return update(trainer, loss)

    trainer._update = spy  # type: ignore[method-assign]
    trainer.run()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_compute_the_gradients_of_one(tmp_path: Path, sharding: str) -> None:
    script = tmp_path / "worker.py"
    tests = str(Path(__file__).parent)
    settings = {"tests": tests, "balance": "classes", "sharding": sharding}
    script.write_text(WORKER.format(folder=str(tmp_path), **settings))
    ran = torchrun([str(script)], tmp_path)
    assert ran.returncode == 0, ran.stderr
    theirs = load_file(tmp_path / "two.safetensors")
    own = gradients("classes")
    assert theirs.keys() == own.keys()
    for name, gradient in own.items():
        torch.testing.assert_close(theirs[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of images that are quickly read."""
    import numpy as np

    made = tiny_data(60)
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, images=made.images.numpy(), labels=made.labels.numpy())
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sharding", "optimizer"),
    [
        ("full", "muon"),
        *(
            pytest.param(*kind, marks=pytest.mark.slow)
            for kind in [("none", "muon"), ("full", "adamw")]
        ),
    ],
)
def test_a_run_on_two_processes_writes_once_and_resumes_with_the_same_bits(
    tmp_path: Path, data: Path, sharding: str, optimizer: str
) -> None:
    training = {"steps": 6, "save_every": 3, "sample_every": 2, "keep": 2, "sharding": sharding}
    recipe = tiny_recipe(
        data={"name": f"npz:{data}"},
        training=training | {"optimizer": optimizer},
        sampling={"precision": "bf16"},  # its grids, of weights that are spread over processes
    )
    (tmp_path / "tiny.toml").write_text(to_toml(recipe))
    ran = torchrun(["-m", "mezzotint", "train", "tiny.toml", "--out", "whole"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("done: whole") == 1
    whole = tmp_path / "whole"
    lines = (whole / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]

    assert len(list((whole / "samples").iterdir())) == 3

    killed = as_if_killed(whole, tmp_path / "killed")
    ran = torchrun(["-m", "mezzotint", "train", "--resume", "killed"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    for name in ("model.safetensors", "checkpoints/step-00000006/state.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    # One process goes on from whole tensors as well, to the same weights but for rounding.
    if sharding == "full":
        kill(killed)
        alone = load_file(train(resume=killed, log=print) / "model.safetensors")
        for name, tensor in load_file(whole / "model.safetensors").items():
            torch.testing.assert_close(alone[name], tensor, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_say_together_what_is_left_of_a_run(
    data: Path, tmp_path: Path, sharding: str
) -> None:
    training = {"steps": 6, "save_every": 2, "sharding": sharding}
    recipe = tiny_recipe(data={"name": f"npz:{data}"}, training=training)
    run = as_if_killed(train(recipe, tmp_path / "whole"), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    words = ["-m", "mezzotint", "train", "--resume", "run", "--dry-run"]
    ran = torchrun(words, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("after 4 that are done") == 1
    assert "on 2 processes" in ran.stdout
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("few_step", [False, True])
def test_two_processes_refine_and_resume_with_the_same_bits(
    tmp_path: Path, data: Path, few_step: bool
) -> None:
    """Against images they drew together; or with one critic, which a resumed run would show to be two."""
    made = few_step_recipe if few_step else tiny_recipe
    changes = {"data": {"name": f"npz:{data}"}, "sampling": {"steps": 2, "guidance": 1.0}}
    model = random_model_file(tmp_path / "model.safetensors", made(**changes))
    training = {"steps": 6, "save_every": 3, "optimizer": "adam", "learning_rate": 1e-4}
    objective = (
        {"name": "adversarial", "critic": 8, "head_start": 0.3}
        if few_step
        else {"name": "refinement", "images": 23}
    )
    recipe = made(**changes, training=training, objective=objective | {"reference": str(model)})
    (tmp_path / "refined.toml").write_text(to_toml(recipe))
    ran = torchrun(["-m", "mezzotint", "train", "refined.toml", "--out", "two"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    two = tmp_path / "two"
    killed = as_if_killed(two, tmp_path / "killed")
    ran = torchrun(["-m", "mezzotint", "train", "--resume", "killed"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    for name in ("model.safetensors", "checkpoints/step-00000006/state.safetensors"):
        assert (killed / name).read_bytes() == (two / name).read_bytes(), name
    one = train(recipe, tmp_path / "one", log=print)
    lines = [read_metrics(folder / "metrics.jsonl") for folder in (one, two)]
    assert len(lines[0]) == 6
    for own, other in zip(*lines, strict=True):
        assert own["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert own["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-2)
        assert ("critic_gradient_norm" in own) == few_step
        if few_step:
            critics = own["critic_gradient_norm"], other["critic_gradient_norm"]
            assert critics[0] == pytest.approx(critics[1], rel=1e-2)
            assert critics[0] > 0


@pytest.mark.slow
def test_a_batch_that_two_cannot_share_equally_is_refused_by_both_at_once(
    tmp_path: Path, data: Path
) -> None:
    recipe = tiny_recipe(data={"name": f"npz:{data}"}, training={"batch": 7})
    (tmp_path / "odd.toml").write_text(to_toml(recipe))
    ran = torchrun(["-m", "mezzotint", "train", "odd.toml", "--out", "run"], tmp_path)
    assert ran.returncode != 0
    assert ran.stderr.count("training.batch = 7 cannot be shared equally by 2 processes") == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_pairs_that_two_cannot_share_equally_are_refused_by_both_at_once(
    tmp_path: Path, data: Path
) -> None:
    """Six images are three pairs, which stay together."""
    changes = {"data": {"name": f"npz:{data}"}, "sampling": {"steps": 2, "guidance": 1.0}}
    model = random_model_file(tmp_path / "model.safetensors", few_step_recipe(**changes))
    recipe = few_step_recipe(
        **changes,
        training={"optimizer": "adam", "batch": 6},
        objective={"name": "adversarial", "critic": 8, "reference": str(model)},
    )
    (tmp_path / "odd.toml").write_text(to_toml(recipe))
    ran = torchrun(["-m", "mezzotint", "train", "odd.toml", "--out", "run"], tmp_path)
    assert ran.returncode != 0
    words = "training.batch = 6 cannot be shared equally in groups of 2 by 2 processes"
    assert ran.stderr.count(words) == 2
    assert not (tmp_path / "run").exists()


DRAW = """
import os, sys, torch
import mezzotint.model
from mezzotint import load
from mezzotint.evaluation.evaluate import is_main
from mezzotint.sampling import sample_distributed
torch.set_num_threads(1)
# What machines that measure otherwise would find faster.
mezzotint.model.choose_precision = lambda *_: [torch.bfloat16, torch.float32][int(os.environ["RANK"]) % 2]
found = sample_distributed(load(sys.argv[1]), 21, 5, batch=4, steps=2)
if is_main():
    torch.save((found.images, found.labels), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_draw_the_images_of_one(world: int, tmp_path: Path) -> None:
    """21 images: a share that does not come out even."""
    path = random_model_file(tmp_path / "model.safetensors", tiny_recipe(), size=8)
    script, out = tmp_path / "draw.py", tmp_path / "drawn.pt"
    script.write_text(DRAW)
    ran = torchrun([str(script), str(path), str(out)], tmp_path, world)
    assert ran.returncode == 0, ran.stderr
    images, labels = torch.load(out, weights_only=True)
    alone = sample_distributed(load(path), 21, 5, batch=4, steps=2, precision="bf16")
    assert len(images) == 21
    assert alone.labels is not None
    assert torch.equal(labels, alone.labels)
    assert labels.tolist() == round_robin_labels(21, 10)
    # The size of a batch may change a rounding, never more than one level of grey.
    assert (images.int() - alone.images.int()).abs().max() <= 1
