"""Folders for diffusers: they draw what the model draws, with or without Mezzotint, and come back whole."""

import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UNet2DModel,
)
from diffusers.utils import logging as diffusers_logging
from torch import Tensor

from common import few_step_recipe, tiny_recipe
from mezzotint import registry, weights
from mezzotint.cli import main
from mezzotint.data import ImageSpec
from mezzotint.export.diffusers import (
    MezzotintPipeline,
    bundle,
    export_diffusers,
    import_diffusers,
    sampling,
    write,
)
from mezzotint.loading import load
from mezzotint.model import Model
from mezzotint.recipe.fields import RecipeError
from mezzotint.recipe.presets import as_recipe
from mezzotint.recipe.schema import Recipe
from models import random_model_file, random_weights

UNET = {"name": "unet", "width": 8, "depth": 2, "embedding": 16}


def table(**changes: Any) -> Recipe:
    """A recipe with a table of 1000 noise levels."""
    diffusion = {"schedule": "linear", "timesteps": 1000, "parametrization": "eps"}
    return as_recipe(tiny_recipe(diffusion=diffusion), changes)


def with_sampling(recipe: Recipe, **changes: Any) -> Recipe:
    return as_recipe(recipe, {"sampling": changes})


RECIPES: dict[str, Recipe] = {
    "flow": with_sampling(tiny_recipe(), sampler="dpm++", steps=4),
    "few-step": with_sampling(few_step_recipe(), steps=2, grid="1,0.4,0"),
    "ddpm": as_recipe("ddpm", {"net": UNET, "data": {"size": 8}, "sampling": {"steps": 4}}),
    "heun": with_sampling(tiny_recipe(), sampler="heun", grid="karras:rho=5", interval=[0.2, 0.9]),
    "discrete-flow": tiny_recipe(
        diffusion={"timesteps": 50, "parametrization": "v"}, sampling={"grid": "trailing:shift=3"}
    ),
    "ddim": with_sampling(
        table(diffusion={"schedule": "cosine", "parametrization": "x0"}),
        sampler="ddim:eta=0.5",
        steps=5,
        grid="quadratic",
        clip=False,
    ),
    "no-classes": with_sampling(table(), sampler="ddpm:variance=large", steps=3, grid="log-snr"),
}
"""Between them they have every network, schedule but one, parametrization, sampler and kind of grid."""

SPECS = {"no-classes": ImageSpec((8, 12), 3, ())}
SPEC = ImageSpec((8, 8), 1, tuple("0123456789"))


class Exports:
    """A model of each kind, and the folder that it was exported to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models: dict[str, Model] = {}
        for name, recipe in RECIPES.items():
            spec = SPECS.get(name, SPEC)
            tensors = random_weights(recipe, spec)
            if name == "ddpm":  # smaller ones, or all of its pixels would be black or white
                tensors = {key: 0.3 * tensor for key, tensor in tensors.items()}
            weights.write(self.file(name), tensors, recipe, spec)
            export_diffusers(self.file(name), folder / name)
            self.models[name] = load(self.file(name), "cpu")

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def pipeline(self, name: str, scheduler: type | None = None, **options: Any) -> Any:
        """The pipeline, with a scheduler of diffusers that is made from its own one's config."""
        pipe = MezzotintPipeline.from_pretrained(self.folder / name)
        pipe.set_progress_bar_config(disable=True)
        if scheduler is not None:
            pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **options)  # type: ignore[attr-defined]
        return pipe

    def drawn(self, name: str) -> Tensor:
        """What the model draws for :func:`asked`."""
        labels = None if name in SPECS else [7, 3, 0]
        return self.models[name].sample(labels, count=None if labels else 3, seed=5)


def asked(name: str) -> dict[str, Any]:
    """Arguments of the pipeline for three images."""
    images = {"batch_size": 3} if name in SPECS else {"class_labels": [7, 3, 0]}
    return {**images, "seed": 5}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(tmp_path_factory.mktemp("exports"))


