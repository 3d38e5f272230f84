"""A page that runs models in the visitor's own browser, without a server behind it.

Network, noise and samplers give what Python gives, for the same seed. Everything comes from the page itself:
nothing is fetched from anywhere else, and nothing is sent.
"""

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..model import Model
from ..recipe.fields import RecipeError
from ..utils.assets import ASSETS, read_asset
from ..utils.classes import file_names
from ..utils.files import read_bytes, whole_folder
from ..utils.json_text import parse_json
from ..utils.output import replaced_folder
from .description import LIMITS, MOST_SEED, known_parametrization
from .onnx import export_onnx
from .runtime import RUNTIME_BINARY, RUNTIME_CODE, runtime_files

PAGE = ASSETS / "page"
SHARED = ("easel.js", "film.js", "settings.js")
BROWSER = ("noise.js", "sampler.js", *SHARED, "engine-browser.js", "page.js")
"""Scripts of a page without a server, in their order."""
SERVER = (*SHARED, "engine-server.js", "page.js")
"""Scripts of the studio's page, in their order."""

MARK = "mezzotint-page.json"
"""The file by which an earlier export is known, so that it may be replaced."""

SECURITY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' blob: data:;"
    " base-uri 'none'; form-action 'none'"
)
"""What the page may load: nothing but itself."""


def export_page(
    models: Mapping[str, Model],
    out: Path,
    *,
    single_file: bool = False,
    runtime: Path | None = None,
) -> None:
    """Write a page that runs models.

    Args:
        models: by the names that the page shows; on the CPU.
        out: folder to write: a new or empty one, or one of an earlier export.
        single_file: everything in one ``index.html``, which opens from a disk too.
        runtime: the package onnxruntime-web (.tgz); None to fetch it once.

    Raises:
        FileNotFoundError: if the runtime cannot be had.
        ValueError: if a model has a part that the page does not know, or a name that cannot be a file's, or
            the folder holds something else or cannot be replaced; nothing is written then.
    """
    if not models:
        raise RecipeError("name at least one model for the page")
    for name, right in zip(models, file_names(list(models)), strict=True):
        if not name or name != right:
            raise RecipeError(f"{name!r} cannot be the name of a file: call the model {right!r}")
    for name, model in models.items():
        _check(name, model)
    _check_folder(out)
    files = runtime_files(runtime)
    names = [f"{name}.onnx" for name in models]
    with whole_folder(out.resolve()) as folder:
        for name, model in zip(names, models.values(), strict=True):
            export_onnx(model, folder / name, labels="weights", half=True)
        if single_file:
            for name in names:
                files[name] = read_bytes(folder / name)
                (folder / name).unlink()
            (folder / "index.html").write_text(_single(names, files), encoding="utf-8")
        else:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            for name in ("style.css", *BROWSER):
                (folder / name).write_bytes(read_asset(PAGE / name))
            (folder / "index.html").write_text(_linked(names), encoding="utf-8")
        written = sorted(path.name for path in folder.iterdir())
        mark = json.dumps({"models": list(models), "files": written})
        (folder / MARK).write_text(mark, encoding="utf-8")


def _check(name: str, model: Model) -> None:
    """Refuse a model that the page could not draw with."""
    parametrization = model.recipe.diffusion.parametrization
    if not known_parametrization(parametrization):
        raise RecipeError(
            f"{name} predicts {parametrization!r}, a part of your own, which the page does not know"
        )
    if model.spec.channels * model.spec.size[0] * model.spec.size[1] < 16:
        raise RecipeError(
            f"{name} has images of fewer than 16 values, whose noise is drawn otherwise"
        )


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier page, since it will be replaced."""
    replaced_folder(out)
    others = {path.name for path in out.iterdir()} - _files_of(out) if out.is_dir() else set()
    if others:
        raise RecipeError(
            f"out = {out} holds other files, such as {min(others)}: name a new folder, or an empty one"
        )


def _files_of(out: Path) -> set[str]:
    """Names of the files of an earlier page."""
    try:
        return {MARK, *parse_json(read_bytes(out / MARK))["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def page_html(style: str, scripts: Sequence[str], security: str = "") -> str:
    """The page, with its style and scripts in place.

    Args:
        style: the element for the style.
        scripts: elements, in their order.
        security: a Content-Security-Policy to say in the page; "" for none.

    Returns:
        HTML.
    """
    text = read_asset(PAGE / "index.html").decode()
    policy = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(security)}">\n'
    text = text.replace("<!-- style -->", (policy if security else "") + style)
    limits = json.dumps(
        {**LIMITS, "seed": ["0", str(MOST_SEED)]}
    )  # too long for JavaScript's numbers
    data = f'<script type="application/json" id="limits">{_inline(limits)}</script>'
    return text.replace("<!-- scripts -->", "\n".join([data, *scripts]))


def linked_scripts(names: Sequence[str]) -> list[str]:
    """Elements that load scripts from files beside the page."""
    return [f'<script src="{name}" defer></script>' for name in names]


def _models(names: Sequence[str]) -> str:
    return (
        f'<script type="application/json" id="models">{_inline(json.dumps(list(names)))}</script>'
    )


def _linked(names: Sequence[str]) -> str:
    """The page of several files."""
    early = [
        f'<link rel="preload" href="{html.escape(name)}" as="fetch" crossorigin>'
        for name in (RUNTIME_CODE, RUNTIME_BINARY, *names)
    ]
    head = "\n".join(['<link rel="stylesheet" href="style.css">', *early])
    return page_html(head, [_models(names), *linked_scripts(BROWSER)], SECURITY)


def _single(names: Sequence[str], files: Mapping[str, bytes]) -> str:
    """The page with everything in it; files are compressed."""
    style = f"<style>\n{read_asset(PAGE / 'style.css').decode()}</style>"
    scripts = [_models(names)]
    for name, content in files.items():
        if name.startswith("licence"):
            scripts.append(f"<!--\n{content.decode()}-->")
            continue
        packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
        kind = 'type="application/octet-stream"'
        scripts.append(f'<script {kind} id="file:{html.escape(name)}">{packed}</script>')
    for name in BROWSER:
        code = read_asset(PAGE / name).decode()
        scripts.append(f"<script>\n{code}</script>")
    return page_html(style, scripts, SECURITY)


def _inline(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")
