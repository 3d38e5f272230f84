"""The command line, mostly in this process; a few runs in one of their own."""

import io
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint
import mezzotint.runs.train
from common import tiny_recipe
from mezzotint import weights
from mezzotint.classic import GabiDiffUnet
from mezzotint.cli import VERBS, main, make_app
from mezzotint.data import ImageSpec
from mezzotint.recipe.nets import UNet
from mezzotint.recipe.presets import DDPM, DIGITS, RECIPES
from mezzotint.recipe.toml import from_toml, leaves
from mezzotint.registry import SCHEDULES
from mezzotint.utils.assets import shipped
from models import random_model_file

TINY = [
    "--width",
    "8",
    "--blocks",
    "1",
    "--embedding",
    "16",
    "--heads",
    "2",
    "--groups",
    "4",
    "--batch",
    "8",
    "--sampling.steps",
    "2",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, and a terminal wide enough that nothing wraps."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "200")
    return work


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A weights file of ten classes, 8x8, one channel; outside the folder to work in."""
    return random_model_file(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def cli(capsys):
    """Runs the command line on its arguments: (exit status, all that it printed)."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        status = ended.value.code
        # sys.exit("words") prints the words and ends with status 1.
        return (1, printed + status) if isinstance(status, str) else (status or 0, printed)

    return run


@pytest.fixture
def trained(monkeypatch):
    """The recipes that `train` would have trained, without the hours."""
    recipes = []

    def record(recipe, out=None, **kwargs):
        recipes.append(recipe)
        return Path("runs/recorded")

    monkeypatch.setattr(mezzotint.runs.train, "train", record)
    return recipes


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


# Help


def test_no_help_loads_torch(folder):
    code = f"""
import sys
from mezzotint import cli
from mezzotint.cli import main
for words in [["--help"], ["--version"], *([verb, "--help"] for verb in {list(VERBS)})]:
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
    assert "torch" not in sys.modules, words
"""
    result = python("-c", code, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert list(folder.iterdir()) == []


def test_the_overall_help_names_every_verb_with_its_summary(cli):
    status, printed = cli("--help")
    assert status == 0
    for verb, summary in VERBS.items():
        assert f"{verb} " in printed
        assert summary in printed


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_an_example_and_its_usage(verb, cli):
    status, printed = cli(verb, "--help")
    assert status == 0
    assert f"Usage: mezzotint {verb}" in printed
    assert printed.count(f"mezzotint {verb} ") >= 2  # one is the usage


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_no_markup(verb, cli):
    _, printed = cli(verb, "--help")
    for markup in ("::", "----", "Parameters\n", ":param", "``"):
        assert markup not in printed


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_field_of_the_recipe_is_a_flag(recipe, cli):
    status, printed = cli("train", recipe, "--help")
    assert status == 0
    words = set(printed.split())
    for key, _ in leaves(RECIPES[recipe]):
        # A recipe's name follows from which recipe it is, its objective from the verb.
        if key not in ("name", "objective.name"):
            assert f"--{key}" in words, key
    sampling = {f"--{key.replace('_', '-')}" for key, _ in leaves(DIGITS.sampling)}
    for verb in ("sample", "gif"):
        assert sampling <= set(cli(verb, "--help")[1].split())


def test_help_shows_the_defaults_of_the_recipe_that_is_named(cli):
    assert "[default: 937500]" in cli("train", "ddpm", "--help")[1]
    assert "[default: 937500]" not in cli("train", "--help")[1]
    assert "--net.depth" in cli("train", "--net", "unet", "--help")[1]


def test_the_program_can_be_run_as_a_module(folder):
    result = python("-m", "mezzotint", "--version", cwd=folder)
    assert result.returncode == 0
    assert result.stdout.strip() == mezzotint.__version__


def test_a_failure_ends_with_a_line_of_words_and_status_1(folder):
    result = python("-m", "mezzotint", "sample", "nowhere", cwd=folder)
    assert result.returncode == 1
    assert result.stderr.startswith("mezzotint: there is no model at nowhere")
    assert len(result.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_can_be_used_again_in_the_same_process(verb, cli):
    assert cli(verb, "--help") == cli(verb, "--help")


# Misspellings


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["sampel", "model"], "sample"),
        (["gifs"], "gif"),
        (["train", "digtis"], "digits"),
        (["train", "--lerning-rate", "3"], "--learning-rate"),
        (["train", "ddpm", "--sampling.stpes", "3"], "--sampling.steps"),
        (["train", "--schedule", "linaer"], "linear"),
        (["train", "--net", "lena"], "lean"),
        (["sample", "model", "--guidence", "2"], "--guidance"),
        (["sample", "digits", "1", "--sampler", "huen"], "heun"),
        (["gif", "model", "--layuot", "grid"], "--layout"),
        (["gif", "model", "--format", "gfi"], "gif"),
        (["forward", "ddmp"], "ddpm"),
        (["forward", "--schedule", "cosin"], "cosine"),
    ],
    ids=" ".join,
)
def test_a_misspelling_is_refused_with_the_nearest_match(words, meant, cli, folder):
    status, printed = cli(*words)
    assert status != 0
    assert meant in printed.split("Did you mean")[1]
    assert list(folder.iterdir()) == []