@pytest.fixture(autouse=True)
def silent() -> Iterator[list[str]]:
    """Diffusers says nothing; its progress bars are off."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    diffusers_logging.add_handler(handler)
    diffusers_logging.disable_progress_bar()
    yield said
    diffusers_logging.remove_handler(handler)
    assert said == []


def as_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


# --- The same pixels ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_the_installed_pipeline_draws_what_the_model_draws(exports: Exports, name: str) -> None:
    pipe = exports.pipeline(name)
    images = pipe(**asked(name), output_type="pt").images
    assert torch.equal(as_bytes(images), exports.drawn(name))
    assert len(images.unique()) > 20


WITHOUT_US = """
import sys, warnings

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mezzotint", "jaxtyping"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=FutureWarning)

import json, torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)
pipes, images = {}, {}
for name, arguments in json.loads(sys.argv[1]).items():
    pipes[name] = DiffusionPipeline.from_pretrained(name, trust_remote_code=True)
    pipes[name].set_progress_bar_config(disable=True)
    images[name] = pipes[name](**arguments, output_type="pt").images
first = next(iter(pipes))  # its code was loaded again since
again = pipes[first](**json.loads(sys.argv[1])[first], output_type="pt").images
assert torch.equal(again, images[first])
for custom in ("pipeline", first):
    pipe = DiffusionPipeline.from_pretrained(first, custom_pipeline=custom, trust_remote_code=True)
    assert type(pipe).__name__ == "MezzotintPipeline"
try:
    DiffusionPipeline.from_pretrained(first)
except ValueError as error:
    assert "trust_remote_code" in str(error), error
