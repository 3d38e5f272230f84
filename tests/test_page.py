"""The page that runs models in the browser, without a browser: its files, its runtime, its mathematics."""

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common import few_step_recipe, tiny_recipe
from machines import COMMAND, environment
from mezzotint.build import make_denoiser
from mezzotint.cli import main
from mezzotint.data import ImageSpec
from mezzotint.export import page as page_module
from mezzotint.export import runtime
from mezzotint.export.description import LIMITS
from mezzotint.export.onnx import describe
from mezzotint.export.page import BROWSER, MARK, PAGE, SERVER, export_page
from mezzotint.model import Model
from mezzotint.samplers import ImageNoise
from mezzotint.utils import pixels
from models import model_for, random_model_file

NODE = shutil.which("node")
with_node = pytest.mark.skipif(NODE is None, reason="node is not installed")

RUNTIME = {"ort.wasm.bundle.min.mjs": b"code", "ort.wasm": b"\0asm", "licence-x.txt": b"MIT"}


# --- The files of a page.


@pytest.fixture
def quick(monkeypatch):
    """A stand-in for the ONNX export and the runtime, which have tests of their own."""

    def write(model, path, **_):
        path.write_bytes(b"ONNX" + json.dumps(describe(model, "weights")).encode())

    monkeypatch.setattr(page_module, "export_onnx", write)
    monkeypatch.setattr(page_module, "runtime_files", lambda package: dict(RUNTIME))


