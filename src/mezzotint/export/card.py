"""The page of a model on the Hugging Face Hub: README.md, with metadata in YAML before the text."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..data import ImageSpec
from ..evaluation.document import markdown, rows
from ..recipe.schema import Recipe
from ..recipe.toml import to_dict, to_toml
from ..registry import DATASETS
from ..utils.classes import listed
from ..utils.hub import PREFIX, check_repository, library
from ..utils.markdown import fenced, inline, one_line

ON_HUB = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
"""Names on the Hub of named data sets."""

TASK = "unconditional-image-generation"
"""The Hub's task for all models that take no text; it has none for classes."""

_WORD = re.compile(r"\w[\w-]{0,30}")


def model_card(
    recipe: Recipe,
    spec: ImageSpec,
    evaluation: Mapping[str, Any] | None,
    *,
    repo: str,
    license: str | None = None,
    facts: Sequence[str] = (),
) -> str:
    """The page of a model.

    Args:
        recipe: recipe of the model.
        spec: shape and classes of its images.
        evaluation: document of its evaluation.json; None if it was not measured.
        repo: ``OWNER/NAME`` on the Hub.
        license: identifier of the model's licence on the Hub; it is left out if not given.
        facts: what else there is to say of the weights, a line for each.

    Returns:
        The text of README.md.

    Raises:
        ValueError: if ``repo`` is malformed, or the library of the Hub is not installed.
    """
    check_repository(repo)
    name = repo.partition("/")[2]
    kind = "class-conditional" if spec.classes else "unconditional"
    height, width = spec.size
    colour = "grey" if spec.channels == 1 else "colour"
    lines = [f"- {inline(fact)}" for fact in _facts(recipe, spec, facts)]
    body = [
        f"# {inline(name)}\n",
        f"A {kind} diffusion model of {colour} images of {height}x{width} pixels, made with"
        " [Mezzotint](https://github.com/mezzotint/mezzotint).\n",
        "![samples](samples.png)\n",
        "\n".join(lines) + "\n",
        f"## Samples\n\n{_usage(spec, repo)}",
        measures(None if evaluation is None else markdown(evaluation)),
        recipe_section(recipe),
        f"## Again\n\n{_again(recipe, evaluation, repo)}",
    ]
    front = _metadata(recipe, spec, evaluation, repo, license)
    return f"---\n{front}\n---\n\n" + "\n".join(body)


def measures(table: str | None) -> str:
    """The section with the table of measures, in Markdown; None if there is no table."""
    if table is None:
        return "## Measures\n\nNone were shared. `mezzotint evaluate` takes them.\n"
    floor = "The floor is the score of real images, measured like generated ones."
    return f"## Measures\n\n{table}\n{floor}\n"


def recipe_section(recipe: Recipe) -> str:
    """The section with the whole recipe."""
    return f"## Recipe\n\n{fenced(to_toml(recipe), 'toml')}"


def _facts(recipe: Recipe, spec: ImageSpec, facts: Sequence[str]) -> list[str]:
    """What the model is, in lines."""
    count = len(spec.classes)
    classes = (
        f"{count} class{'es' * (count > 1)}: {listed(spec.classes)}" if count else "no classes"
    )
    lines = [classes, f"data: {recipe.data.name}, training split", *facts]
    if recipe.initial_model is not None:
        digest = getattr(recipe.objective, "sha256", None)
        of = f", SHA-256 {digest}" if digest else ""
        lines.append(f"training began from the model {recipe.initial_model}{of}")
    return lines


def _usage(spec: ImageSpec, repo: str) -> str:
    """How to draw images, on the command line and in Python."""
    words = next(([name] for name in spec.classes if _WORD.fullmatch(name)), [])
    shell = [
        "pip install 'mezzotint[hub]'",
        f"mezzotint sample {PREFIX}{repo} {shlex.join([*words, '--count', '16'])}",
    ]
    argument = f"labels={list(range(min(2, len(spec.classes))))}" if spec.classes else "count=2"
    code = [
        "import mezzotint",
        "",
        f'model = mezzotint.load("{PREFIX}{repo}")',
        f"images = model.sample({argument}, seed=0)  # uint8, (images, channels, height, width)",
    ]
    return f"{fenced(chr(10).join(shell), 'sh')}\n{fenced(chr(10).join(code), 'python')}"


