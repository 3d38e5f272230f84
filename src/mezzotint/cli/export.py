"""``mezzotint export``."""

from collections.abc import Sequence
from pathlib import Path

from cyclopts import App

from ..recipe.fields import RecipeError
from ..utils.output import output_file, replaced_folder
from .modules import loading_modules


def onnx(model: Path, /, *, out: Path | None = None) -> None:
    """Write a model as an ONNX file: the network, with all that a sampler needs in its metadata.

        mezzotint export onnx digits-fast --out digits.onnx

    The file is compared with torch before it is written: batches of 1, 3 and 64, several times, with and
    without labels. Needs the extra mezzotint[onnx].

    Parameters
    ----------
    model
        A run's folder, a weights file or a shipped model's name.
    out
        A .onnx file; named after the model if not given.
    """
    with loading_modules():
        from ..export.onnx import export_onnx, require_onnx
        from ..loading import load

    require_onnx()
    path = output_file(out or Path(f"{model.stem}.onnx"), (".onnx",))
    difference = export_onnx(load(model, "cpu"), path)
    print(f"largest difference from torch: {difference:.1e}")
    print(path)


def diffusers(model: Path, /, *, out: Path) -> None:
    """Write a model as a folder that the library diffusers loads, with a pipeline of its own.

        mezzotint export diffusers digits --out digits-diffusers

    Parameters
    ----------
    model
        A run's folder, a weights file or a shipped model's name.
    out
        A folder, new or empty.
    """
    with loading_modules():
        from ..export.diffusers import export_diffusers

    folder = replaced_folder(out)
    export_diffusers(model, folder)
    print(folder)


def page(*models: Path, out: Path, single_file: bool = False, runtime: Path | None = None) -> None:
    """Write a page that runs models in the visitor's own browser, without a server.

        mezzotint export page digits-fast digits --out page
        mezzotint export page digits-fast --out page --single-file

    A single file opens by a double click. A folder is to be put on a web server: to try it,
    `python -m http.server --directory page`. Needs the extra mezzotint[onnx], and once the network, or npm,
    for the runtime that is copied into the page.

    Parameters
    ----------
    models
        Runs' folders, weights files or shipped models' names.
    out
        A folder, new or empty.
    single_file
        Everything in one index.html.
    runtime
        The package onnxruntime-web as a .tgz, if it is at hand; fetched into the cache if not given.
    """
    with loading_modules():
        from ..export.onnx import require_onnx
        from ..export.page import export_page
        from ..loading import load, model_names

    require_onnx()
    folder = replaced_folder(out)
    names = model_names([str(model) for model in models])
    if len(set(names)) < len(names):
        raise RecipeError(f"the models {', '.join(names)} have two of one name: name each once")
    loaded = {name: load(model, "cpu") for name, model in zip(names, models, strict=True)}
    export_page(loaded, folder, single_file=single_file, runtime=runtime)
    print(folder / "index.html")


HELP = """Take a model elsewhere: as an ONNX file, as a folder of diffusers, as a page for the browser.

$ mezzotint export onnx digits-fast
$ mezzotint export diffusers digits --out digits-diffusers
$ mezzotint export page digits digits-fast --out page

`mezzotint export FORMAT --help` explains a format.
"""


def command(tokens: Sequence[str]) -> App:
    """The verb, with a verb for each format."""
    from . import PARAMETERS, help_text

    app = App(name="export", help=HELP, group_parameters=PARAMETERS, help_format="plaintext")
    for verb in (onnx, diffusers, page):
        app.command(verb, help=help_text(verb))
    return app