def tiny(classes=("0", "1", "2")):
    """A model that is described and never evaluated."""
    model = model_for("dpm++")
    return replace(model, spec=ImageSpec((8, 8), 1, tuple(classes)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Scripts(HTMLParser):
    """The elements of a page, and the content of its scripts by their id."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.scripts = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")


def parsed(path):
    scripts = Scripts()
    scripts.feed(path.read_text(encoding="utf-8"))
    return scripts


@pytest.mark.usefixtures("quick")
def test_a_page_of_several_files_has_all_that_it_names(tmp_path):
    export_page({"a": tiny(), "b c": tiny()}, tmp_path / "page")
    files = contents(tmp_path / "page")
    assert set(files) == {
        *["index.html", "style.css", MARK, "a.onnx", "b c.onnx", *BROWSER, *RUNTIME]
    }
    scripts = parsed(tmp_path / "page" / "index.html").scripts
    linked = [attributes["src"] for attributes, _ in scripts if "src" in attributes]
    assert linked == list(BROWSER)
    (models,) = [text for attributes, text in scripts if attributes.get("id") == "models"]
    assert json.loads(models) == ["a.onnx", "b c.onnx"]
    (limits,) = [text for attributes, text in scripts if attributes.get("id") == "limits"]
    assert json.loads(limits) == {
        **{name: list(ends) for name, ends in LIMITS.items()},
        "seed": ["0", str(2**63 - 1)],
    }
    early = re.findall(
        rb'<link rel="preload" href="([^"]+)" as="fetch" crossorigin>', files["index.html"]
    )
    assert {name.decode() for name in early} == {
        "ort.wasm",
        "ort.wasm.bundle.min.mjs",
        "a.onnx",
        "b c.onnx",
    }
    assert not re.search(rb"https?://(?!www\.w3\.org)", files["index.html"] + files["style.css"])


@pytest.mark.usefixtures("quick")
def test_a_single_file_holds_the_same_bytes(tmp_path):
    export_page({"a": tiny()}, tmp_path / "many")
    export_page({"a": tiny()}, tmp_path / "one", single_file=True)
    assert set(contents(tmp_path / "one")) == {"index.html", MARK}
    many = contents(tmp_path / "many")
    scripts = parsed(tmp_path / "one" / "index.html").scripts
    inlined = {
        attributes["id"].removeprefix("file:"): gzip.decompress(b64decode(text))
        for attributes, text in scripts
        if attributes.get("id", "").startswith("file:")
    }
    assert set(inlined) == {"a.onnx", "ort.wasm", "ort.wasm.bundle.min.mjs"}
    for name, content in inlined.items():
        assert content == many[name]
    codes = [text for attributes, text in scripts if not attributes]
    assert [text.encode().lstrip() for text in codes] == [many[name] for name in BROWSER]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("single_file", [False, True])
@pytest.mark.parametrize(
    "word", ["</script><img src=x>", "<!--<script>", "\u2028", "\"'&amp;", "é"]
)
def test_no_name_of_a_class_or_of_a_model_breaks_out(word, single_file, tmp_path):
    model = tiny((word, "1", "2"))
    model = replace(model, recipe=replace(model.recipe, name=word))
    export_page({"a": tiny()}, tmp_path / "plain", single_file=single_file)
    export_page({"a": model}, tmp_path / "page", single_file=single_file)
    tags = parsed(tmp_path / "page" / "index.html").tags
    assert tags == parsed(tmp_path / "plain" / "index.html").tags


@pytest.mark.parametrize(
    "name", ["</script>", "a/b", "../a", "", ".", "con", "a#b", "a?b", "a%20b", "a\nb", "a\\b", "~"]
)
@pytest.mark.usefixtures("quick")
def test_a_model_whose_name_cannot_be_a_file_is_refused(name, tmp_path):
    if name == "~":
        export_page({name: tiny()}, tmp_path / "page")
        return
    with pytest.raises(ValueError, match="cannot be the name of a file: call the model"):
        export_page({name: tiny()}, tmp_path / "page")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*BROWSER, *SERVER])
def test_no_script_ends_the_element_that_it_stands_in(name):
    text = (PAGE / name).read_text(encoding="utf-8")
    assert not re.search(r"</script|<!--|<script", text, re.IGNORECASE)


@pytest.mark.usefixtures("quick")
def test_an_earlier_page_is_replaced_and_anything_else_is_kept(tmp_path):
    out = tmp_path / "page"
    export_page({"a": tiny(), "old": tiny()}, out)
    export_page({"b": tiny()}, out, single_file=True)
    assert set(contents(out)) == {"index.html", MARK}
    (out / "CNAME").write_text("mine.example")
    before = contents(out)
    with pytest.raises(ValueError, match=r"holds other files, such as CNAME: name a new folder"):
        export_page({"a": tiny()}, out)
    assert contents(out) == before
    (out / "CNAME").unlink()
    export_page({"a": tiny()}, out)
    assert "a.onnx" in contents(out)
    assert {path.name for path in tmp_path.iterdir()} == {"page"}


@pytest.mark.parametrize("mark", [None, "", "{}", "[]", '{"files": 3}', '{"models": ["a"]}'])
@pytest.mark.usefixtures("quick")
def test_a_folder_of_something_else_is_refused(mark, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="holds other files"):
        export_page({"a": tiny()}, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("out", [".", "..", "../here"])
@pytest.mark.usefixtures("quick")
def test_the_folder_that_one_is_in_is_refused(out, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="is the folder that you are in, or around it"):
        export_page({"a": tiny()}, page_module.Path(out))


@pytest.mark.usefixtures("quick")
def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to("place")
    export_page({"a": tiny()}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert "index.html" in contents(tmp_path / "place")
    assert {path.name for path in tmp_path.iterdir()} == {"place", "link"}


def test_nothing_is_written_if_a_model_cannot_be_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "runtime_files", lambda package: dict(RUNTIME))
    small = replace(model_for("dpm++"), spec=ImageSpec((3, 5), 1, ("0",)))
    for models, words in (
        ({}, "name at least one model"),
        ({"good": tiny(), "small": small}, "small has images of fewer than 16 values"),
    ):
        with pytest.raises(ValueError, match=words):
            export_page(models, tmp_path / "page")
    diffusion = replace(tiny().recipe.diffusion, parametrization="mine")
    own = replace(tiny(), recipe=replace(tiny().recipe, diffusion=diffusion))
    with pytest.raises(ValueError, match="own predicts 'mine', a part of your own"):
        export_page({"own": own}, tmp_path / "page")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
def test_a_failure_in_the_middle_leaves_the_earlier_page(tmp_path, monkeypatch):
    export_page({"a": tiny()}, tmp_path / "page")
    before = contents(tmp_path / "page")

    def broken(*_, **__):
        raise ValueError("differs from torch's")

    monkeypatch.setattr(page_module, "export_onnx", broken)
    with pytest.raises(ValueError, match="differs"):
        export_page({"a": tiny(), "b": tiny()}, tmp_path / "page")
    assert contents(tmp_path / "page") == before


@pytest.mark.usefixtures("quick")
def test_two_models_of_one_name_are_both_in_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in ("one/mine", "two/mine", "one/v1.5"):
        random_model_file(tmp_path / run / "model.safetensors")
    with pytest.raises(SystemExit, match="0"):
        main(["export", "page", "one/mine", "two/mine", "one/v1.5", "digits", "--out", "page"])
    found = sorted(path.stem for path in (tmp_path / "page").glob("*.onnx"))
    assert found[0] == "digits"
    assert found[1].startswith("one_mine-")
    assert found[2].startswith("two_mine-")
    assert found[3] == "v1.5"
    with pytest.raises(SystemExit, match="two of one name: name each once"):
        main(["export", "page", "digits", "digits", "--out", "other"])
    assert not (tmp_path / "other").exists()


# --- The runtime.


def package(path, files):
    """A package as npm packs it, with these files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


RIGHT = {runtime.CODE: b"export {}" + os.urandom(9000), runtime.BINARY: b"\0asm" + os.urandom(9000)}


@pytest.fixture
def pinned(monkeypatch, tmp_path):
    """A small package in the place of the real one, an empty cache, and no network and no npm."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in RIGHT.items()}
    monkeypatch.setattr(runtime, "SHA256", hashes)
    monkeypatch.setattr(runtime, "URLS", ("http://127.0.0.1:9/nothing.tgz",))
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return package(tmp_path / "right.tgz", RIGHT)


def test_a_package_at_hand_is_taken_with_its_licence(pinned):
    files = runtime.runtime_files(pinned)
    assert files["ort.wasm.bundle.min.mjs"] == RIGHT[runtime.CODE]
    assert files["ort.wasm"] == RIGHT[runtime.BINARY]
    licence = files["licence-onnxruntime-web.txt"].decode()
    assert runtime.VERSION in licence
    assert all(value in licence for value in runtime.SHA256.values())


def test_a_package_that_the_disk_does_not_give_is_named(pinned, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised:
        runtime.runtime_files(pinned)
    assert raised.value.filename == str(pinned)


@pytest.mark.parametrize("place", [0, 5, 20, 400, 2000, 9000, 15_000, -9, -2])
def test_a_package_with_a_flipped_byte_is_refused_in_words_or_does_no_harm(place, pinned, tmp_path):
    content = bytearray(pinned.read_bytes())
    content[place] ^= 0x55
    broken = tmp_path / "broken.tgz"
    broken.write_bytes(content)
    found = files_or_words(broken)
    if isinstance(found, str):
        assert re.search("broken.tgz.* is not (the package|that of)", found)
    else:  # the byte carries nothing
        assert found["ort.wasm"] == RIGHT[runtime.BINARY]
        assert found["ort.wasm.bundle.min.mjs"] == RIGHT[runtime.CODE]


def files_or_words(path):
    try:
        return runtime.runtime_files(path)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a package",
        gzip.compress(b"not an archive"),
        gzip.compress(bytes(10_240)),
    ],
    ids=["empty", "text", "no archive", "empty archive"],
)
def test_a_file_that_is_no_package_is_refused_in_words(content, pinned, tmp_path):
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x.tgz is not the package onnxruntime-web"):
        runtime.runtime_files(tmp_path / "x.tgz")


def test_a_package_that_is_cut_or_of_another_version_is_refused(pinned, tmp_path):
    whole = pinned.read_bytes()
    for length in range(10, len(whole) - 20, len(whole) // 25):
        (tmp_path / "cut.tgz").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut.tgz.* is not (the package|that of)"):
            runtime.runtime_files(tmp_path / "cut.tgz")
    other = package(tmp_path / "other.tgz", {**RIGHT, runtime.CODE: b"export {}"})
    with pytest.raises(ValueError, match=r"bundle.min.mjs is not that of onnxruntime-web 1\."):
        runtime.runtime_files(other)
    lacking = package(tmp_path / "lacking.tgz", {runtime.CODE: RIGHT[runtime.CODE]})
    with pytest.raises(ValueError, match=r"lacking.tgz is not the package"):
        runtime.runtime_files(lacking)


def test_a_package_that_is_not_there_is_said(pinned, tmp_path):
    with pytest.raises(FileNotFoundError):
        runtime.runtime_files(tmp_path / "nothing.tgz")
    with pytest.raises(IsADirectoryError):
        runtime.runtime_files(tmp_path)


def test_without_network_and_npm_it_is_said_how_to_get_the_package(pinned):
    with pytest.raises(FileNotFoundError) as refusal:
        runtime.runtime_files()
    words = str(refusal.value)
    assert f"npm pack onnxruntime-web@{runtime.VERSION}" in words
    assert "--runtime" in words
    assert "--data.folder" not in words
    assert "127.0.0.1" in words


def test_a_damaged_package_in_the_cache_is_fetched_again_by_npm(pinned, tmp_path):
    cached = tmp_path / "cache" / "runtime" / runtime.PACKAGE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n/bin/cp {pinned} {runtime.PACKAGE}\n")
    npm.chmod(0o755)
    assert runtime.runtime_files()["ort.wasm"] == RIGHT[runtime.BINARY]
    assert cached.read_bytes() == pinned.read_bytes()
    npm.write_text("#!/bin/sh\nexit 1\n")
    assert runtime.runtime_files()["ort.wasm"] == RIGHT[runtime.BINARY]


def test_the_command_says_it_in_a_line_and_writes_nothing(tmp_path):
    (tmp_path / "x.tgz").write_bytes(b"not a package")
    command = [*COMMAND, "export", "page", "digits-fast", "--out", "page", "--runtime", "x.tgz"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert re.fullmatch("mezzotint: x.tgz is not the package onnxruntime-web .*\n", ended.stderr)
    assert not (tmp_path / "page").exists()


# --- Noise and samplers, in JavaScript and in Python.


def in_node(script, given):
    """What a script prints as JSON, after noise.js and sampler.js; ``given`` is its input."""
    code = [(PAGE / name).read_text(encoding="utf-8") for name in ("noise.js", "sampler.js")]
    code = [text.replace('"use strict";', "") for text in code]
    start = "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
    ended = subprocess.run(
        [NODE, "-e", "\n".join([*code, start, script])],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


SEEDS = [0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1]
NUMBERS = [0, 1, 99, 2**31, 2**32 - 1]
SIZES = [16, 17, 31, 32, 75, 784, 3072]


@with_node
def test_the_noise_is_pythons():
    cases = [
        {"seed": str(seed), "number": number, "size": size}
        for seed, number, size in [
            *product(SEEDS, NUMBERS, [75]),
            *product([5], [3], SIZES),
        ]
    ]
    script = """
    console.log(JSON.stringify(given.map(({ seed, number, size }) => {
      const noise = batchNoise(seed, [number], size);
      return [0, 1, 2].map(() => Array.from(noise()));
    })));
    """
    for case, found in zip(cases, in_node(script, cases), strict=True):
        number = case["number"]
        shape = (1, 1, case["size"])
        noise = ImageNoise(int(case["seed"]), range(number, number + 1), shape, torch.device("cpu"))
        right = np.stack([noise().numpy().reshape(-1) for _ in range(3)])
        np.testing.assert_allclose(found, right, atol=1e-6, rtol=1e-6)


class Linear(nn.Module):
    """A network that is a straight line in the image, and knows time and labels."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x, timestep, labels=None):
        wave = torch.arange(x[0].numel(), dtype=torch.float64).sin().reshape(x[0].shape)
        output = 0.3 * x.double() + 0.2 * (timestep.double() / 100).cos()[:, None, None, None]
        if labels is not None:
            if not labels.is_floating_point():
                labels = nn.functional.one_hot(labels, self.classes)
            sums = labels.double() @ torch.arange(1, self.classes + 1, dtype=torch.float64)
            output = output + 0.1 * sums[:, None, None, None] * wave
        return output.float()


NETWORK = """
const run = async (x, timestep, weights, count) => {
  const size = x.length / count;
  return Float32Array.from(x, (value, i) => {
    const k = Math.floor(i / size);
    let output = 0.3 * value + 0.2 * Math.cos(timestep[k] / 100);
    if (weights) {
      const classes = weights.length / count;
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += weights[k * classes + c] * (c + 1);
      output += 0.1 * sum * Math.sin(i % size);
    }
    return output;
  });
};
for (const name of ["image", "mask"]) {
  if (given.request[name]) given.request[name] = Uint8Array.from(given.request[name]);
}
(async () => {
  const steps = [];
  for await (const { x, x0, t } of stepsOf(given.about, run, given.request)) {
    steps.push({ x: Array.from(x), x0: Array.from(x0), t });
  }
  console.log(JSON.stringify(steps));
})();
"""

SPEC = ImageSpec((4, 5), 2, ("a", "b", "c"))
IMAGE = [(7 * k * k + 3 * k) % 256 for k in range(40)]
SQUARE = [int(k % 5 > 1 and k > 4) for k in range(20)]


def linear_model(few_step=False, spec=SPEC, **changes):
    """A model with the straight network."""
    recipe = few_step_recipe(**changes) if few_step else tiny_recipe(**changes)
    denoiser = make_denoiser(recipe.diffusion, Linear(len(spec.classes)))
    return Model(recipe, spec, denoiser, torch.device("cpu"))


def table(schedule, parametrization, timesteps=100, **sampling):
    diffusion = {
        "schedule": schedule,
        "timesteps": timesteps,
        "parametrization": parametrization,
    }
    return {"diffusion": diffusion, "sampling": sampling}


KINDS = {
    "flow": {},
    "flow-x0": {"diffusion": {"parametrization": "x0"}},
    "flow-unclipped": {"sampling": {"clip": False}},
    "flow-interval": {"sampling": {"interval": (0.2, 0.6)}},
    "linear-eps": table("linear", "eps", 1000),
    "cosine-v": table("cosine", "v"),
    "original": table("original-linear", "eps", 200, clip=False),
    "cosine-x0-karras": table("cosine", "x0", grid="karras:rho=5"),
}
REQUEST = {
    "task": "generate",
    "labels": [2, 0],
    "count": 2,
    "seed": "0",
    "steps": 6,
    "sampler": "dpm++",
    "guidance": 1,
}


def image_and_mask(spec):
    image = torch.tensor(IMAGE, dtype=torch.uint8).reshape(spec.shape)
    return image, torch.tensor(SQUARE, dtype=torch.bool).reshape(spec.size)


def python_steps(model, request):
    """What Python does for a request of the page."""
    options = {"steps": request["steps"], "seed": int(request["seed"])}
    if model.spec.classes:
        options["guidance"] = request["guidance"]
    sampler = {"sampler": request["sampler"]}
    image, mask = image_and_mask(model.spec)
    labels = [label for label in request["labels"] for _ in range(request["count"])] or None
    count = None if labels else request["count"]
    match request["task"]:
        case "generate":
            return model.denoise(labels, count=count, **options, **sampler)
        case "edit":
            edit = model.image_to_image(image, request["strength"])
            return model.denoise(labels, count=count, edit=edit, **options, **sampler)
        case "inpaint":
            few_step = model.recipe.few_step
            edit = model.inpainting(image, mask, "replace" if few_step else "repaint")
            own = sampler if few_step else {}
            return model.denoise(labels, count=count, edit=edit, **options, **own)
        case "morph":
            start = request["labels"][0] if request["labels"] else None
            return model.morph_steps(
                start,
                request["end"],
                frames=request["frames"],
                end_seed=int(request["endSeed"]),
                **options,
                **sampler,
            )


def check_same_steps(model, request):
    right = list(python_steps(model, request))
    about = describe(model, "weights")
    if str(request["steps"]) not in about["grids"]:
        pytest.fail(f"there is no grid of {request['steps']} steps")
    found = in_node(NETWORK, {"about": about, "request": request})
    assert [step["t"] for step in found] == pytest.approx([step.t for step in right], abs=1e-12)
    for step, other in zip(found, right, strict=True):
        for name in ("x", "x0"):
            expected = getattr(other, name).numpy().reshape(-1)
            np.testing.assert_allclose(step[name], expected, atol=1e-4, rtol=0)


@with_node
@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ddpm"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_takes_pythons_steps(kind, sampler):
    check_same_steps(linear_model(**KINDS[kind]), {**REQUEST, "sampler": sampler, "guidance": 1.7})


@with_node
@pytest.mark.parametrize("steps", [1, 2, 24])
def test_a_distilled_model_jumps_as_in_python(steps):
    request = {**REQUEST, "sampler": "consistency", "steps": steps, "guidance": 0.5}
    check_same_steps(linear_model(few_step=True), request)


EDITS = {
    "edit": {"task": "edit", "image": IMAGE, "strength": 0.5},
    "edit-0": {"task": "edit", "image": IMAGE, "strength": 0},
    "edit-1": {"task": "edit", "image": IMAGE, "strength": 1},
    "edit-little": {"task": "edit", "image": IMAGE, "strength": 0.07},
    "inpaint": {"task": "inpaint", "image": IMAGE, "mask": SQUARE, "steps": 3},
    "morph": {"task": "morph", "labels": [2], "end": 0, "endSeed": "5", "frames": 5},
    "morph-one-seed": {"task": "morph", "labels": [2], "end": 0, "endSeed": "0", "frames": 4},
    "morph-one-class": {"task": "morph", "labels": [1], "end": 1, "endSeed": "5", "frames": 2},
}


@with_node
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("kind", ["flow", "cosine-v", "few-step"])
def test_every_edit_takes_pythons_steps(kind, edit):
    few_step = kind == "few-step"
    model = linear_model(few_step=few_step, **({} if few_step else KINDS[kind]))
    sampler = "consistency" if few_step else "ddpm"
    check_same_steps(model, {**REQUEST, "sampler": sampler, "guidance": 2, **EDITS[edit]})


@with_node
@pytest.mark.parametrize(
    "changes", [{}, {"labels": [], "seed": str(2**63 - 1)}], ids=["all", "none"]
)
@pytest.mark.parametrize("classes", [("a", "b", "c"), ()], ids=["classes", "no-classes"])
def test_pictures_without_a_class_are_pythons(classes, changes):
    model = linear_model(spec=replace(SPEC, classes=classes))
    request = {**REQUEST, "guidance": 3, **changes}
    if not classes:
        request = {**request, "labels": []}
        morph = {**EDITS["morph"], "labels": [], "end": None}
        check_same_steps(model, {**request, **morph})
    check_same_steps(model, request)


@with_node
def test_a_strength_that_leaves_too_few_times_is_said_as_in_python():
    model = linear_model(**table("cosine", "v", 10))
    request = {**REQUEST, **EDITS["edit-little"], "sampler": "ddim"}
    with pytest.raises(ValueError, match=r"strength = 0.07 leaves 1 of the 10 time steps"):
        python_steps(model, request)
    script = NETWORK.replace(
        "})();", "})().catch((error) => console.log(JSON.stringify(error.message)));"
    )
    words = in_node(script, {"about": describe(model, "weights"), "request": request})
    assert words == "A strength of 0.07 leaves fewer time steps than 6."


@with_node
def test_bytes_are_pythons():
    values = torch.cat([torch.linspace(-1.2, 1.2, 5001), torch.arange(511) / 255 - 1])
    found = in_node("console.log(JSON.stringify(given.map(toByte)));", values.tolist())
    assert found == pixels.to_uint8(values).tolist()
    everything = list(range(256))
    back = in_node("console.log(JSON.stringify(Array.from(toFloat(given))));", everything)
    assert back == pixels.to_float(torch.tensor(everything, dtype=torch.uint8)).tolist()