def _again(recipe: Recipe, evaluation: Mapping[str, Any] | None, repo: str) -> str:
    """How to train and to measure such a model."""
    lines = [
        f"hf download {repo} recipe.toml --local-dir .",
        "mezzotint train recipe.toml --out run",
    ]
    if evaluation is not None:
        options = shlex.join(_options(recipe, evaluation["protocol"]))
        lines.append(f"mezzotint evaluate {PREFIX}{repo} {options}")
    text = fenced("\n".join(map(one_line, lines)), "sh")
    absent = []
    if recipe.data.name not in DATASETS and _on_hub(recipe.data.name) is None:
        absent.append("the images that it learnt from")
    if recipe.initial_model is not None:
        absent.append("the model that training began from")
    return text + (f"\nNot in this repository: {', and '.join(absent)}.\n" if absent else "")


def _options(recipe: Recipe, protocol: Mapping[str, Any]) -> list[str]:
    """The flags of `mezzotint evaluate` that a protocol says."""
    words = ["--count", str(protocol["images"])]
    if len(protocol.get("seeds", ())) > 1:
        words += ["--seeds", str(len(protocol["seeds"]))]
    if protocol.get("bits_images"):
        words += ["--bits", str(protocol["bits_images"])]
    if "as_classifier" in protocol:
        words += ["--classify", str(protocol["as_classifier"]["images"])]
    if (data := protocol.get("data", recipe.data.name)) != recipe.data.name:
        words += ["--data", str(data)]
    defaults = to_dict(recipe.sampling)
    for key, value in protocol.get("sampling", {}).items():
        if value == defaults.get(key):
            continue
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return words


def _metadata(
    recipe: Recipe,
    spec: ImageSpec,
    evaluation: Mapping[str, Any] | None,
    repo: str,
    license: str | None,
) -> str:
    """What the Hub searches, in YAML."""
    hub = library("a page on the Hub")
    kind = "class-conditional" if spec.classes else "unconditional"
    known = _on_hub(recipe.data.name)
    data = hub.ModelCardData(
        library_name="mezzotint",
        license=license,
        pipeline_tag=TASK,
        tags=["mezzotint", "diffusion", "image-generation", kind],
        datasets=None if known is None else [known],
        base_model=_on_hub(recipe.initial_model or ""),
        model_name=repo.partition("/")[2],
        eval_results=None if evaluation is None else _results(hub, recipe, evaluation),
    )
    if not data.eval_results:  # an empty list would be an index of nothing
        data.eval_results = data.model_name = None
    text: str = data.to_yaml()
    return text


def _on_hub(name: str) -> str | None:
    """The name on the Hub of a data set or model of a recipe, if it has one."""
    if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}."):
        return re.split("[:@]", name.removeprefix(PREFIX))[0]
    return ON_HUB.get(name)


def _results(hub: Any, recipe: Recipe, evaluation: Mapping[str, Any]) -> list[Any]:
    """The finite measures, as the Hub knows them."""
    name = str(evaluation["protocol"].get("data", recipe.data.name))
    results = []
    for (key, result), row in zip(evaluation["results"].items(), rows(evaluation), strict=True):
        if result["mean"] is None or not math.isfinite(result["mean"]):
            continue
        results.append(
            hub.EvalResult(
                task_type=TASK,
                dataset_type=_on_hub(name) or one_line(name),
                dataset_name=one_line(name),
                dataset_split="test",
                metric_type=one_line(key),
                metric_name=one_line(row[0]),
                metric_value=result["mean"],
            )
        )
    return results
