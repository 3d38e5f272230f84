"""``mezzotint train``."""

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ..recipe.fields import RecipeError
from ..recipe.presets import base_of, find
from ..recipe.schema import Recipe
from ..recipe.toml import from_toml, override
from ..utils.files import read_text
from .dry_run import say_forecast
from .flags import nested, recipe_flags, with_flags
from .modules import loading_modules


def _settings(tokens: Sequence[str]) -> dict[str, str]:
    """Each word and the word after it, ``--flag=value`` taken as two."""
    parts = [token.split("=", 1) if token.startswith("--") else [token] for token in tokens]
    return dict(pairwise(word for part in parts for word in part))


def named(tokens: Sequence[str]) -> str | None:
    """The recipe or the model that comes first, before all flags."""
    return tokens[0] if tokens and not tokens[0].startswith("-") else None


def base_recipe(tokens: Sequence[str]) -> Recipe:
    """The recipe that flags change: the one of the run to resume, or the one named first."""
    settings = _settings(tokens)
    if "--resume" in settings:
        path = Path(settings["--resume"]).expanduser() / "recipe.toml"
        if not path.is_file():
            raise FileNotFoundError(f"{path.parent} is no run to resume: it holds no recipe.toml")
        recipe = from_toml(read_text(path), str(path))
    else:
        recipe = find(named(tokens) or "digits")
    net = settings.get("--net", settings.get("--net.name"))
    return override(recipe, {"net": {"name": net}}) if net else recipe


def run_until_stopped(
    recipe: Recipe, out: Path | None, resume: Path | None = None, changes: str = "refuse"
) -> Path:
    """Train, and return the run's folder; leave with the status of a signal, or 1 on divergence."""
    with loading_modules():
        from ..runs.train import StoppedBySignal
        from ..runs.train import train as run_training
        from ..training.monitor import Diverged

    try:
        return run_training(recipe, out, resume=resume, changes=changes)
    except Diverged as diverged:
        sys.exit(f"mezzotint: {diverged}")
    except StoppedBySignal as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + int(stopped.signal or 0))


def say_done(folder: Path) -> None:
    """What to do next; said once, however many processes there were."""
    from ..utils.processes import processes

    if processes().is_main:
        print(f"done: {folder}\ntry: mezzotint sample {folder} 7", file=sys.stderr)


def command_for(base: Recipe, named: str) -> Callable[..., None]:
    """The command ``train`` with a flag for each field of ``base``."""

    def train(
        recipe: str | None = None,
        /,
        *,
        out: Path | None = None,
        resume: Path | None = None,
        changes: Literal["refuse", "allow"] = "refuse",
        dry_run: bool = False,
        **flags: Any,
    ) -> None:
        """Train a model: a recipe, and what you want to be different.

            mezzotint train digits
            mezzotint train ddpm --steps 2000 --batch 32
            mezzotint train my.toml --out runs/mine
            mezzotint train --resume runs/mine
            mezzotint train my.toml --dry-run

        Every key of the recipe is a flag; the defaults below are those of the recipe you name.
        A .toml file may say base = "ddpm" and name only what differs. Ctrl-C saves and stops.
        --dry-run says what it would take, from a few steps; with --resume, for those that are left.

        Parameters
        ----------
        recipe
            digits, ddpm, or a .toml file; comes first.
        out
            Folder of the run; a new one under runs/ if not given. Never overwrites.
        resume
            Folder of an earlier run to go on with; ends with the same bits as if never stopped.
        changes
            Whether a resumed run may differ from its recipe.
        dry_run
            Say what training would take, in memory, disk and time, or why it would not begin; write nothing.
        """
        if recipe is not None and (resume is not None or recipe != named):
            where = "a resumed run has its own" if resume else "it comes first, before all flags"
            raise RecipeError(f"the recipe {recipe!r} cannot stand here: {where}")
        final = override(base, nested(flags))
        if dry_run:
            say_forecast(final, base if resume else base_of(named), out, resume, changes)
            return
        folder = run_until_stopped(final, out, resume, changes)
        say_done(folder)

    return with_flags(train, recipe_flags(base))


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each field of the recipe that ``tokens`` name."""
    return command_for(base_recipe(tokens), named(tokens) or "digits")
