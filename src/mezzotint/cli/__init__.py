"""The command line: one thin module per verb. Nothing here imports torch before a verb runs."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from cyclopts import App, Group

from .. import __version__
from ..recipe.fields import RecipeError

HELP = """Train class-conditional diffusion models on small images, and draw from them.

Begin with `mezzotint train digits` (three to six minutes on two cores), then
`mezzotint sample runs/... 7` and `mezzotint gif runs/...`.
"""

VERBS = {
    "train": "Train a model.",
    "refine": "Make a trained model better, and guidance needless.",
    "distill": "Make a trained model fast: one to four evaluations an image.",
    "sample": "Generate images of classes.",
    "gif": "Show the whole denoising, from noise to image.",
    "evaluate": "Measure how good a model is, and how sure that is.",
    "forward": "Show how noise takes an image over.",
    "doctor": "Look at data before training on them.",
    "info": "Describe a model or a recipe.",
    "import": "Convert the original's saved_model.pth.",
    "train-classifier": "Train a classifier to measure with.",
}

PARAMETERS = Group("Parameters")


def make_app(tokens: Sequence[str]) -> App:
    """The command line for ``tokens``: only the module of the verb they begin with is imported."""
    app = App(
        name="mezzotint", help=HELP, version=__version__, group_parameters=PARAMETERS,
        help_format="plaintext",
    )  # fmt: skip
    for verb, summary in VERBS.items():
        if tokens[:1] == [verb]:
            app.command(_command(verb, tokens[1:]), name=verb)
        else:
            app.command(lambda: None, name=verb, help=summary)
    return app


def _command(verb: str, tokens: Sequence[str]) -> Callable[..., None]:
    name = "import_" if verb == "import" else verb.replace("-", "_")  # import is a word of Python's
    module = import_module(f".{name}", __name__)
    command: Callable[[Sequence[str]], Callable[..., None]] = module.command
    return command(tokens)


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong is said in a line, with exit status 1."""
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    try:
        make_app(tokens)(tokens)
    except (RecipeError, ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        sys.exit(f"mezzotint: {error}")
    except OSError as error:
        sys.exit(f"mezzotint: {error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        sys.exit(130)
