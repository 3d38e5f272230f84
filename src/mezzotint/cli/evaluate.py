"""``mezzotint evaluate``"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe.fields import RecipeError
from ..recipe.schema import Data, Sampling
from ..recipe.toml import override
from .common import set_values
from .flags import section_flags, with_flags
from .sweep import measure_sweep

if TYPE_CHECKING:
    from ..evaluation.measure import Reference
    from ..evaluation.report import Evaluation


def evaluate(
    what: Path,
    /,
    *,
    count: int | None = None,
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

        mezzotint evaluate digits
        mezzotint evaluate runs/digits --seeds 3 --guidance 1
        mezzotint evaluate runs/digits --count 2000 --sweep guidance=1,1.25,1.5,2,3
        mezzotint evaluate samples.npz
        mezzotint evaluate rgb.npz --against real.npz

    Every number stands beside its floor: what real images score. evaluation.json has the whole
    protocol, png the pictures.

    Parameters
    ----------
    what
        A run's folder, a weights file or a shipped model's name; or images of any system: an .npz (images,
        labels) or a folder of pictures, in folders by class.
    count
        Images to draw, the classes in turn; 10,000 if not given.
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
    options = set_values(flags)
    if sweep is not None and (name := sweep.partition("=")[0]) in options:
        raise RecipeError(f"--{name} and --sweep {name}=...: say one or the other")
    from .. import model
    from ..evaluation import evaluate as evaluation
    from ..utils.device import prepare

    prepare()
    folder = out or (what if (what / "recipe.toml").is_file() else Path("."))
    if what.suffix == ".npz" or (what.is_dir() and not model.is_model(what)):
        of_models = {
            "count": count,
            "sweep": sweep,
            "bits": bits or None,
            "classify": classify or None,
        }
        flagged = [f"--{name}" for name in set_values(of_models) | options]
        if flagged or seeds > 1:
            raise RecipeError(
                f"{what} holds images: {', '.join(flagged) or '--seeds'} is for models, which draw them"
            )
        if against is not None:
            if data is not None or judge is not None or witness is not None:
                raise RecipeError(
                    "--against measures by Inception-FID: leave out --data, --judge and --witness"
                )
            _inception(what, against, folder, device)
            return
        section = override(Data(), {} if data is None else {"name": data})
        _evaluate_images(what, folder, section, judge, witness, device)
        return
    if against is not None:
        raise RecipeError("--against goes with images (.npz or a folder), not with a model")
    weights = model.find_weights(what)
    evaluation.is_main()  # under torchrun each process takes its device before a model is loaded
    loaded = model.load(weights, device)
    loaded.sampling_options(**options)
    own = loaded.recipe.data
    reference = evaluation.reference_of(
        own if data is None else override(own, {"name": data, "folder": None}),
        judge,
        witness,
        loaded.device,
    )
    number = 10_000 if count is None else count
    if sweep is not None:
        measure_sweep(loaded, reference, sweep, number, options, str(what), folder)
        return
    test = evaluation.test_images_of(loaded, reference)
    if classify and test is None:
        raise RecipeError(
            f"--classify needs test images of the model's own classes, {', '.join(loaded.spec.classes)}"
        )
    result = evaluation.evaluate_model(
        loaded, reference, count=number, seeds=range(seeds), bits=bits, source=str(what), **options
    )
    if classify and test is not None:
        result.protocol["as_classifier"] = {"images": classify, "draws_per_label": 8}
        result.values["as_classifier"] = [evaluation.classify(loaded, test, classify)]
    _report(result, reference, folder)


def _evaluate_images(
    what: Path,
    folder: Path,
    data: Data,
    judge: Path | None,
    witness: Path | None,
    device: str | None,
) -> None:
    """Measure images that are already there, of whatever system."""
    from ..data.samples import read_images
    from ..evaluation.evaluate import evaluate_images, is_main, reference_of
    from ..utils.device import pick_device

    is_main()  # under torchrun each process takes its device
    reference = reference_of(data, judge, witness, pick_device(device))
    images = read_images(what, reference.test.classes)
    if images.images.shape[1] == 3 and reference.test.channels == 1:
        raise RecipeError(f"{what} holds RGB images: say --against what, for Inception-FID")
    _report(evaluate_images(images, reference, str(what)), reference, folder)


def _inception(what: Path, against: Path, folder: Path, device: str | None) -> None:
    """Inception-FID between two sets of RGB images, named as what it is."""
    import json

    from ..data.samples import read_images
    from ..evaluation.inception import inception_fid
    from ..utils.device import pick_device
    from ..utils.files import whole_file

    images, real = (read_images(path, ()).images for path in (what, against))
    result = inception_fid(images, real, pick_device(device))
    path = folder / "inception-fid.json"
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"Inception-FID {result['inception_fid']:.3f} (not digit-FID)\n{path}")


def _report(result: "Evaluation", reference: "Reference", folder: Path) -> None:
    """The table on the terminal, and the files; by the first process alone, if there are several."""

    from ..evaluation.evaluate import is_main

    if not is_main():
        return
    from ..evaluation.report import write
    from ..utils.files import whole_file
    from ..viz.report import save_report

    paths = write(result, folder)  # before anything is printed, which may fail
    _print_table(result)
    print(*paths, sep="\n")
    found, measured = result.shown
    classes = reference.test.classes
    order = measured.subject.neighbours.distance.argsort()[:32]
    worst = None
    if found.labels is not None:
        logits = measured.subject.judged.logits.log_softmax(1)
        unlike = logits.gather(1, found.labels[:, None])[:, 0].argsort()[:64]
        worst = found.images[unlike]
        by_class = found.labels.argsort(stable=True)
        first = [by_class[found.labels[by_class] == label][:10] for label in range(len(classes))]
        samples = found.images[[int(i) for rows in first for i in rows]]
    else:
        samples = found.images[:100]
    size = (found.images.shape[2], found.images.shape[3])
    training = reference.train.fitted(size).images[measured.subject.neighbours.index[order]]
    path = folder / "evaluation.png"
    with whole_file(path) as temporary:
        save_report(
            temporary,
            samples=samples,
            columns=10,
            confusion=measured.confusion,
            classes=classes,
            worst=worst,
            generated=found.images[order],
            training=training,
            title=f"{result.protocol['source']}: {len(found.images):,} images",
        )
    print(path)


def _print_table(result: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.report import table as rows_of

    table = Table(title=f"{result.protocol['source']}: {result.protocol['images']:,} images")
    for heading in ("measure", "mean", "spread", "floor", "better"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for row in rows_of(result):
        table.add_row(*row)
    Console().print(table)


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(evaluate, section_flags(Sampling()))