# sample


def test_sample_writes_a_grid_with_a_row_per_class(model, cli):
    status, printed = cli("sample", model, 3, 7, "--count", 3, "--out", "a.png", "--scale", 2)
    assert (status, printed.strip()) == (0, "a.png")
    assert size_of("a.png") == (2 * (3 * 10 + 2), 2 * (2 * 10 + 2))


def test_sample_takes_all_classes_if_none_is_named_and_names_its_file_itself(model, cli, folder):
    status, printed = cli("sample", model)
    assert status == 0
    (path,) = folder.iterdir()
    assert path.name == printed.strip()
    assert path.suffix == ".png"
    assert size_of(path) == (4 * (10 * 10 + 2), 4 * 12)


def test_sample_writes_arrays_of_images_and_labels(model, cli):
    status, _ = cli(
        "sample", model, 9, 1, "--count", 2, "--seed", 5, "--batch", 3, "--out", "a.npz"
    )
    assert status == 0
    with np.load("a.npz") as arrays:
        assert arrays["labels"].tolist() == [9, 9, 1, 1]
        assert arrays["images"].dtype == np.uint8
        expected = mezzotint.load(model, "cpu").sample([9, 9, 1, 1], seed=5, batch=3).numpy()
        assert np.array_equal(arrays["images"], expected)


def test_sample_follows_its_sampling_flags(model, cli):
    flags = ["--sampler", "ddim:eta=0.5", "--steps", 2, "--interval", 0.1, 0.9, "--no-clip"]
    assert cli("sample", model, 4, *flags, "--guidance", 2, "--out", "a.npz")[0] == 0
    expected = mezzotint.load(model, "cpu").sample(
        [4], sampler="ddim:eta=0.5", steps=2, interval=(0.1, 0.9), clip=False, guidance=2.0
    )
    with np.load("a.npz") as arrays:
        assert np.array_equal(arrays["images"], expected.numpy())


def test_a_model_without_classes_is_sampled_by_count(tmp_path, cli):
    path = random_model_file(tmp_path / "unconditional.safetensors", classes=0)
    assert cli("sample", path, "--count", 3, "--out", "a.npz")[0] == 0
    with np.load("a.npz") as arrays:
        assert arrays["images"].shape == (3, 1, 8, 8)
        assert "labels" not in arrays
    assert cli("gif", path, "--steps", 2, "--out", "films")[0] == 0
    assert [p.name for p in Path("films").iterdir()] == ["image.gif"]
    status, printed = cli("sample", path, "3")
    assert status == 1
    assert "without classes" in printed


# gif


