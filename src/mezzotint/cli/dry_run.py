"""What ``--dry-run`` says of a training."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe.schema import Recipe
from ..recipe.toml import differences
from ..utils.console import printable
from ..utils.numbers import duration
from .modules import loading_modules

if TYPE_CHECKING:
    from ..runs.dry_run import Disk, Forecast
    from ..training.calibration import Cost


def say_forecast(
    recipe: Recipe,
    base: Recipe,
    out: Path | None,
    resume: Path | None = None,
    changes: str = "refuse",
) -> None:
    """Print what a training would take; on the first process alone, if there are several.

    Args:
        recipe: of the training.
        base: the named recipe that it was made from, or that of the run to resume.
        out: folder of a new run.
        resume: folder of a run to resume.
        changes: whether a resumed run may differ from its recipe.
    """
    with loading_modules():
        from ..runs.dry_run import dry_run
        from ..utils.processes import processes

    forecast = dry_run(recipe, out, resume=resume, changes=changes)
    if not processes().is_main:
        return
    lines = _recipe_lines(forecast, base)
    if forecast.cost is None or forecast.disk is None:
        lines.append(("training:", f"nothing is left: {forecast.done:,} steps are done"))
    else:
        lines += _cost_lines(forecast, forecast.cost)
        lines += _disk_lines(forecast.disk)
        lines.append(("time:", _time(forecast, forecast.cost)))
    lines.append(("dry run:", "nothing was written"))
    for label, text in lines:
        print(f"{label:<12} {printable(text)}")


def _recipe_lines(forecast: "Forecast", base: Recipe) -> list[tuple[str, str]]:
    """What is trained, on what."""
    from ..runs.train import in_words

    recipe = forecast.recipe
    changed = [text for text in differences(base, recipe) if not text.startswith("name: ")]
    origin = "" if base.name == recipe.name else f", from {base.name}"
    lines = [("recipe:", f"{recipe.name}{origin}")]
    lines += [("changed:", text) for text in changed]
    return [*lines, ("data:", f"{recipe.data.name}: {in_words(forecast.data)}")]


def _cost_lines(forecast: "Forecast", cost: "Cost") -> list[tuple[str, str]]:
    """How much there is to compute, and to hold in memory."""
    batch = forecast.recipe.training.batch
    epochs = cost.steps * batch / len(forecast.data)
    steps = f"{cost.steps:,} steps of {batch}, {epochs:,.1f} epochs"
    if forecast.done:
        steps = f"{steps}, after {forecast.done:,} that are done"
    parts = [f"{name} {count:,}" for name, count in cost.parameters.items()]
    total = f"{sum(cost.parameters.values()):,}"
    arithmetic = (
        f"{_short(cost.multiply_adds / 1e9)} billion multiply-adds a step,"
        f" {_short(cost.multiply_adds * cost.steps / 1e9)} billion in all"
    )
    by_kind = ", ".join(f"{name} {_megabytes(size)}" for name, size in cost.memory.items() if size)
    each = " on each process" if forecast.processes > 1 else ""
    lines = [
        ("training:", steps),
        ("parameters:", f"{total}: {', '.join(parts)}" if len(parts) > 1 else total),
        ("arithmetic:", arithmetic),
        ("memory:", f"{_megabytes(sum(cost.memory.values()))} MB{each}: {by_kind}"),
    ]
    if cost.peak is not None:
        whose = "the process" if forecast.device.type == "cpu" else str(forecast.device)
        lines.append(("", f"{whose} held {_megabytes(cost.peak)} MB at most, with everything else"))
    return lines


def _disk_lines(disk: "Disk") -> list[tuple[str, str]]:
    """How much is written, and whether there is room."""
    number_kept = f"{disk.checkpoint_count} {'is' if disk.checkpoint_count == 1 else 'are'} kept"
    text = (
        f"checkpoints of {_megabytes(disk.checkpoint)} MB, of which {number_kept}:"
        f" {_megabytes(disk.checkpoint_count * disk.checkpoint)} MB; the run takes"
        f" {_megabytes(disk.most)} MB at most, without pictures;"
        f" {disk.place} has room for {_megabytes(disk.free)} MB"
    )
    lines = [("disk:", text)]
    if not disk.has_room:
        lines.append(("warning:", f"{disk.place} has too little room for this run"))
    return lines


def _time(forecast: "Forecast", cost: "Cost") -> str:
    """How long it takes, from a few steps."""
    training = forecast.recipe.training
    where = str(forecast.device)
    if forecast.processes > 1:
        where = f"{forecast.processes} processes, {where}"
    seconds = cost.seconds * cost.steps + forecast.sampling
    text = (
        f"{duration(seconds)} on {where}, at {_short(cost.seconds)} seconds a step,"
        f" {_short(training.batch / cost.seconds)} images/s; without grids of samples and checkpoints"
    )
    if forecast.sampling:
        text += f"; {duration(forecast.sampling)} of it to sample {forecast.recipe.objective.images:,} images"
    if training.compile:
        text += "; measured without training.compile"
    return text


def _short(number: float) -> str:
    """Three digits of a small number, all whole ones of a large one."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
