"""Models on the Hugging Face Hub: what is shared of one, and sending it there, in one commit."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import __version__, weights
from ..data import ImageSpec
from ..evaluation import document as evaluations
from ..loading import find_weights, from_parts
from ..recipe.schema import Recipe
from ..recipe.toml import to_toml
from ..sampling import sample_grid
from ..utils.cache import cache_entry
from ..utils.device import pick_device, prepare
from ..utils.files import sha256, temporary_folder
from ..utils.hub import bars, check_repository, check_revision, library, reason
from ..utils.markdown import one_line
from ..utils.numbers import json_ready
from ..viz.grids import save_picture, tile, to_pillow
from ..weights import MODEL
from .card import model_card
from .public import public_document, public_recipe

CARD = "README.md"
RECIPE = "recipe.toml"
EVALUATION = "evaluation.json"
SAMPLES = "samples.png"
FILES = (CARD, MODEL, RECIPE, EVALUATION, SAMPLES)
"""All that is ever sent."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Shared:
    """What was sent, or would be.

    Args:
        files: bytes of each file.
        card: the text of README.md.
        notes: what differs from the files on this machine, and what to know, a line for each.
        url: of the commit; None if nothing was sent.
    """

    files: dict[str, int]
    card: str
    notes: tuple[str, ...]
    url: str | None


@dataclass(frozen=True)
class _Model:
    """A model without the paths of this machine."""

    tensors: dict[str, Any]
    recipe: Recipe
    spec: ImageSpec
    evaluation: dict[str, Any] | None


def push(
    model: str | Path,
    repo: str,
    *,
    revision: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    evaluation: Path | None = None,
    license: str | None = None,
) -> Shared:
    """Share a model on the Hugging Face Hub: its weights, its recipe, its measures, a page and samples.

    Files of these names that are there are replaced, or removed if this model has none. Others are left
    alone.

    Args:
        model: as in :func:`mezzotint.load`.
        repo: ``OWNER/NAME``; made if it is not there.
        revision: branch, made if it is not there; the main one if not given.
        private: whether only the owner may see it.
        dry_run: whether everything is prepared and nothing is sent.
        evaluation: an evaluation.json of the model; the one in the run's folder, if any, if not given.
        license: identifier of its licence on the Hub, such as "mit"; none is stated if not given.

    Returns:
        What was sent, or would be.

    Raises:
        OSError: if there is no such model, or a file cannot be read.
        ValueError: if a name is malformed, the library is not installed, nobody is logged in, the evaluation
            is of another model, or the Hub refuses.
        ConnectionError: if the Hub cannot be reached.
    """
    check_repository(repo)
    if revision is not None:
        check_revision(revision)
    license = None if license is None else _checked_license(license)
    hub = library("sharing a model")
    token = None if dry_run else _token(hub)
    prepare()
    path = find_weights(model)
    notes = _checkpoint_notes(path)
    public_model, differences = _read(path, evaluation)
    facts = [*notes, _size(public_model.tensors)]
    card = model_card(
        public_model.recipe,
        public_model.spec,
        public_model.evaluation,
        repo=repo,
        license=license,
        facts=facts,
    )
    with temporary_folder(cache_entry("pushed", "model")) as folder:
        _write(folder, public_model, card)
        files = {file: (folder / file).stat().st_size for file in FILES if (folder / file).exists()}
        url = None
        if not dry_run:
            title = f"{one_line(public_model.recipe.name)}, by mezzotint {__version__}"
            url = _send(hub, folder, repo, revision, private, token, title)
    return Shared(files, card, (*notes, *differences), url)


def _checked_license(license: str) -> str:
    if not _LICENSE.fullmatch(license.lower()):
        raise ValueError(
            f"license = {license!r}: it is an identifier of the Hub's, such as mit, apache-2.0 or cc-by-4.0"
        )
    return license.lower()