def test_gif_writes_a_film_per_class(model, cli):
    status, printed = cli("gif", model, "--steps", 3, "--out", "films", "--scale", 2)
    assert status == 0
    names = [f"{k}.gif" for k in range(10)]
    assert sorted(path.name for path in Path("films").iterdir()) == names
    assert printed.split() == [str(Path("films") / name) for name in names]
    for name in names:
        with Image.open(Path("films") / name) as picture:
            assert picture.size == (16, 16)
            assert picture.n_frames == 4  # three steps and the image
            assert picture.info["loop"] == 0


def test_gif_ends_with_the_very_image_that_sample_draws(model, cli):
    cli("gif", model, 7, "--steps", 4, "--frames", 3, "--scale", 1, "--seed", 3, "--out", ".")
    expected = mezzotint.load(model, "cpu").sample([7], steps=4, seed=3)[0, 0]
    with Image.open("7.gif") as picture:
        assert picture.n_frames == 3
        picture.seek(2)
        assert np.array_equal(np.asarray(picture.convert("L")), expected.numpy())


def test_gif_takes_fifty_steps_unless_told_otherwise(model, cli):
    assert cli("gif", model, 7, "--fps", 10, "--hold", 0)[0] == 0
    with Image.open("gifs/7.gif") as picture:
        time = 0
        for k in range(picture.n_frames):
            picture.seek(k)
            time += picture.info["duration"]
    assert time == 51 * 100


def test_gif_films_a_model_of_fewer_than_fifty_steps(tmp_path, cli):
    recipe = tiny_recipe(
        diffusion={"schedule": "original-linear", "timesteps": 20, "parametrization": "v"},
    )
    path = random_model_file(tmp_path / "short.safetensors", recipe)
    status, printed = cli("gif", path, 7, "--scale", 1)
    assert status == 0, printed
    with Image.open("gifs/7.gif") as picture:
        assert picture.n_frames > 10


@pytest.mark.parametrize(
    ("format", "suffix"), [("gif", ".gif"), ("apng", ".png"), ("webp", ".webp")]
)
def test_gif_writes_all_classes_in_a_grid_in_every_format(format, suffix, model, cli):
    words = ["gif", model, "--steps", 2, "--layout", "grid", "--format", format, "--scale", 1]
    assert cli(*words)[0] == 0
    (path,) = Path("gifs").iterdir()
    assert path.name == f"grid{suffix}"
    with Image.open(path) as picture:
        assert picture.size == (5 * 10 + 2, 2 * 10 + 2)
        assert picture.n_frames == 3


def test_gif_shows_the_noisy_image_the_clean_one_or_both(model, cli):
    for show in ("x", "x0", "both"):
        assert (
            cli("gif", model, 7, "--steps", 2, "--show", show, "--scale", 1, "--out", show)[0] == 0
        )
    first = {}
    for show in ("x", "x0", "both"):
        with Image.open(Path(show) / "7.gif") as picture:
            first[show] = np.asarray(picture.convert("L"))
    assert first["both"].shape[1] > 2 * first["x"].shape[1]
    assert np.array_equal(first["both"][:, :8], first["x"])
    assert np.array_equal(first["both"][:, -8:], first["x0"])
    assert not np.array_equal(first["x"], first["x0"])


# forward


def test_forward_writes_a_strip_of_eleven_from_clean_to_noise(cli):
    status, printed = cli("forward", "digits", "--scale", 1, "--label", 3)
    assert status == 0
    assert size_of(printed.strip()) == (11 * 30 + 2, 32)
    with Image.open(printed.strip()) as picture:
        strip = np.asarray(picture)[2:30]
    digit, noise = strip[:, 2:30], strip[:, -30:-2]
    assert (digit == 0).mean() > 0.5  # a digit on black
    assert abs((noise == 0).mean() - 0.159) < 0.05  # what lies beyond -1 of a normal distribution


def test_forward_takes_the_times_and_the_schedule_it_is_told(cli):
    words = ["forward", "ddpm", 0, 0.5, 1, "--schedule", "cosine", "--out", "a.png"]
    assert cli(*words)[0] == 0
    assert size_of("a.png") == (4 * (3 * 34 + 2), 4 * 36)


