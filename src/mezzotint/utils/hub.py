"""The Hugging Face Hub: names of models there, and the download of a file of one.

A model is named ``hf:OWNER/NAME``, or ``hf:OWNER/NAME@REVISION`` for a branch, a tag or a commit. The library
``huggingface_hub`` (the extra ``hub``) is imported where it is needed.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import TextIO, cast

from .console import SafeStream, printable, watched
from .extras import missing

PREFIX = "hf:"

_REPOSITORY = re.compile(r"\w([\w.-]*\w)?/\w([\w.-]*\w)?", re.ASCII)
_REVISION = re.compile(r"\w([\w./-]*[\w-])?", re.ASCII)
LONGEST = 96
"""Characters that the name of a repository may have, with its owner."""


def check_repository(repository: str) -> None:
    """Refuse what cannot be the name of a repository.

    Args:
        repository: ``OWNER/NAME``.

    Raises:
        ValueError: if it is malformed.
    """
    forbidden = any(part in repository for part in ("--", "..")) or repository.endswith(".git")
    if forbidden or len(repository) > LONGEST or not _REPOSITORY.fullmatch(repository):
        raise ValueError(
            f"{printable(repository)!r} is no name of a model on the Hub: write OWNER/NAME, of letters,"
            " digits and single . - _"
        )


def check_revision(revision: str) -> None:
    """Refuse what cannot be a branch, a tag or a commit.

    Raises:
        ValueError: if it is malformed.
    """
    if ".." in revision or "//" in revision or not _REVISION.fullmatch(revision):
        raise ValueError(f"{printable(revision)!r} is no name of a branch, a tag or a commit")


def library(what: str) -> ModuleType:
    """The library ``huggingface_hub``.

    Args:
        what: needs it, for the error.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise missing(what, "hub") from error
    return huggingface_hub


@contextmanager
def bars(hub: ModuleType) -> Iterator[None]:
    """In the block, the library's progress bars are shown on a terminal, and need no standard error.

    Args:
        hub: the library. What ``HF_HUB_DISABLE_PROGRESS_BARS`` says remains.
    """
    with redirect_stderr(cast(TextIO, SafeStream(sys.stderr))):
        decided = hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
        if decided or watched() or hub.utils.are_progress_bars_disabled():
            yield
            return
        hub.utils.disable_progress_bars()
        try:
            yield
        finally:
            hub.utils.enable_progress_bars()


def fetch(name: str, file: str) -> Path:
    """Download a file of a model into the library's cache, unless its newest version is there.

    Nothing else of the repository is downloaded. Without a network, or with ``HF_HUB_OFFLINE=1``, the version
    in the cache is used.

    Args:
        name: ``OWNER/NAME`` or ``OWNER/NAME@REVISION``; the newest version if there is no revision.
        file: name of the file in the repository.

    Returns:
        The file's path in the cache.

    Raises:
        FileNotFoundError: if there is no such model, revision or file, or none of them in the cache while the
            Hub cannot be reached.
        ValueError: if the name is malformed, the library is not installed, or the model may not be read.
    """
    repository, at, revision = name.partition("@")
    check_repository(repository)
    if at:
        check_revision(revision)
    hub = library(f"{PREFIX}{name}")
    errors = hub.errors
    try:
        with bars(hub):
            folder = hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=[file]
            )
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{PREFIX}{name} is gated: ask for access on its page, {hub.constants.ENDPOINT}/{repository}, and"
            " log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{PREFIX}{name} is not on the Hub, or it is private: check the name, and if it is private log in"
            " with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{PREFIX}{name}: {repository} has no branch, tag or commit {revision}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        offline = type(error.__cause__).__name__ == "OfflineModeIsEnabled"
        why = reason(error.__cause__ or error)
        advice = "name a copy of the file by its path"
        raise FileNotFoundError(unreachable(name, offline, why, advice)) from error
    except (errors.HTTPError, OSError, RuntimeError) as error:  # of the HTTP client; of Xet
        if getattr(error, "errno", None) is not None:  # a full disk, a cache that cannot be written
            raise
        raise FileNotFoundError(f"{PREFIX}{name} cannot be fetched: {reason(error)}") from error
    path = Path(folder) / file
    if not path.is_file():
        raise FileNotFoundError(f"{PREFIX}{name} has no {file}: it is no model of mezzotint")
    return path


def unreachable(name: str, offline: bool, why: str, advice: str) -> str:
    """Why there is neither an answer of the Hub nor a copy in the cache, in words.

    Args:
        name: on the Hub, without ``hf:``.
        offline: whether HF_HUB_OFFLINE forbids to ask.
        why: the Hub could not be asked otherwise.
        advice: what to do beside trying again.

    Returns:
        A sentence for an error.
    """
    if offline:
        return (
            f"{PREFIX}{name} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: run once without"
            " that variable"
        )
    return (
        f"{PREFIX}{name} cannot be fetched, and is not in the cache: {why}; try again with a network, or"
        f" {advice}"
    )


def reason(error: BaseException) -> str:
    """What an error of the library says, in a line without the full stop."""
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) == 401:
        return "the Hub does not accept the token: log in again with `hf auth login`"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