def _token(hub: ModuleType) -> str:
    """The token of whoever is logged in."""
    if hub.constants.HF_HUB_OFFLINE:
        raise ValueError("HF_HUB_OFFLINE forbids to send anything: run without that variable")
    token: str | None = hub.get_token()
    if token is None:
        raise ValueError(
            "nobody is logged in to the Hub: run `hf auth login`, or set HF_TOKEN to a token that may write"
        )
    return token


def _checkpoint_notes(path: Path) -> list[str]:
    """What to say of weights that are not the result of a run."""
    if path.parent.parent.name != "checkpoints":
        return []
    return [f"these are the weights of the checkpoint {path.parent.name}, not of a finished run"]


def _size(tensors: dict[str, Any]) -> str:
    count = sum(tensor.numel() for tensor in tensors.values())
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    return f"parameters: {count:,}, {' and '.join(kinds)}"


def _read(path: Path, evaluation: Path | None) -> tuple[_Model, list[str]]:
    """A model without the paths of this machine, and what differs."""
    tensors, stored_recipe, spec = weights.read(path)
    recipe, notes = public_recipe(stored_recipe)
    file = path.parent / EVALUATION if evaluation is None else evaluation.expanduser()
    of_run = (path.parent / RECIPE).is_file() and file.is_file()
    if evaluation is None and not of_run:
        return _Model(tensors, recipe, spec, None), notes
    read = evaluations.read(file)
    _check_same_model(read, stored_recipe, path, file)
    document, differences = public_document(read)
    return _Model(tensors, recipe, spec, document), [*notes, *differences]


def _check_same_model(document: dict[str, Any], recipe: Recipe, path: Path, file: Path) -> None:
    """Refuse an evaluation of other weights."""
    protocol = document["protocol"]
    measured = protocol.get("weights", {}).get("sha256")
    if protocol.get("recipe") != recipe.name or measured not in (None, sha256(path)):
        raise ValueError(
            f"{file} measures other weights than {path}: measure these with `mezzotint evaluate`, or move it"
            " away"
        )


def _write(folder: Path, model: _Model, card: str) -> None:
    """Write the files that are shared. The same model gives the same bytes."""
    weights.write(folder / MODEL, model.tensors, model.recipe, model.spec)
    texts = {CARD: card, RECIPE: to_toml(model.recipe)}
    if model.evaluation is not None:
        protocol = model.evaluation["protocol"]
        if "weights" in protocol:
            protocol["weights"] = {"sha256": sha256(folder / MODEL)}
        texts[EVALUATION] = json.dumps(json_ready(model.evaluation), indent=1)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    loaded = from_parts(model.recipe, model.spec, model.tensors, pick_device(None))
    images, columns = sample_grid(loaded, progress=True)
    save_picture(to_pillow(tile(images, columns), 2), folder / SAMPLES)


def _send(
    hub: ModuleType,
    folder: Path,
    repo: str,
    revision: str | None,
    private: bool,
    token: str | None,
    title: str,
) -> str:
    """Send a folder in one commit; its URL."""
    api = hub.HfApi(token=token, library_name="mezzotint", library_version=__version__)
    with bars(hub), _in_words(hub, repo):
        # Without a word, a new repository is as its owner has set it.
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise ValueError(
                f"{repo} is public already: make it private in its settings on the Hub, or leave out"
                " --private"
            )
        if revision not in (None, "main"):
            api.create_branch(repo, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            revision=revision,
            commit_message=title,
            allow_patterns=list(FILES),
            delete_patterns=list(FILES),
        )
    url: str = commit.commit_url
    return url


@contextmanager
def _in_words(hub: ModuleType, repo: str) -> Iterator[None]:
    """In the block, errors of the library become errors in a line."""
    errors = hub.errors
    try:
        yield
    except errors.HfHubHTTPError as error:
        hint = "log in with `hf auth login` as one who may write there"
        words = f": {hint}" if error.response.status_code in (403, 404) else ""
        raise ValueError(f"{repo} was not sent: {reason(error)}{words}") from error
    except (errors.HTTPError, RuntimeError) as error:  # of the HTTP client; of Xet
        raise ConnectionError(f"{repo} was not sent: {reason(error)}") from error