def test_forward_shows_every_schedule_it_offers(cli, monkeypatch):
    # The images do not matter here: four of them are enough.
    data = mezzotint.ImageData(
        torch.zeros(10, 1, 32, 32, dtype=torch.uint8), torch.arange(10), tuple("0123456789")
    )
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": data)
    for recipe in RECIPES:
        for schedule in SCHEDULES:
            status, printed = cli("forward", recipe, "--schedule", schedule)
            assert status == 0, printed
            assert Path(printed.strip()).name == f"forward-{schedule}-7.png"


# info


def test_info_prints_parameters_and_recipe_of_a_model(model, cli):
    status, printed = cli("info", model)
    assert status == 0
    tensors, recipe, _ = weights.read(model)
    assert f"{sum(t.numel() for t in tensors.values()):,}" in printed
    assert "8x8, 1 channel" in printed
    assert from_toml(printed[printed.index("format = ") :]) == recipe


@pytest.mark.parametrize("recipe", RECIPES)
def test_info_prints_a_recipe_that_can_be_trained_from(recipe, cli, trained):
    status, printed = cli("info", recipe, "--recipe")
    assert status == 0
    assert printed.startswith(f"# the recipe {recipe}\n")
    Path("copy.toml").write_text(printed)
    cli("train", "copy.toml")
    assert trained == [RECIPES[recipe]]


@pytest.mark.parametrize("name", ["digits", "digits-fast"])
def test_a_name_of_both_a_model_and_a_recipe_is_the_models(name, cli):
    assert name in RECIPES
    status, printed = cli("info", name)
    assert status == 0
    assert printed.splitlines()[0].split() == ["model", name]
    path = shipped("models")[name]
    assert str(path) in printed
    assert from_toml(printed[printed.index("format = ") :]) == weights.read(path)[1]


def test_a_name_of_a_recipe_alone_is_the_recipes_unless_something_lies_there(model, cli):
    printed = cli("info", "ddpm")[1]
    assert printed == cli("info", "ddpm", "--recipe")[1]
    Path("ddpm").mkdir()
    (Path("ddpm") / "model.safetensors").write_bytes(Path(model).read_bytes())
    assert cli("info", "ddpm")[1].splitlines()[0].split() == ["model", "ddpm"]
    assert cli("info", "ddpm", "--recipe")[1] == printed


def test_info_does_not_break_long_lines(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    deep = "/".join(["some folder"] * 12)
    Path("deep.toml").write_text(f'[data]\nfolder = "{deep}"\n')
    assert tomllib.loads(cli("info", "deep.toml")[1])["data"]["folder"] == deep


# import


class Evil:
    """Unpickling this would write a file."""

    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize("kind", ["text", "empty", "weights", "foreign", "evil", "cut", "missing"])
def test_importing_what_is_no_checkpoint_fails_in_words_and_writes_nothing(
    kind, model, cli, folder, tmp_path
):
    path = tmp_path / "saved_model.pth"
    original = GabiDiffUnet(in_channels=1, resnet_depth=1, image_size=8).state_dict()
    if kind == "text":
        path.write_text("no weights at all")
    elif kind == "empty":
        path.touch()
    elif kind == "weights":
        path.write_bytes(Path(model).read_bytes())
    elif kind == "foreign":
        torch.save({"model": {"conv.weight": torch.zeros(3)}, "epoch": 1}, path)
    elif kind == "evil":
        torch.save({"model": Evil()}, path)
    elif kind == "cut":
        original.popitem()
        torch.save({"model": original}, path)
    status, printed = cli("import", path, "--out", "out.safetensors", "--size", 8)
    assert status == 1
    assert "saved_model.pth" in printed
    assert list(folder.iterdir()) == []


def test_import_converts_the_originals_checkpoint(tmp_path, cli):
    torch.manual_seed(0)
    network = GabiDiffUnet(in_channels=1, resnet_depth=1, image_size=8)
    checkpoint = {"model": network.state_dict(), "optimizer": {}, "epoch": 3, "batch_index": 40}
    torch.save(checkpoint, tmp_path / "saved_model.pth")
    words = ["import", tmp_path / "saved_model.pth", "--size", 8, "--out", "original.safetensors"]
    status, printed = cli(*words)
    assert (status, printed.strip()) == (0, "original.safetensors")
    loaded = mezzotint.load("original.safetensors", "cpu")
    assert loaded.spec == ImageSpec((8, 8), 1, tuple("0123456789"))
    assert isinstance(loaded.recipe.net, UNet)
    tensors = weights.read(Path("original.safetensors"))[0]
    assert tensors.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensors[name], tensor), name
    assert cli("sample", "original.safetensors", 7, "--steps", 2, "--out", "a.png")[0] == 0


