"""``mezzotint distill``"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import options
from ..config import Recipe, RecipeError
from ..recipes import RECIPES
from .flags import nested, recipe_flags, with_flags
from .train import run_until_stopped, say_done

FAST = RECIPES["digits-fast"]


def student_of(model: str) -> Recipe:
    """The recipe that distills ``model``: its own data and network, and the rest of digits-fast."""
    from ..model import find_weights
    from ..training.checkpoint import sha256
    from ..weights import read

    path = find_weights(model)
    _, teacher, _ = read(path)
    kept = options.to_dict(teacher.diffusion) | {"times": FAST.diffusion.times}
    changes = {
        "name": f"{teacher.name}-fast",
        "data": options.to_dict(teacher.data),
        "net": options.to_dict(teacher.net),
        "diffusion": kept | {"label_dropout": FAST.diffusion.label_dropout},
        "distillation": {
            "teacher": model,
            "sha256": sha256(path),
            "guidance": teacher.sampling.guidance,
            "interval": teacher.sampling.interval,
        },
    }
    return options.replace(FAST, changes)


def command_for(base: Recipe) -> Callable[..., None]:
    """The command ``distill`` with a flag for each field of ``base``."""

    def distill(model: str, /, *, out: Path | None = None, **flags: Any) -> None:
        """Make a trained model fast: one to four network evaluations an image, no second pass.

            mezzotint distill digits
            mezzotint distill runs/digits --out runs/fast --steps 3000
            mezzotint train --resume runs/fast

        Consistency tuning: the student begins as the teacher and learns to jump from any moment of
        the denoising to its end, guidance included. Ctrl-C saves and stops.

        Parameters
        ----------
        model
            The teacher: a run's folder, a weights file, or a shipped model's name; comes first.
        out
            Folder of the run; a new one under runs/ if not given. Never overwrites.
        """
        final = options.replace(base, nested(flags))
        if final.distillation.teacher != model:
            raise RecipeError(f"the model {model!r} cannot stand here: it comes first")
        folder = run_until_stopped(final, out)
        say_done(folder)

    return with_flags(distill, recipe_flags(base))


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each field of the recipe that distills the model named first."""
    named = tokens[0] if tokens and not tokens[0].startswith("-") else None
    return command_for(student_of(named) if named else FAST)