torch.save(images, "images.pt")
"""


def test_the_folder_alone_draws_what_the_model_draws(exports: Exports, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, json.dumps({name: asked(name) for name in RECIPES})],
        cwd=exports.folder,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    images = torch.load(exports.folder / "images.pt")
    assert images.keys() == RECIPES.keys()
    for name, drawn in images.items():
        assert torch.equal(as_bytes(drawn), exports.drawn(name)), name


def test_options_of_the_call_are_those_of_the_model(exports: Exports) -> None:
    pipe, model = exports.pipeline("flow"), exports.models["flow"]
    images = pipe(
        [7, 3],
        3,
        2.5,
        seed=2**63 - 1,
        sampler="ddim:eta=1",
        grid="karras:rho=3",
        output_type="pt",
    ).images
    expected = model.sample(
        [7, 3], seed=2**63 - 1, steps=3, guidance=2.5, sampler="ddim:eta=1", grid="karras:rho=3"
    )
    assert torch.equal(as_bytes(images), expected)
    unconditional = pipe(batch_size=2, seed=1, output_type="pt").images
    assert torch.equal(as_bytes(unconditional), model.sample(count=2, seed=1))


@pytest.mark.parametrize("name", ["flow", "no-classes"])
def test_output_types_are_the_same_pixels(exports: Exports, name: str) -> None:
    pipe = exports.pipeline(name)
    drawn = exports.drawn(name)
    channels, height, width = drawn.shape[1:]
    array = pipe(**asked(name), output_type="np").images
    assert array.dtype == np.float32
    assert np.array_equal(array, drawn.permute(0, 2, 3, 1).numpy() / np.float32(255))
    for picture, image in zip(pipe(**asked(name)).images, drawn, strict=True):
        assert (picture.mode, picture.size) == ("L" if channels == 1 else "RGB", (width, height))
        assert np.array_equal(
            np.asarray(picture).reshape(height, width, channels), image.permute(1, 2, 0)
        )
    latent = pipe(**asked(name), output_type="latent", return_dict=False)[0]
    assert torch.equal(((latent + 1) * 127.5).round().clamp(0, 255).byte(), drawn)


def test_generators_and_the_global_one_decide_the_seed(exports: Exports) -> None:
    pipe = exports.pipeline("flow")

    def draw(**options: Any) -> Tensor:
        images: Tensor = pipe(class_labels=[7, 3], output_type="latent", **options).images
        return images

    def source(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    one = source(3)
    first, second = draw(generator=one), draw(generator=one)
    assert torch.equal(first, draw(generator=source(3)))
    assert not torch.equal(first, second)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        assert torch.equal(draw(), first)
        assert not torch.equal(draw(), first)
    each = draw(generator=[source(1), source(1)])
    swapped = draw(generator=[source(1), source(2)])
    assert torch.equal(each[0], swapped[0])
    assert not torch.equal(each[1], swapped[1])


def test_half_precision_is_of_the_storage_alone(exports: Exports) -> None:
    pipe = exports.pipeline("ddpm")
    pipe.unet.half()
    images = pipe(**asked("ddpm"), output_type="latent").images
    assert images.dtype == torch.float32
    expected = exports.pipeline("ddpm")(**asked("ddpm"), output_type="latent").images
    assert 0 < (images - expected).abs().median() < 0.05


# --- Schedulers of diffusers ----------------------------------------------------------------------


TO_A_THOUSANDTH = ",".join(map(str, [*np.linspace(1, 1e-3, 10).tolist(), 0]))
"""The times of schedulers for flows that take none."""


def final(model: Model, labels: list[int], **options: Any) -> Tensor:
    """What the model draws, before it is rounded."""
    *_, step = model.denoise(labels, seed=4, **options)
    return step.x


@pytest.mark.parametrize(
    ("name", "scheduler", "options", "own", "grid"),
    [
        ("ddpm", DDIMScheduler, {}, "ddim", "trailing"),
        ("ddim", DDIMScheduler, {}, "ddim", "trailing"),
        ("ddim", DDIMScheduler, {"prediction_type": "epsilon"}, "ddim", "trailing"),
        ("ddim", DDIMScheduler, {"prediction_type": "v_prediction"}, "ddim", "trailing"),
        ("ddpm", DDPMScheduler, {"variance_type": "fixed_small"}, "ddpm", "trailing"),
        ("ddpm", EulerDiscreteScheduler, {}, "ddim", "trailing"),
        ("ddpm", DPMSolverMultistepScheduler, {}, "dpm++", "trailing"),
        ("flow", FlowMatchEulerDiscreteScheduler, {}, "ddim", "trailing"),
        ("flow", FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, "ddim", "trailing:shift=3"),
        ("heun", FlowMatchEulerDiscreteScheduler, {}, "ddim", "karras:rho=5"),
        ("discrete-flow", FlowMatchEulerDiscreteScheduler, {}, "ddim", "trailing:shift=3"),
        ("flow", FlowMatchHeunDiscreteScheduler, {}, "heun", TO_A_THOUSANDTH),
    ],
)
def test_a_scheduler_of_diffusers_agrees_with_our_sampler(
    exports: Exports, name: str, scheduler: type, options: dict[str, Any], own: str, grid: str
) -> None:
    pipe = exports.pipeline(name, scheduler, **options)
    images = pipe([7, 3], 10, 1.5, seed=4, output_type="latent").images
    expected = final(exports.models[name], [7, 3], steps=10, guidance=1.5, sampler=own, grid=grid)
    assert expected.std() > 0.1
    torch.testing.assert_close(images, expected, rtol=0, atol=2e-3)


def test_a_swapped_scheduler_can_be_saved_and_put_back(exports: Exports, tmp_path: Path) -> None:
    pipe = exports.pipeline("ddpm")
    own = pipe.scheduler
    pipe.scheduler = DDIMScheduler.from_config(own.config)
    pipe.save_pretrained(tmp_path / "saved")
    saved = MezzotintPipeline.from_pretrained(tmp_path / "saved")
    saved.set_progress_bar_config(disable=True)
    assert isinstance(saved.scheduler, DDIMScheduler)
    options = {**asked("ddpm"), "output_type": "latent"}
    assert torch.equal(saved(**options).images, pipe(**options).images)
    pipe.scheduler = own
    assert torch.equal(
        as_bytes(pipe(**asked("ddpm"), output_type="pt").images), exports.drawn("ddpm")
    )


@pytest.mark.parametrize(
    ("name", "scheduler", "words"),
    [
        ("few-step", FlowMatchEulerDiscreteScheduler(), "jumps to its end"),
        ("flow", DDIMScheduler(), "not for flow matching"),
        ("ddpm", FlowMatchEulerDiscreteScheduler(), "no table of noise levels"),
        ("ddim", DDIMScheduler(), "other noise levels"),
        ("ddpm", DDIMScheduler(num_train_timesteps=100), "other noise levels"),
        ("no-classes", DPMSolverMultistepScheduler(prediction_type="flow_prediction"), "flow_pred"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_scheduler_that_does_not_fit_is_refused(
    exports: Exports, name: str, scheduler: Any, words: str
) -> None:
    pipe = exports.pipeline(name)
    pipe.scheduler = scheduler
    with pytest.raises(ValueError, match=words):
        pipe(**asked(name))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("flow", {"class_labels": [10]}, "label 10 is not a class"),
        ("flow", {"class_labels": []}, "empty"),
        ("flow", {"class_labels": [1], "batch_size": 1}, "goes without"),
        ("flow", {"batch_size": 0}, "batch_size = 0"),
        ("flow", {"num_inference_steps": 0}, "steps = 0"),
        ("flow", {"num_inference_steps": 2.5}, "steps = 2.5"),
        ("ddpm", {"num_inference_steps": 1001}, "more than the 1000 time steps"),
        ("flow", {"guidance_scale": -1.0}, "guidance = -1.0"),
        ("no-classes", {"guidance_scale": 2.0}, "no classes"),
        ("no-classes", {"class_labels": [1]}, "no classes"),
        ("flow", {"seed": -1}, "seed"),
        ("flow", {"seed": 1, "generator": torch.Generator()}, "one of them"),
        ("flow", {"class_labels": [1, 2], "generator": [torch.Generator()]}, "1 generators"),
        ("flow", {"output_type": "jpg"}, "output_type = 'jpg'"),
        ("flow", {"sampler": "euler"}, "sampler = 'euler'"),
        ("flow", {"sampler": "consistency"}, "distilled"),
        ("flow", {"grid": "even"}, "grid = 'even'"),
        ("few-step", {"sampler": "ddim"}, "distilled"),
        ("few-step", {"num_inference_steps": 3}, "2 steps"),
    ],
    ids=lambda value: re.sub(r" object at 0x\w+", "", str(value)),
)
def test_a_wrong_argument_is_refused(
    exports: Exports, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        exports.pipeline(name)(**options)


# --- The way back ---------------------------------------------------------------------------------


def run(*words: object) -> None:
    """The command line, which ends well."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code


