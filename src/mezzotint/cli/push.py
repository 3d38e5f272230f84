"""``mezzotint push``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .modules import loading_modules


def push(
    model: Path,
    repo: str,
    /,
    *,
    revision: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    evaluation: Path | None = None,
    license: str | None = None,
) -> None:
    """Share a model on the Hugging Face Hub.

        mezzotint push runs/digits me/digits --dry-run
        mezzotint push runs/digits me/digits --license mit
        mezzotint sample hf:me/digits 7

    The weights are sent, the recipe, the measures of `mezzotint evaluate`, a page that says what they are,
    and samples, in one commit; of paths of this machine, their last names alone. Log in first, with
    `hf auth login`.

    Parameters
    ----------
    model
        A run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the Hugging Face Hub.
    repo
        Where to share it, as OWNER/NAME; made if it is not there.
    revision
        Branch, made if it is not there; the main one if not given.
    private
        Let nobody else see it.
    dry_run
        Prepare everything, show it, and send nothing.
    evaluation
        An evaluation.json of the model; the one in the run's folder, if any, if not given.
    license
        The model's licence, as the Hub names it: mit, apache-2.0, ...; none is stated if not given.
    """
    with loading_modules():
        from ..export.hub import push as push_model

    shared = push_model(
        model,
        repo,
        revision=revision,
        private=private,
        dry_run=dry_run,
        evaluation=evaluation,
        license=license,
    )
    for note in shared.notes:
        print(f"note: {note}")
    for name, size in shared.files.items():
        print(f"{size:>12,} bytes  {name}")
    if dry_run:
        print(f"\n{shared.card}\nnothing was sent")
    else:
        print(shared.url)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return push
