"""The table and the picture of time to quality, from what its runs have left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine

COLUMNS = {
    "digit_fid": "digit-FID",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
}
PICTURE = machine.PAGE.parent / "images" / "time_to_quality.png"
Run = dict[str, Any]
Draw = dict[str, Any]


@dataclass(frozen=True)
class Authors:
    """What a peer's authors say of their own training on such data."""

    images: int | None
    """How many they train on; None where they name no end."""
    figures: str
    source: str


AUTHORS = {
    "original, plain": Authors(
        60_000_000,
        "none; its pictures are of epoch 10, 600,000 images",
        "https://github.com/GabiYamato/DDPM-diffusion, readme and script",
    ),
    "diffusers": Authors(
        600_000,
        "none",
        "https://github.com/huggingface/diffusion-models-class, unit 2",
    ),
    "denoising-diffusion-pytorch": Authors(
        44_800_000,
        "none for digits",
        "https://github.com/lucidrains/denoising-diffusion-pytorch, README",
    ),
    "smalldiffusion": Authors(
        18_000_000,
        "none for digits; Inception's FID of clothes without labels 5 to 6, after two hours on a GPU",
        "https://github.com/yuanchenyang/smalldiffusion, README and fashion_mnist_dit_cond.py",
    ),
    "k-diffusion transformer": Authors(
        None,
        "none for digits",
        "https://github.com/crowsonkb/k-diffusion, README and config_mnist_transformer.json",
    ),
}


def floors(draw: Draw) -> float:
    """The digit-FID of a draw beside that of as many real digits; endless where it was not measured."""
    if "digit_fid" not in draw:
        return float("inf")
    return draw["digit_fid"] / draw["floor"]["digit_fid"]


def best(run: Run) -> Draw:
    """The draw that came closest to real digits: the first one, where none was measured.

    Fewer images make fewer floors, so draws are compared by as many images of each where those were measured.
    """
    return min(run["draws"], key=lambda draw: floors(draw.get("compared", draw)))


def cost(run: Run) -> list[str]:
    """What a training cost on any machine: TFLOP that it computed, and that the machine could have."""
    if "train_tflop" not in run:
        return ["", ""]
    possible = run["train_seconds"] * run["peak_gflops"] / 1000
    return [f"{run['train_tflop']:.1f}", f"{possible:.1f}"]


def in_words(draw: Draw) -> str:
    """Sampler and guidance."""
    return draw["sampler"] + (f", guidance {draw['guidance']:g}" if draw["guidance"] != 1 else "")


def row_of(run: Run, machines: list[str]) -> list[str]:
    """A row of the table."""
    draw = best(run)
    measured = "digit_fid" in draw
    return [
        run["system"],
        letter(run["machine"], machines),
        str(run["threads"]),
        f"{run['train_seconds']:.0f}",
        f"{run['train_images']:,}",
        *cost(run),
        f"{floors(draw):.1f}" if measured else "",
        *(f"{draw[key]:.3f}" if measured else "" for key in COLUMNS),
        f"{draw['images']:,}",
        in_words(draw),
        str(len(run["draws"])),
        str(draw["evaluations"]),
        f"{1000 * draw['sample_seconds_per_image']:.0f}",
    ]


def letter(name: str, machines: list[str]) -> str:
    """A for the first machine of the table."""
    return chr(ord("A") + machines.index(name))


def floor_rows(runs: list[Run]) -> Iterator[list[str]]:
    """What real digits score, for each number of images; the most images last."""
    known = {
        draw["images"]: draw["floor"] for run in runs for draw in [best(run)] if "floor" in draw
    }
    for images, floor in sorted(known.items()):
        values = [f"{floor[key]:.3f}" for key in COLUMNS]
        yield ["floor", *[""] * 6, "1.0", *values, f"{images:,}", *[""] * 4]


def authors_table(runs: list[Run]) -> str:
    """What the authors of the peers say, and what their training would take here."""
    rows = []
    for system, authors in AUTHORS.items():
        own = [run for run in runs if run["system"] == system]
        if not own:
            continue
        longest = max(own, key=lambda run: run["train_seconds"])
        hours = ""
        if authors.images:
            seconds = authors.images / longest["train_images"] * longest["train_seconds"]
            hours = f"{seconds / 3600:.1f}"
        images = f"{authors.images:,}" if authors.images else "no end is named"
        rows.append([system, images, hours, authors.figures, authors.source])
    headings = [
        "system",
        "images its authors train on",
        "hours for that at the speed of its longest run here",
        "figures and weights that they publish",
        "source",
    ]
    return machine.table(headings, rows)


def report(runs: list[Run]) -> None:
    """Write the table into docs/benchmarks.md, and the picture beside it.

    Raises:
        SystemExit: if there are no runs, before anything is written.
    """
    if not runs:
        raise SystemExit("there is no run to report: name --systems")
    runs = sorted(runs, key=lambda run: (run["budget"], floors(best(run))))
    machines = sorted({run["machine"] for run in runs})
    headings = [
        "system",
        "machine",
        "threads",
        "seconds",
        "images trained on",
        "TFLOP",
        "TFLOP at the peak",
        "floors",
        *COLUMNS.values(),
        "images",
        "sampler",
        "samplers tried",
        "evaluations",
        "ms per image",
    ]
    rows = [row_of(run, machines) for run in runs] + list(floor_rows(runs))
    notes = " ".join(
        sorted({f"{run['system']} {run['version']}: {run['note']}." for run in runs if run["note"]})
    )
    names = "\n".join(f"- {letter(name, machines)}: {name}" for name in machines)
    machine.write_section(
        "time to quality",
        f"## Time to quality\n\n{machine.table(headings, rows)}\n\n{names}\n\n{notes}\n\n"
        "Each system with its own recipe for such data, given a budget of wall clock, one after"
        " another; a row for each run; measured by `mezzotint evaluate`. Seconds are what each"
        " spent: peers stop at the first step past the budget; mezzotint, whose schedule needs to know"
        " its end, guesses its steps beforehand and may miss it either way. Two columns do not depend on the"
        " machine: TFLOP are what the training computes, by torch's count of a step; TFLOP at the peak are"
        " what the machine would have computed in that time at the speed at which, just before, it"
        " multiplied matrices in fp32 (in bf16 some machines do more); the oldest runs have neither."
        " Distances depend on the number of images, so floors are distances as a multiple of that of as many"
        " real digits; with few images the multiple is smaller too, so compare rows of equal number."
        " Where several samplers were tried, with and without guidance, the row has the one of fewest floors:"
        " chosen by the measure itself, in favour of the peer; in the newer runs by the first images of each,"
        " as many as the slowest sampler drew.\n\n"
        "![quality against seconds](images/time_to_quality.png)\n\n"
        f"As long as their authors say:\n\n{authors_table(runs)}\n\n"
        "None of them publishes weights or a measure of digits, so there is nothing to put in the table"
        " above for trainings of that length.",
    )
    plot(runs, PICTURE)


def plot(runs: list[Run], path: Path) -> None:
    """Floors against seconds, a colour for each system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for system in dict.fromkeys(run["system"] for run in runs):
        points = sorted(
            (run["train_seconds"], floors(best(run)))
            for run in runs
            if run["system"] == system and "digit_fid" in best(run)
        )
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", linestyle="", label=system)
    axes.set(xlabel="seconds of training", ylabel="digit-FID, in floors", yscale="log")
    axes.set_xlim(0, 1.1 * max(run["train_seconds"] for run in runs))
    axes.axhline(1, color="grey", linestyle=":", label="real digits")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
