"""``mezzotint distill``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.presets import RECIPES
from ..recipe.schema import Recipe
from ..recipe.toml import override
from .finetune import onward, recipe_in, train_onward
from .flags import recipe_flags, with_flags
from .train import named

FAST = RECIPES["digits-fast"]


def student_of(model: str) -> Recipe:
    """The recipe that distills ``model``: its own data and network, and the rest of digits-fast."""
    teacher, _, digest = recipe_in(model)
    objective = {
        "teacher": model,
        "sha256": digest,
        "guidance": teacher.sampling.guidance,
        "interval": teacher.sampling.interval,
    }
    return override(onward(FAST, teacher), {"objective": objective})


def command_for(base: Recipe) -> Callable[..., None]:
    """The command ``distill`` with a flag for each field of ``base``."""

    def distill(
        model: str, /, *, out: Path | None = None, dry_run: bool = False, **flags: Any
    ) -> None:
        """Make a trained model fast: one to four network evaluations per image.

            mezzotint distill digits
            mezzotint distill runs/digits --out runs/fast --steps 3000
            mezzotint train --resume runs/fast

        Consistency tuning: the student begins with the weights of the teacher and learns to jump from any
        time of the denoising to its end, with guidance built in. Ctrl-C saves and stops.

        Parameters
        ----------
        model
            The teacher: a run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the
            Hugging Face Hub; comes first.
        out
            Folder of the run; a new one under runs/ if not given. Never overwrites.
        dry_run
            Say what training would take, in memory, disk and time, or why it would not begin; write nothing.
        """
        train_onward(base, model, out, dry_run, flags)

    return with_flags(distill, recipe_flags(base))


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each field of the recipe that distills the model named first."""
    model = named(tokens)
    return command_for(student_of(model) if model else FAST)
