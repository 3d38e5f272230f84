"""A page for the browser: what is written, what is refused, and where the runtime comes from."""

import gzip
import hashlib
import io
import json
import re
import tarfile

import pytest
import torch

import mezzotint.export.page as page
import mezzotint.export.runtime as runtime
from common import few_step_recipe, tiny_recipe
from mezzotint.data import ImageSpec
from mezzotint.export.page import MARK, export_page
from mezzotint.loading import from_parts
from models import random_weights


def tiny(recipe, size=8, classes=tuple("0123456789")):
    spec = ImageSpec((size, size), 1, classes)
    return from_parts(recipe, spec, random_weights(recipe, spec), torch.device("cpu"))


@pytest.fixture
def quick(monkeypatch):
    """The exporter and the runtime stand aside: what they make is tested elsewhere."""

    def export(model, out, **kwargs):
        out.write_bytes(model.recipe.name.encode())

    files = {"ort.wasm": b"wasm", "licence-onnxruntime-web.txt": b"MIT"}
    monkeypatch.setattr(page, "export_onnx", export)
    monkeypatch.setattr(page, "runtime_files", lambda package: dict(files))


def test_a_folder_has_all_that_its_page_names(quick, tmp_path):
    export_page({"one": tiny(tiny_recipe()), "two": tiny(few_step_recipe())}, tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="([^"#:]+)"', text):
        assert (tmp_path / "page" / name).is_file(), name
    models = json.loads(re.search(r'id="models">(.*?)</script>', text)[1])
    assert models == ["one.onnx", "two.onnx"]
    assert all((tmp_path / "page" / name).is_file() for name in models)
    assert "http:" not in text.replace("http://www.w3.org", "")
    assert "https:" not in text


def test_a_single_file_has_everything_in_it(quick, tmp_path):
    export_page({"one": tiny(tiny_recipe())}, tmp_path / "page", single_file=True)
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"index.html", MARK}
    text = (tmp_path / "page" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    packed = re.search(r'id="file:ort.wasm">(.*?)</script>', text)[1]
    import base64

    assert gzip.decompress(base64.b64decode(packed)) == b"wasm"
    assert "<!--\nMIT-->" in text


def test_names_cannot_break_out_of_the_page(quick, tmp_path):
    name = "</script><script>alert(1)</script>"
    export_page({name.replace("/", ""): tiny(tiny_recipe())}, tmp_path / "page", single_file=True)
    text = (tmp_path / "page" / "index.html").read_text()
    assert "alert(1)</script>" not in text.replace("<\\/", "")
    assert "<script><script>" not in text


def test_an_earlier_page_is_replaced_and_anything_else_is_left_alone(quick, tmp_path):
    out = tmp_path / "page"
    export_page({"one": tiny(tiny_recipe())}, out)
    export_page({"two": tiny(tiny_recipe())}, out)
    assert not (out / "one.onnx").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        export_page({"one": tiny(tiny_recipe())}, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_models_that_the_page_could_not_draw_with_are_refused(quick, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="at least one model"):
        export_page({}, tmp_path / "page")
    monkeypatch.setattr(page, "known_parametrization", lambda name: False)
    with pytest.raises(ValueError, match="a part of your own"):
        export_page({"one": tiny(tiny_recipe())}, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def package(path, contents):
    """A package as npm packs it."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def contents(monkeypatch, tmp_path):
    """Stand-ins for the runtime's files, whose hashes are the right ones."""
    files = {runtime.CODE: b"code", runtime.BINARY: b"binary"}
    right = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(runtime, "SHA256", right)
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    return files


def test_the_runtime_comes_with_its_licence_and_hashes(contents, tmp_path):
    files = runtime.runtime_files(package(tmp_path / "x.tgz", contents))
    licence = files.pop("licence-onnxruntime-web.txt").decode()
    assert files == {"ort.wasm.bundle.min.mjs": b"code", "ort.wasm": b"binary"}
    assert "MIT License" in licence
    assert all(value in licence for value in runtime.SHA256.values())


@pytest.mark.parametrize("fault", ["other", "missing", "cut", "text"])
def test_another_package_is_refused_by_name(contents, tmp_path, fault):
    path = package(tmp_path / "x.tgz", contents)
    match fault:
        case "other":
            package(path, {**contents, runtime.CODE: b"evil"})
        case "missing":
            package(path, {runtime.CODE: b"code"})
        case "cut":
            path.write_bytes(path.read_bytes()[:40])
        case "text":
            path.write_text("hello")
    with pytest.raises(ValueError, match=r"x\.tgz"):
        runtime.runtime_files(path)


def test_it_is_fetched_once_and_checked(contents, tmp_path, monkeypatch):
    source = package(tmp_path / "source.tgz", contents)
    asked = []

    def fetch(path, urls, check):
        if not path.is_file():
            asked.append(urls)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
        check(path)
        return path

    monkeypatch.setattr(runtime, "fetch", fetch)
    runtime.runtime_files()
    runtime.runtime_files()
    assert asked == [runtime.URLS]


def test_where_it_cannot_be_had_what_to_do_is_said(contents, monkeypatch):
    monkeypatch.setattr(runtime, "URLS", ("http://127.0.0.1:9/none.tgz",))
    with pytest.raises(FileNotFoundError, match="npm pack onnxruntime-web"):
        runtime.runtime_files()
