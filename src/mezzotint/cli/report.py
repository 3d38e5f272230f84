"""What ``mezzotint evaluate`` leaves behind: files first, then the table, then the pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.console import warn

if TYPE_CHECKING:
    from ..evaluation.measure import Reference
    from ..evaluation.report import Evaluation


MOST_ROWS = 40
"""Classes with a row of samples in the picture."""


def report(result: "Evaluation", reference: "Reference", folder: Path) -> None:
    """Write and print an evaluation; on the first process alone, if there are several.

    Args:
        result: the measures, with the images of the first seed.
        reference: what was measured against.
        folder: for evaluation.json and evaluation.png.
    """
    from ..evaluation.evaluate import is_main
    from ..evaluation.report import write

    if not is_main():
        return
    paths = write(result, folder)  # before anything is printed or plotted, which may fail
    _print_table(result)
    print(*paths, sep="\n")
    write_picture(folder / "evaluation.png", lambda file: _save_pictures(result, reference, file))


def write_picture(path: Path, save: Callable[[Path], None]) -> None:
    """Write and name a picture of numbers that are on the disk already, so that it may fail."""
    from ..utils.files import whole_file

    try:
        with whole_file(path) as temporary:
            save(temporary)
    except Exception as error:  # whatever a plotting library raises
        warn(f"{path} was not written: {type(error).__name__}: {error}")
    else:
        print(path)


def _save_pictures(result: "Evaluation", reference: "Reference", path: Path) -> None:
    """Samples of each class, the least typical ones, and nearest training images."""
    from ..viz.report import save_report

    samples, measured = result.first
    images = samples.images
    labels = samples.labels
    classes = reference.test.classes
    worst = None
    if labels is not None:
        logits = measured.subject.judged.logits.log_softmax(1)
        worst = images[logits.gather(1, labels[:, None])[:, 0].argsort()[:64]]
        by_class = labels.argsort(stable=True)
        classes_shown = range(min(len(classes), MOST_ROWS))
        first = [by_class[labels[by_class] == label][:10] for label in classes_shown]
        examples = images[[int(i) for rows in first for i in rows]]
    else:
        examples = images[:100]
    size = (images.shape[2], images.shape[3])
    neighbours = measured.subject.neighbours
    nearest = neighbours.distance.argsort()[:32]
    save_report(
        path,
        samples=examples,
        columns=10,
        confusion=measured.confusion,
        classes=classes,
        worst=worst,
        generated=images[nearest],
        training=reference.train.fitted(size).images[neighbours.index[nearest]],
        title=f"{result.protocol['source']}: {len(images):,} images",
    )


def _print_table(result: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.report import table as rows_of

    title = f"{result.protocol['source']}: {result.protocol['images']:,} images"
    table = Table(title=title)
    for heading in ("measure", "mean", "spread", "floor", "better"):
        justify: Any = "left" if heading == "measure" else "right"
        table.add_column(heading, justify=justify)
    for row in rows_of(result):
        table.add_row(*row)
    Console().print(table)