def same_model(one: Path, other: Path) -> bool:
    """Whether two weights files have the same bits, recipe and images."""
    return one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", RECIPES)
def test_an_export_comes_back_bit_for_bit(exports: Exports, tmp_path: Path, name: str) -> None:
    out = tmp_path / "back.safetensors"
    run("import", exports.folder / name, "--out", out)
    assert same_model(out, exports.file(name))


def test_a_pipeline_that_diffusers_saved_comes_back(exports: Exports, tmp_path: Path) -> None:
    pipe = exports.pipeline("ddpm", DDIMScheduler)
    pipe.save_pretrained(tmp_path / "saved")
    import_diffusers(tmp_path / "saved", tmp_path / "back.safetensors")
    assert same_model(tmp_path / "back.safetensors", exports.file("ddpm"))


def test_a_folder_with_a_dot_is_imported_beside_itself(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_diffusers(exports.file("flow"), tmp_path / "v1.0")
    run("import", tmp_path / "v1.0")
    assert capsys.readouterr().out.strip() == str(tmp_path / "v1.0.safetensors")
    assert same_model(tmp_path / "v1.0.safetensors", exports.file("flow"))


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def other_network() -> UNet2DModel:
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


def another_pipeline(folder: Path) -> None:
    DDPMPipeline(other_network(), DDPMScheduler()).save_pretrained(folder)


FAULTS: dict[str, tuple[Any, str]] = {
    "another pipeline": (another_pipeline, "DDPMPipeline with UNet2DModel of diffusers"),
    "another network": (lambda p: other_network().save_pretrained(p), "UNet2DModel of diffusers"),
    "nothing": (lambda p: p.mkdir(), "no model of diffusers"),
    "a text": (lambda p: (p / "model_index.json").write_text("{"), "not valid JSON"),
    "a list": (
        lambda p: (p / "model_index.json").write_text("[]"),
        "MezzotintNetwork of diffusers",
    ),
    "no weights": (lambda p: (p / write.WEIGHTS).unlink(), "has no unet/diffusion_pytorch_model"),
    "half the weights": (
        lambda p: (p / write.WEIGHTS).write_bytes((p / write.WEIGHTS).read_bytes()[:5000]),
        "not a whole safetensors file",
    ),
    "other weights": (
        lambda p: weights.save(p / write.WEIGHTS, {"network.x": torch.ones(1)}, {}),
        "do not fit",
    ),
    "a strange tensor": (
        lambda p: weights.save(p / write.WEIGHTS, {"x": torch.ones(1)}, {}),
        "there is a tensor x",
    ),
    "a wrong recipe": (
        lambda p: edit(p / "model_index.json", recipe={"format": 2, "net": 3}),
        "net is",
    ),
    "a recipe of tomorrow": (
        lambda p: edit(p / "model_index.json", recipe={"format": 9}),
        "format 9",
    ),
    "no recipe": (lambda p: edit(p / "model_index.json", recipe=[]), "section of keys"),
    "wrong images": (
        lambda p: edit(p / "model_index.json", images={"size": 3}),
        "does not describe",
    ),
    "images of no size": (
        lambda p: edit(
            p / "model_index.json", images={"size": [8, 0], "channels": 1, "classes": []}
        ),
        "does not describe",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_not_an_export_is_refused_by_name(
    exports: Exports, tmp_path: Path, fault: str
) -> None:
    make, words = FAULTS[fault]
    folder = tmp_path / "folder"
    if fault not in ("another pipeline", "another network", "nothing"):
        export_diffusers(exports.file("flow"), folder)
    make(folder)
    with pytest.raises(SystemExit) as caught:
        main(["import", str(folder), "--out", str(tmp_path / "out.safetensors")])
    assert words in str(caught.value)
    assert "folder" in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_the_size_of_a_folder_is_not_asked(exports: Exports, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="size = 8"):
        main(["import", str(exports.folder / "flow"), "--size", "8"])


def test_code_in_an_imported_folder_is_not_run(exports: Exports, tmp_path: Path) -> None:
    export_diffusers(exports.file("flow"), tmp_path / "folder")
    for name in write.CODE:
        (tmp_path / "folder" / name).write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w')")
    import_diffusers(tmp_path / "folder", tmp_path / "back.safetensors")
    MezzotintPipeline.from_pretrained(tmp_path / "folder")
    assert not (tmp_path / "it-ran").exists()


# --- The folder -----------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_export_needs_no_diffusers_and_is_always_the_same(
    exports: Exports, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['diffusers'] = None; from pathlib import Path\n"
        "from mezzotint.export.diffusers import export_diffusers, import_diffusers\n"
        f"export_diffusers({str(exports.file('ddpm'))!r}, Path('again'))\n"
        "import_diffusers(Path('again'), Path('back.safetensors'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert content(tmp_path / "again") == content(exports.folder / "ddpm")
    assert same_model(tmp_path / "back.safetensors", exports.file("ddpm"))


def test_an_earlier_export_is_replaced(exports: Exports, tmp_path: Path) -> None:
    export_diffusers(exports.file("flow"), tmp_path / "folder")
    export_diffusers(exports.file("ddpm"), tmp_path / "folder")
    assert content(tmp_path / "folder") == content(exports.folder / "ddpm")
    (tmp_path / "empty").mkdir()
    export_diffusers(exports.file("flow"), tmp_path / "empty")
    assert sorted(content(tmp_path / "empty")) == sorted(write.FILES)


def file_of_ones_own(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "notes.txt").write_text("mine")


@pytest.mark.parametrize("make", [file_of_ones_own, another_pipeline])
def test_a_folder_that_holds_something_else_is_left_alone(
    exports: Exports, tmp_path: Path, make: Any
) -> None:
    make(tmp_path / "folder")
    before = content(tmp_path / "folder")
    with pytest.raises(ValueError, match="holds something else"):
        export_diffusers(exports.file("flow"), tmp_path / "folder")
    assert content(tmp_path / "folder") == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_nothing_half_written_remains(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_diffusers(exports.file("flow"), tmp_path / "folder")
    before = content(tmp_path / "folder")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save", full)
    with pytest.raises(OSError, match="No space left"):
        export_diffusers(exports.file("ddpm"), tmp_path / "folder")
    assert content(tmp_path / "folder") == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_is_no_model_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model"):
        export_diffusers(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        export_diffusers(tmp_path / "bad.safetensors", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is no folder"):
        export_diffusers(random_model_file(tmp_path / "m.safetensors"), tmp_path / "file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "key", "name", "place"),
    [
        ("SAMPLERS", "sampler", "mine", "mezzotint.samplers.ddim:DDIM"),
        ("GRIDS", "grid", "mine", "mezzotint.samplers.grids:trailing"),
    ],
)
def test_a_part_of_ones_own_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str, name: str, place: str
) -> None:
    monkeypatch.setitem(getattr(registry, kind)._places, name, place)
    file = random_model_file(
        tmp_path / "m.safetensors", with_sampling(tiny_recipe(), **{key: name})
    )
    with pytest.raises(RecipeError, match=f"sampling.{key} = 'mine' is a part of your own"):
        export_diffusers(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_network_of_ones_own_under_our_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = random_model_file(tmp_path / "m.safetensors")
    monkeypatch.setattr(type(tiny_recipe().net), "network", "mine:Lean")
    with pytest.raises(RecipeError, match="mine:Lean"):
        export_diffusers(file, tmp_path / "out")


def test_every_part_of_the_registry_can_be_exported() -> None:
    assert list(sampling.SCHEDULES) == list(registry.SCHEDULES)
    assert dict(sampling.PARAMETRIZATIONS) == dict(registry.PARAMETRIZATIONS)
    assert dict(sampling.SAMPLERS) == dict(registry.SAMPLERS)
    assert dict(sampling.GRIDS) == dict(registry.GRIDS)
    assert {name: kind.network for name, kind in registry.NETS.items()} == write.NETWORKS
    settings = {field.name for field in dataclasses.fields(sampling.Settings)}
    options = {field.name for field in dataclasses.fields(Recipe().sampling)}
    assert settings == options - {"precision"}  # there, it is that of the weights


# --- The code in it -------------------------------------------------------------------------------


def test_code_is_that_of_the_package_without_what_its_readers_lack(exports: Exports) -> None:
    files = content(exports.folder / "flow")
    for name in write.CODE:
        text = files[name].decode()
        assert "jaxtyping" not in text
        assert "type: ignore" not in text
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        packages = {line.split()[1].partition(".")[0] for line in imports}
        assert packages - sys.stdlib_module_names <= {"diffusers", "numpy", "torch"}
    network = files["unet/mezzotint_network.py"].decode()
    assert "    def forward(self, x: Features, embedding: Embedding) -> Features:\n" in network
    assert (
        "        # Channels go last, which is the memory format, so that nothing is copied:\n"
        in network
    )
    assert "class Critic" not in network


def test_two_definitions_of_one_name_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "twice"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("def name():\n    return 1\n")
    (package / "two.py").write_text("from .one import name\n\n\ndef other():\n    return name()\n")
    (package / "root.py").write_text(
        "from .two import other\n\n\ndef name():\n    return other()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    text = bundle.bundle("twice.two")
    scope: dict[str, Any] = {}
    exec(text, scope)
    assert scope["other"]() == 1
    with pytest.raises(ValueError, match=r"name is defined in twice\.root and in twice\.one"):
        bundle.bundle("twice.root")
