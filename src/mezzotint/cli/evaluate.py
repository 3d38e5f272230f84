"""``mezzotint evaluate``"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Data, RecipeError, Sampling
from ..options import replace
from .common import set_values
from .flags import section_flags, with_flags
from .sweep import measure_sweep

if TYPE_CHECKING:
    from ..metrics.measure import Reference
    from ..metrics.report import Evaluation


def evaluate(
    what: Path,
    /,
    *,
    count: int = 10_000,
    seeds: int = 1,
    bits: int = 0,
    classify: int = 0,
    sweep: str | None = None,
    data: str | None = None,
    judge: Path | None = None,
    witness: Path | None = None,
    against: Path | None = None,
    out: Path | None = None,
    device: str | None = None,
    **flags: Any,
) -> None:
    """Measure how good a model is, and how sure that is.

    mezzotint evaluate runs/digits
    mezzotint evaluate runs/digits --seeds 3 --guidance 1
    mezzotint evaluate runs/digits --count 2000 --sweep guidance=1,1.25,1.5,2,3
    mezzotint evaluate samples.npz
    mezzotint evaluate rgb.npz --against real.npz

    Every number stands beside its floor: what real images score. evaluation.json has the whole
    protocol, evaluation.png the pictures.

    Parameters
    ----------
    what
        A run's folder, a weights file, or images of any system: an .npz (images, labels) or a
        folder of pictures, in folders by class.
    count
        Images to draw, the classes in turn.
    seeds
        How many times, with seeds 0, 1, ...; mean and spread are reported.
    bits
        Bits per dimension of so many test images; 0 leaves them out.
    classify
        Use the model as a classifier of so many test images; 0 leaves it out.
    sweep
        A sampling option and its values, such as guidance=1,1.5,2 or steps=1,2,4,8,16.
    data
        Data set to measure against, as in a recipe; the model's own, or mnist, if not given.
    judge
        Classifier (`mezzotint train-classifier`) whose features and answers measure; the shipped one for
        digits if not given.
    witness
        A second classifier, built differently, that repeats distance and accuracy.
    against
        RGB only: real images (.npz or folder) to measure against, by Inception-FID (extra [fid]).
    out
        Folder for evaluation.json and .png; the run's if not given, else the current one.
    device
        cpu, cuda, mps, ...; the best there is if not given.
    """
    if seeds < 1 or bits < 0 or classify < 0:
        raise RecipeError("seeds must be at least 1, bits and classify not negative")
    if sweep is not None and (seeds > 1 or bits or classify):
        raise RecipeError("a sweep measures one seed: leave out --seeds, --bits and --classify")
    changes = set_values(flags)
    if not what.exists():
        raise FileNotFoundError(f"there is nothing at {what} to evaluate")
    from .. import evaluation, model, runtime

    runtime.prepare()
    evaluation.is_main()  # under torchrun each process takes its device before a model is loaded
    folder = out or (what if (what / "recipe.toml").is_file() else Path("."))
    if what.suffix == ".npz" or (what.is_dir() and not _is_model(what)):
        if changes or sweep or bits or classify or seeds > 1:
            raise RecipeError(f"{what} holds images: options of sampling do not apply")
        section = replace(Data(), {} if data is None else {"name": data})
        _evaluate_images(what, against, folder, section, judge, witness)
        return
    if against is not None:
        raise RecipeError("--against goes with images (.npz or a folder), not with a model")
    loaded = model.load(what, device)
    loaded.sampling(**changes)
    own = loaded.recipe.data
    reference = evaluation.reference_of(
        own if data is None else replace(own, {"name": data, "folder": None}), judge, witness
    )
    if sweep is not None:
        measure_sweep(loaded, reference, sweep, count, changes, str(what), folder)
        return
    result = evaluation.evaluate_model(
        loaded, reference, count=count, seeds=range(seeds), bits=bits, source=str(what), **changes
    )
    if classify:
        result.protocol["as_classifier"] = {"images": classify, "draws_per_label": 8}
        result.values["as_classifier"] = [evaluation.classify(loaded, classify)]
    _report(result, reference, folder)


def _evaluate_images(
    what: Path, against: Path | None, folder: Path, data: Data, judge: Path | None,
    witness: Path | None,
) -> None:  # fmt: skip
    """Measure images that are already there, of whatever system."""
    from .. import evaluation
    from ..data.foreign import read_images

    if against is not None:
        _inception(what, against)
        return
    reference = evaluation.reference_of(data, judge, witness)
    found = read_images(what, reference.test.classes)
    if found.images.shape[1] == 3 and reference.test.channels == 1:
        raise RecipeError(f"{what} holds RGB images: say --against what, for Inception-FID")
    _report(evaluation.evaluate_images(found, reference, str(what)), reference, folder)


def _inception(what: Path, against: Path) -> None:
    """Inception-FID between two sets of RGB images, named as what it is."""
    import json

    from ..data.foreign import read_images
    from ..metrics.inception import inception_fid

    found = inception_fid(read_images(what, ()).images, read_images(against, ()).images)
    print(
        f"Inception-FID {found['inception_fid']:.3f} (not digit-FID)\n{json.dumps(found, indent=1)}"
    )


def _is_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("model.safetensors", "checkpoints"))


def _report(result: "Evaluation", reference: "Reference", folder: Path) -> None:
    """The table on the terminal, and the files; by the first process alone, if there are several."""
    from .. import evaluation

    if not evaluation.is_main():
        return
    from ..files import whole_file
    from ..metrics.report import write
    from ..viz.report import save_report

    _print_table(result)
    print(*write(result, folder), sep="\n")
    found, measured = result.shown
    classes = reference.test.classes
    order = measured.neighbours.distance.argsort()[:32]
    worst = None
    if found.labels is not None:
        logits = measured.by_judge.logits.log_softmax(1)
        unlike = logits.gather(1, found.labels[:, None])[:, 0].argsort()[:64]
        worst = found.images[unlike]
        by_class = found.labels.argsort(stable=True)
        first = [by_class[found.labels[by_class] == label][:10] for label in range(len(classes))]
        samples = found.images[[int(i) for rows in first for i in rows]]
    else:
        samples = found.images[:100]
    size = (found.images.shape[2], found.images.shape[3])
    training = reference.train.fitted(size).images[measured.neighbours.index[order]]
    path = folder / "evaluation.png"
    with whole_file(path) as temporary:
        save_report(
            temporary, samples=samples, columns=10, confusion=measured.confusion, classes=classes,
            worst=worst, generated=found.images[order], training=training,
            title=f"{result.protocol['source']}: {len(found.images):,} images",
        )  # fmt: skip
    print(path)


def _print_table(result: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from ..metrics.report import table as rows_of

    table = Table(title=f"{result.protocol['source']}: {result.protocol['images']:,} images")
    for heading in ("measure", "mean", "spread", "floor", "better"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for row in rows_of(result):
        table.add_row(*row)
    Console().print(table)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(evaluate, section_flags(Sampling()))
