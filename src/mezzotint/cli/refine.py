"""``mezzotint refine``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..recipe.objectives import Denoising, Refinement
from ..recipe.presets import RECIPES
from ..recipe.schema import Recipe
from ..recipe.toml import override, to_dict
from .finetune import onward, recipe_in, train_onward
from .flags import recipe_flags, with_flags
from .train import named

REFINED = RECIPES["digits-refined"]
FAST = RECIPES["digits-fast-refined"]


def refined(model: str) -> Recipe:
    """The recipe that refines a model.

    Data, network, training times and sampling (without guidance) are those of the model. The rest is that of
    digits-refined, or of digits-fast-refined for a few-step model; but without two classes no label is wrong.
    """
    reference, spec, digest = recipe_in(model)
    objective: dict[str, Any] = {"reference": model, "sha256": digest}
    if len(spec.classes) < 2:
        objective["wrong_labels"] = 0.0
    if isinstance(reference.objective, Denoising | Refinement):
        objective["times"] = reference.objective.times
    changes = {
        "objective": objective,
        "sampling": to_dict(reference.sampling) | {"guidance": 1.0},
    }
    return override(onward(FAST if reference.few_step else REFINED, reference), changes)


def command_for(base: Recipe) -> Callable[..., None]:
    """The command ``refine`` with a flag for each field of ``base``."""

    def refine(
        model: str, /, *, out: Path | None = None, dry_run: bool = False, **flags: Any
    ) -> None:
        """Improve a trained model, so that it needs no guidance.

            mezzotint refine runs/long
            mezzotint refine runs/long --out runs/refined --steps 200
            mezzotint refine runs/fast
            mezzotint train --resume runs/refined

        Direct discriminative optimization (DDO): the model samples a few thousand images, and is trained to
        raise the likelihood of real images and to lower that of its own, and of real ones with a wrong
        label. A few minutes are enough; a second round can help. The defaults suit a model that was
        trained well; one that was trained for minutes needs a higher rate and more wrong labels:

            mezzotint refine runs/digits --learning-rate 5e-4 --wrong-labels 0.5 --guidance 1.15

        A few-step model, made by `mezzotint distill`, is refined against a critic instead: a second network
        that is trained at the same time to tell its images from real ones. Ctrl-C saves and stops.

        Parameters
        ----------
        model
            What to begin from: a run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of
            the Hugging Face Hub; comes first.
        out
            Folder of the run; a new one under runs/ if not given. Never overwrites.
        dry_run
            Say what training would take, in memory, disk and time, or why it would not begin; write nothing.
        """
        train_onward(base, model, out, dry_run, flags)

    return with_flags(refine, recipe_flags(base))


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each field of the recipe that refines the model named first."""
    model = named(tokens)
    return command_for(refined(model) if model else REFINED)
