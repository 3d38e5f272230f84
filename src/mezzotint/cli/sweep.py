"""The sweep of ``mezzotint evaluate``: measures along one option of sampling."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe.fields import RecipeError
from ..recipe.toml import nearest
from .report import write_picture

if TYPE_CHECKING:
    from ..evaluation.measure import Reference
    from ..model import Model


def measure_sweep(
    model: "Model",
    reference: "Reference",
    sweep: str,
    count: int,
    options: dict[str, Any],
    source: str,
    folder: Path,
) -> None:
    """Measure along one option: a table, sweep-OPTION.json and .png."""
    import json

    from ..evaluation.evaluate import evaluate_model, is_main
    from ..utils.files import whole_file
    from ..utils.numbers import json_ready
    from ..viz.report import save_sweep

    name, values = parse_sweep(sweep)
    settings = [with_value(options, name, value, model.recipe.sampling) for value in values]
    for setting in settings:
        model.sampling_options(**setting)  # all are checked before the first is measured
    measures = ("accuracy", "digit_fid", "precision", "recall")
    rows = []
    floor: dict[str, float] = {}
    for value, setting in zip(values, settings, strict=True):
        result = evaluate_model(model, reference, count=count, source=source, **setting)
        row: dict[str, Any] = {key: statistics[0] for key, statistics in result.values.items()}
        rows.append(row | {name: value, "protocol": result.protocol})
        floor = result.floor
        print(f"{name} {value:g}: " + ", ".join(f"{key} {row[key]:.4g}" for key in measures))
    if not is_main():
        return
    path = folder / f"{sweep_name(sweep)}.json"
    document = json_ready({"sweep": name, "rows": rows, "floor": floor})
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    print("floor: " + ", ".join(f"{key} {floor[key]:.4g}" for key in measures))
    print(path)
    curves = {key: [row[key] for row in rows] for key in measures}
    write_picture(
        path.with_suffix(".png"), lambda file: save_sweep(file, name, values, curves, floor)
    )


def sweep_name(sweep: str) -> str:
    """The name of the files of a sweep, without ending."""
    return f"sweep-{sweep.partition('=')[0].replace(':', '-')}"


def parse_sweep(sweep: str) -> tuple[str, list[Any]]:
    """``guidance=1,2`` as ("guidance", [1.0, 2.0]); ``sampler:eta`` is an option of the sampler."""
    name, _, listed = sweep.partition("=")
    part, colon, option = name.partition(":")
    kinds: dict[str, type] = {"guidance": float, "steps": int}
    if colon and part in ("sampler", "grid") and option:
        kinds[name] = float
    if name not in kinds:
        known = [*kinds, "sampler:OPTION", "grid:OPTION"]
        raise RecipeError(
            f"sweep = {sweep!r}: sweep one of {', '.join(known)}.{nearest(name, kinds)}"
        )
    try:
        return name, [kinds[name](value) for value in listed.split(",")]
    except ValueError:
        raise RecipeError(
            f"sweep = {sweep!r}: write values between commas, such as {name}=1,2,4"
        ) from None


def with_value(options: dict[str, Any], name: str, value: Any, sampling: Any) -> dict[str, Any]:
    """Options of sampling with one value of a sweep.

    Args:
        options: what was said otherwise.
        name: what is swept, such as "guidance" or "sampler:eta".
        value: of it.
        sampling: the recipe's section, with the sampler and the grid where ``options`` have none.
    """
    part, colon, option = name.partition(":")
    if not colon:
        return options | {name: value}
    text = options.get(part, getattr(sampling, part))
    return options | {part: f"{text}{',' if ':' in text else ':'}{option}={value:g}"}