# Bad values


@pytest.mark.parametrize(
    "words",
    [
        "sample MODEL 11",
        "sample MODEL -1",
        "sample MODEL 3 10",
        "sample MODEL 1.5",
        "sample MODEL three",
        "sample MODEL 3 --count 0",
        "sample MODEL 3 --count -1",
        "sample MODEL 3 --count 1000001",
        "sample MODEL 3 --count abc",
        "sample MODEL 3 --count nan",
        "sample MODEL 3 --guidance -1",
        "sample MODEL 3 --guidance nan",
        "sample MODEL 3 --steps 0",
        "sample MODEL 3 --seed 1180591620717411303424",
        "sample MODEL 3 --seed -1",
        "sample MODEL 3 --batch 0",
        "sample MODEL 3 --scale 0",
        "sample MODEL 3 --sampler dpm++:eta=0.5",
        "sample MODEL 3 --sampler dmp++",
        "sample MODEL 3 --grid 1,0.5,0",
        "sample MODEL 3 --device abacus",
        "sample MODEL 3 --sampler consistency",
        "sample MODEL 3 --out out.npz --scale 2",
        "sample MODEL 3 --out out.jpg",
        "sample MODEL 3 --out out",
        "gif MODEL 11",
        "gif MODEL 3 --fps 0",
        "gif MODEL 3 --fps 200",
        "gif MODEL 3 --fps -1",
        "gif MODEL 3 --fps nan",
        "gif MODEL 3 --steps 0",
        "gif MODEL 3 --frames 1",
        "gif MODEL 3 --scale 0",
        "gif MODEL 3 --hold -1",
        "forward digits 0 1.5",
        "forward digits -0.1",
        "forward digits --label 11",
        "forward digits --number 100000",
        "forward digits --number -1",
        "forward digits --out out.jpg",
        "info nowhere",
        "info nowhere.toml",
        "train nowhere.toml",
        "train --steps 0",
        "train --learning-rate nan",
        "train --label-dropout 1.5",
        "train --seed -1",
        "train --batch 2 --accumulate 3",
        "train --curriculum-until 0.3",
        "train --optimizer adam --weight-decay 0.1",
        "train --sampler consistency",
        "train digits-fast --sampler heun",
        "train digits-fast-refined --optimizer adamw",
        "train digits-refined --reference nowhere",
        "train digits-fast --teacher nowhere",
        "train --fit pad",
        "train --schedule linear",
        "train --precision fp16",
        "train --resume nowhere",
        "train --groups 5",
        "train --size 30",
    ],
)
def test_a_bad_value_is_refused_and_leaves_no_file_behind(words, model, cli, folder, monkeypatch):
    if words.startswith(("train", "forward")):
        # Refusals must not depend on reading all of MNIST, which takes a second each.
        size = 30 if "30" in words else 28
        data = mezzotint.ImageData(
            torch.zeros(10, 1, size, size, dtype=torch.uint8), torch.arange(10), tuple("0123456789")
        )
        monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": data)
    status, printed = cli(*words.replace("MODEL", str(model)).split())
    assert status != 0
    assert printed.strip()
    assert "Traceback" not in printed
    assert list(folder.rglob("*")) == []


