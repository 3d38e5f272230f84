"""The command line: one thin module per verb. Nothing here imports torch before a verb runs."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from cyclopts import App, Group

from .. import __version__
from ..utils.console import in_a_line, one_line, safe_streams
from ..utils.signals import StopRequest, exit_on_signal

HELP = """Train class-conditional diffusion models on small images, and sample from them.

Begin with a model in the package: `mezzotint sample digits 7`, `mezzotint gif digits`. \
Then train your own, in minutes on a laptop: `mezzotint train digits`.

`mezzotint VERB --help` explains a verb. `--debug` shows the traceback of an error. \
`mezzotint --install-completion` completes words in your shell.
"""

DEBUG = "--debug"
COMPLETION = "--install-completion"


VERBS = {
    "train": "Train a model.",
    "refine": "Improve a trained model, so that it needs no guidance.",
    "distill": "Make a trained model fast: one to four evaluations per image.",
    "sample": "Generate images of classes.",
    "gif": "Animate the denoising, from noise to image.",
    "inpaint": "Repaint a part of an image, so that it fits the rest.",
    "edit": "Turn an image into one of another class.",
    "morph": "Turn one sample into another, frame by frame.",
    "studio": "Open a page to draw, mend and morph in.",
    "evaluate": "Measure the quality of a model or of images.",
    "forward": "Show the forward process: noise added to an image.",
    "doctor": "Inspect a data set before training.",
    "info": "Describe a model or a recipe.",
    "export": "Take a model elsewhere: ONNX, diffusers, a page for the browser.",
    "push": "Share a model on the Hugging Face Hub.",
    "import": "Convert the original's saved_model.pth, or a folder of diffusers.",
    "train-classifier": "Train a classifier for evaluations.",
}

PARAMETERS = Group("Parameters")


def make_app(tokens: Sequence[str]) -> App:
    """The command line for ``tokens``: only the module of the verb they begin with is imported."""
    app = App(
        name="mezzotint",
        help=HELP,
        version=__version__,
        group_parameters=PARAMETERS,
        help_format="plaintext",
    )
    completes = tokens[:1] == [COMPLETION]  # which has to know every flag of every verb
    app.register_install_completion_command(COMPLETION, help="Complete words in your shell.")
    for verb, summary in VERBS.items():
        if completes or tokens[:1] == [verb]:
            command = _command(verb, tokens[1:])
            if isinstance(command, App):  # a verb with verbs of its own
                app.command(command, name=verb)
            else:
                app.command(command, name=verb, help=help_text(command))
        else:
            app.command(lambda: None, name=verb, help=summary)
    return app


def _command(verb: str, tokens: Sequence[str]) -> Callable[..., None] | App:
    name = "import_" if verb == "import" else verb.replace("-", "_")  # import is a word of Python's
    module = import_module(f".{name}", __name__)
    command: Callable[[Sequence[str]], Callable[..., None] | App] = module.command
    return command(tokens)


def help_text(command: Callable[..., None]) -> str:
    """The text of a command's docstring before its parameters.

    Each paragraph is one line, for the terminal to wrap; examples have a prompt.
    """
    words = (inspect.getdoc(command) or "").partition("\nParameters\n---")[0]
    return "\n\n".join(map(_paragraph, words.strip().split("\n\n")))


def _paragraph(text: str) -> str:
    if not text.startswith("    "):
        return " ".join(text.split())
    return "\n".join(f"$ {line.strip()}" for line in text.splitlines())


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong is said in a line, with exit status 1.

    With ``--debug`` anywhere, or the environment variable MEZZOTINT_DEBUG, an error comes with its traceback.
    """
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    debug = DEBUG in tokens or bool(os.environ.get("MEZZOTINT_DEBUG"))
    tokens = [token for token in tokens if token != DEBUG]
    with safe_streams(), exit_on_signal() as request:
        _run(tokens, debug, request)


def _run(tokens: list[str], debug: bool, request: StopRequest) -> None:
    try:
        make_app(tokens)(tokens)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        if debug:
            raise
        if request.received is not None:
            sys.exit(128 + request.received)
        sys.exit(f"mezzotint: {_in_words(error)}")
    except MemoryError:
        if debug:
            raise
        sys.exit("mezzotint: there is not enough memory for this")
    except KeyboardInterrupt:
        sys.exit(130)


def _in_words(error: Exception) -> str:
    """An error in a line: what the system says, with the file, or our own words."""
    if isinstance(error, OSError) and error.strerror is not None:
        return one_line(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)
    return in_a_line(error)
