"""The ONNX export, run by onnxruntime: the same outputs, and a sampler in numpy with the same images."""

import dataclasses
import errno
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from common import few_step_recipe, tiny_recipe
from mezzotint import load
from mezzotint.build import new_denoiser
from mezzotint.cli import main
from mezzotint.data import ImageSpec
from mezzotint.export import onnx as onnx_export
from mezzotint.export.description import describe
from mezzotint.export.onnx import compare, export_onnx, session
from mezzotint.loading import from_parts
from mezzotint.recipe.presets import as_recipe
from mezzotint.samplers import ImageNoise

EXAMPLES = Path(__file__).parents[1] / "examples"

UNET = {
    "net": {"name": "unet", "width": 8, "depth": 2, "embedding": 16},
    "diffusion": {"schedule": "original-linear", "timesteps": 100, "parametrization": "eps"},
    "sampling": {"sampler": "ddim", "steps": 5},
}


def tiny_model(recipe, classes=10, size=8, channels=1):
    """A model with the weights that training begins with, but for layers that begin at zero."""
    spec = ImageSpec((size, size), channels, tuple(str(k) for k in range(classes)))
    network = new_denoiser(recipe, spec).network
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return from_parts(recipe, spec, network.state_dict(), torch.device("cpu"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """`digits-fast` as an ONNX file."""
    path = tmp_path_factory.mktemp("onnx") / "digits-fast.onnx"
    difference = export_onnx(load("digits-fast", "cpu"), path)
    return path, difference


def numpy_sample(path, labels, noise):
    """The multistep sampler on the graph alone, as docs/onnx.md shows it."""
    running = session(path, 1)
    about = json.loads(running.get_modelmeta().custom_metadata_map["mezzotint"])
    times = about["grids"][str(about["sampling"]["steps"])]
    knots = about["knots"]
    x = noise()
    for t, s in itertools.pairwise(times):
        alpha, sigma = (np.interp(t, knots["t"], knots[name]) for name in ("alpha", "sigma"))
        timestep = np.full(len(x), t * about["timesteps"], np.float32)
        output = running.run(None, {"x": x, "timestep": timestep, "labels": labels})[0]
        a, b = {"eps": (0, 1), "x0": (1, 0), "v": (-sigma, alpha), "flow": (-1, 1)}[
            about["parametrization"]
        ]
        x0 = (b * x - sigma * output) / (alpha * b - sigma * a)
        x0 = x0.clip(-1, 1).astype(np.float32)
        if s == 0:
            return x0
        alpha, sigma = (np.interp(s, knots["t"], knots[name]) for name in ("alpha", "sigma"))
        x = (alpha * x0 + sigma * noise()).astype(np.float32)


def test_a_sampler_in_numpy_draws_the_same_digits(exported):
    path, difference = exported
    assert difference < 1e-4
    labels = [7, 3, 0]
    noise = ImageNoise(5, range(3), (1, 28, 28), torch.device("cpu"))
    x0 = numpy_sample(path, np.array(labels, np.int64), lambda: noise().numpy())
    images = load("digits-fast", "cpu").sample(labels, seed=5)
    drawn = np.rint((x0 + 1) * 127.5).clip(0, 255)
    assert np.abs(drawn - images.numpy()).max() <= 1


def onnx_sampler(monkeypatch):
    """The example as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("onnx_sampler")


def test_the_example_draws_the_pixels_of_sample_without_torch(exported, tmp_path):
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.argv.pop(0);"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [sys.executable, "-c", code, EXAMPLES / "onnx_sampler.py", exported[0], "7", "3", "0"]
    subprocess.run([str(word) for word in words], cwd=tmp_path, check=True)
    drawn = np.asarray(Image.open(tmp_path / "onnx-sampler.png"))
    images = load("digits-fast", "cpu").sample([7, 3, 0]).numpy()
    assert np.abs(drawn - np.concatenate(list(images[:, 0]), 1).astype(int)).max() <= 1


def test_the_example_has_guidance_and_the_second_order_sampler(exported, tmp_path, monkeypatch):
    """The network of digits-fast, taken for that of an ordinary model."""
    model = load("digits-fast", "cpu")
    sampling = {"sampler": "dpm++", "steps": 6, "guidance": 1.5, "interval": [0.1, 0.9]}
    changes = {"objective": {"name": "denoising"}, "sampling": sampling}
    model = dataclasses.replace(model, recipe=as_recipe(model.recipe, changes))
    graph = onnx.load(exported[0])
    onnx.helper.set_model_props(graph, {"mezzotint": json.dumps(describe(model))})
    path = tmp_path / "ordinary.onnx"
    onnx.save(graph, path)
    drawn = onnx_sampler(monkeypatch).sample(str(path), [7, 3], seed=5)
    assert np.abs(drawn - model.sample([7, 3], seed=5).numpy().astype(int)).max() <= 1


def test_the_file_is_of_opset_20_with_a_batch_of_any_size_and_weights_inside(exported):
    graph = onnx.load(exported[0], load_external_data=False)
    assert [entry.version for entry in graph.opset_import if entry.domain == ""] == [20]
    assert not any(tensor.external_data for tensor in graph.graph.initializer)
    kinds = {value.name: value.type.tensor_type for value in graph.graph.input}
    assert set(kinds) == {"x", "timestep", "labels"}
    assert kinds["labels"].elem_type == onnx.TensorProto.INT64
    assert {kind.shape.dim[0].dim_param for kind in kinds.values()} == {"batch"}


@pytest.mark.parametrize(
    ("recipe", "kind", "labels"),
    [
        (tiny_recipe(), {}, "weights"),
        pytest.param(few_step_recipe(), {}, "index", marks=pytest.mark.slow),
        pytest.param(tiny_recipe(), {"classes": 0, "channels": 3}, "index", marks=pytest.mark.slow),
        pytest.param(tiny_recipe(**UNET), {}, "index", marks=pytest.mark.slow),
    ],
    ids=["weights", "few-step", "no-classes", "unet"],
)
def test_every_kind_of_model_gives_what_torch_gives(recipe, kind, labels, tmp_path):
    model = tiny_model(recipe, **kind)
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path, labels=labels) < 1e-4
    assert compare(model, path, labels) < 1e-4
    about = json.loads(session(path).get_modelmeta().custom_metadata_map["mezzotint"])
    assert about == json.loads(json.dumps(describe(model, labels)))
    assert len(about["knots"]["t"]) == (101 if about["discrete"] else 2)


@pytest.mark.slow
def test_weights_in_16_bits_halve_the_file_and_cost_a_shipped_model_nothing(exported, tmp_path):
    half = tmp_path / "half.onnx"
    assert export_onnx(load("digits-fast", "cpu"), half, half=True) < 1e-4
    assert half.stat().st_size < 0.55 * exported[0].stat().st_size


def test_an_export_that_is_wrong_is_not_written(exported, tmp_path, monkeypatch):
    model = load("digits-fast", "cpu")
    graph = exported[0].read_bytes()
    monkeypatch.setattr(
        "mezzotint.export.onnx._write_graph", lambda model, path, labels: path.write_bytes(graph)
    )
    monkeypatch.setattr("mezzotint.export.onnx.compare", lambda *_: 1e-3)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"earlier")
    with pytest.raises(ValueError, match=r"differs from torch's by 1.0e-03"):
        export_onnx(model, out)
    assert out.read_bytes() == b"earlier"


def test_a_comparison_finds_weights_that_differ(exported):
    model = load("digits-fast", "cpu")
    with torch.no_grad():
        next(model.denoiser.network.parameters()).add_(0.01)
    assert compare(model, exported[0]) > 1e-3


def test_what_is_missing_is_said_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr("mezzotint.export.onnx.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install 'mezzotint\[onnx\]'"):
        main(["export", "onnx", "digits", "--out", str(tmp_path / "x.onnx")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["digits", "--out", "x.txt"], r"ending must be .onnx"), (["nothing"], "no model at nothing")],
)
def test_bad_requests_are_refused(arguments, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=words):
        main(["export", "onnx", *arguments])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["_write_graph", "_add_metadata", "session"])
def test_what_the_disk_does_not_take_or_give_is_named_and_nothing_stays(
    tmp_path, monkeypatch, place
):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(onnx_export, place, fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # nothing is written there
    out = tmp_path / "model.onnx"
    out.write_bytes(b"of before")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised:
        export_onnx(tiny_model(tiny_recipe()), out)
    assert raised.value.filename == str(out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "model.onnx": b"of before"
    }