def test_a_failing_command_leaves_an_older_file_as_it_was(model, cli):
    Path("a.png").write_bytes(b"older")
    assert cli("sample", model, "--steps", 0, "--out", "a.png")[0] == 1
    assert Path("a.png").read_bytes() == b"older"


# train


def test_train_passes_flags_on_by_their_short_and_their_long_names(cli, trained):
    flags = [
        "--steps",
        7,
        "--sampling.steps",
        5,
        "--learning-rate",
        0.5,
        "--training.ema",
        0,
        "--seed",
        3,
        "--compile",
        "--sampling.no-clip",
        "--interval",
        0.2,
        0.8,
    ]
    assert cli("train", "ddpm", *flags)[0] == 0
    assert trained == [
        mezzotint.as_recipe(
            DDPM,
            {
                "seed": 3,
                "training": {"steps": 7, "learning_rate": 0.5, "ema": 0.0, "compile": True},
                "sampling": {"steps": 5, "clip": False, "interval": [0.2, 0.8]},
            },
        )
    ]


@pytest.mark.parametrize("flags", [["--net", "unet"], ["--net.name", "unet"], ["--net=unet"]])
def test_train_changes_the_kind_of_network_and_its_own_flags(flags, cli, trained):
    status, printed = cli("train", *flags, "--depth", 2)
    assert status == 0, printed
    assert trained[0].net == UNet(depth=2)


@pytest.mark.parametrize(
    "words", [["ddpm", "--batch", "8"], ["--batch", "8", "ddpm"], ["--batch=8", "ddpm"]]
)
def test_train_takes_the_recipe_that_is_named_wherever_it_is_named(words, cli, trained):
    status, printed = cli("train", *words)
    # A recipe named late may be refused, but never passed over in silence.
    if status == 0 or words[0] == "ddpm":
        assert trained == [mezzotint.as_recipe("ddpm", {"training": {"batch": 8}})]
    else:
        assert "ddpm" in printed


def test_train_takes_a_recipe_file_with_a_base(cli, trained):
    Path("mine.toml").write_text('base = "ddpm"\n[training]\nsteps = 9\n[net]\ndepth = 3\n')
    assert cli("train", "mine.toml", "--batch", 4)[0] == 0
    changes = {"name": "mine", "training": {"steps": 9, "batch": 4}, "net": {"depth": 3}}
    assert trained == [mezzotint.as_recipe("ddpm", changes)]


@pytest.mark.parametrize(
    ("text", "word", "meant"),
    [
        ("[training]\nstpes = 9\n", "training.stpes", "steps"),
        ("[trainning]\nsteps = 9\n", "trainning", "training"),
        ('base = "ddmp"\n', "ddmp", "ddpm"),
        ('[objective]\nloss = "hubber"\n', "hubber", "huber"),
        ('[net]\nname = "unett"\n', "unett", "unet"),
    ],
)
def test_a_misspelt_recipe_file_is_refused_with_the_nearest_match(text, word, meant, cli, trained):
    Path("mine.toml").write_text(text)
    status, printed = cli("train", "mine.toml")
    assert status == 1
    assert word in printed
    assert f"Did you mean '{meant}'" in printed
    assert trained == []


def test_a_recipe_file_that_is_no_toml_is_refused_by_name(cli, trained):
    Path("mine.toml").write_text("steps = = 3")
    status, printed = cli("train", "mine.toml")
    assert status == 1
    assert "mine.toml is not valid TOML" in printed
    assert trained == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run of four steps on MNIST itself, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("runs") / "mine", io.StringIO()
    words = ["train", "digits", "--steps", "4", "--log-every", "2", *TINY, "--out", str(folder)]
    with redirect_stdout(printed), redirect_stderr(printed), pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code, printed.getvalue()
    return folder, printed.getvalue()


def test_train_ends_with_a_model_and_says_where_it_is(run, cli):
    folder, printed = run
    assert "60,000 images of 28x28x1" in printed
    assert f"done: {folder}" in printed
    assert f"mezzotint sample {folder} 7" in printed
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    for name in ("recipe.toml", "metrics.jsonl", "loss.png", "checkpoints", "samples"):
        assert (folder / name).exists()
    assert size_of(folder / "samples" / "step-00000004.png")[0] > 28 * 10
    assert (folder / "model.safetensors").is_file()
    assert cli("sample", folder, 7, "--out", "a.png")[0] == 0
    assert size_of("a.png") == (4 * 32, 4 * 32)


def test_train_never_overwrites_a_run(run, cli):
    folder, _ = run
    before = (folder / "model.safetensors").read_bytes()
    status, printed = cli("train", "--out", folder)
    assert status == 1
    assert "never overwritten" in printed
    assert (folder / "model.safetensors").read_bytes() == before


def test_train_refuses_to_resume_with_a_changed_flag_and_names_it(run, cli):
    folder, _ = run
    status, printed = cli("train", "--resume", folder, "--batch", 16)
    assert status == 1
    assert "training.batch: 8 -> 16" in printed
    assert printed.count("->") == 1


@pytest.mark.parametrize("form", ["--resume {}", "--resume={}"])
def test_train_resumes_with_the_runs_own_recipe(form, run, cli, trained):
    folder, _ = run
    status, printed = cli("train", *form.format(folder).split())
    assert status == 0, printed
    assert trained == [weights.read(folder / "model.safetensors")[1]]


def test_a_recipe_named_beside_the_run_to_resume_is_not_passed_over_in_silence(run, cli, trained):
    folder, _ = run
    status, printed = cli("train", "ddpm", "--resume", folder)
    assert status != 0 or trained == [DDPM], printed


# --- help, tracebacks, completion -----------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_examples_stand_in_lines_of_their_own_and_sentences_are_not_broken(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    words = capsys.readouterr().out.partition("╭")[0].strip().splitlines()
    examples = [line for line in words if "mezzotint " in line and line.startswith("$ ")]
    assert examples
    assert not [line for line in words if line.startswith(("mezzotint", "    mezzotint"))]
    prose = [line for line in words if line and not line.startswith(("$ ", "Usage"))]
    assert all(line.rstrip()[-1] in ".:" for line in prose), prose


@pytest.mark.parametrize("asked", ["flag", "environment", "no"])
def test_an_error_comes_with_its_traceback_where_that_is_asked_for(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sample", "nowhere"]
    if asked == "flag":
        words.append("--debug")
    if asked == "environment":
        monkeypatch.setenv("MEZZOTINT_DEBUG", "1")
    with pytest.raises(
        SystemExit if asked == "no" else FileNotFoundError, match="no model at nowhere"
    ):
        main(words)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("words of our own"), "words of our own"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_is_said_in_a_line_whatever_it_holds(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tokens: object) -> None:
        raise error

    monkeypatch.setattr("mezzotint.cli.make_app", fails)
    with pytest.raises(SystemExit) as stopped:
        main(["info", "x"])
    assert stopped.value.code == f"mezzotint: {said}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb_and_its_flags(shell: Any) -> None:
    script = make_app(["--install-completion"]).generate_completion(shell=shell)
    for word in (*VERBS, "label-dropout", "stages", "beta", "guidance"):
        assert word in script, word


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_compiled_code_makes_an_error_of_is_a_signal_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """Torch says then that it "could not determine the shape of object type"."""

    def app(tokens: list[str]) -> None:
        try:
            os.kill(os.getpid(), number)
        except (KeyboardInterrupt, SystemExit):
            raise ValueError("could not determine the shape of object type") from None

    monkeypatch.setattr("mezzotint.cli.make_app", lambda tokens: app)
    with pytest.raises(SystemExit) as ended:
        main(["sample"])
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == ""
