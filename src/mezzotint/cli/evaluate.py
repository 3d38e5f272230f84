"""``mezzotint evaluate``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..recipe.fields import RecipeError
from ..recipe.schema import Data, Sampling
from ..recipe.toml import override
from ..utils.output import output_folder
from .common import set_values
from .flags import section_flags, with_flags
from .modules import loading_modules
from .report import report
from .sweep import measure_sweep, sweep_name


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
    """Measure the quality of a model or of images.

        mezzotint evaluate digits
        mezzotint evaluate runs/digits --seeds 3 --guidance 1
        mezzotint evaluate runs/digits --count 2000 --sweep guidance=1,1.25,1.5,2,3
        mezzotint evaluate samples.npz
        mezzotint evaluate rgb.npz --against real.npz

    Each measure is printed with its floor, the score of real images. evaluation.json contains the protocol,
    evaluation.png the pictures.

    Parameters
    ----------
    what
        A run's folder, a weights file, a shipped model's name, or hf:OWNER/NAME of the Hugging Face Hub; or
        images of any system: an .npz (images, labels) or a folder of pictures, in folders by class.
    count
        Number of images to sample, the classes in turn; 10,000 if not given.
    seeds
        Number of repetitions, with seeds 0, 1, ...; mean and standard deviation are reported.
    bits
        Number of test images whose bits per dimension are measured; 0 for none.
    classify
        Number of test images that the model classifies; 0 for none.
    sweep
        A sampling option and its values, such as guidance=1,1.5,2, steps=1,2,4,8,16 or sampler:eta=0,0.5,1.
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
    with loading_modules():
        from ..utils.device import prepare

    prepare()
    what = what.expanduser()
    names = ["evaluation.json", "evaluation.md", "evaluation.png"]
    if sweep is not None:
        names = [f"{sweep_name(sweep)}{ending}" for ending in (".json", ".png")]
    place = out or (what if (what / "recipe.toml").is_file() else Path("."))
    folder = output_folder(place, names if against is None else ["inception-fid.json"])
    judges = Judges(judge, witness)
    if what.suffix != ".npz" and not _holds_images(what):
        if against is not None:
            raise RecipeError("--against goes with images (.npz or a folder), not with a model")
        extras = Extras(seeds=seeds, bits=bits, classify=classify)
        _evaluate_model(what, count, options, extras, sweep, data, judges, folder, device)
        return
    for_models = {
        "count": count,
        "sweep": sweep,
        "bits": bits or None,
        "classify": classify or None,
    }
    flagged = [f"--{name}" for name in set_values(for_models) | options]
    if flagged or seeds > 1:
        raise RecipeError(
            f"{what} holds images: {', '.join(flagged) or '--seeds'} is for models, which draw them"
        )
    if against is None:
        _evaluate_images(what, data, judges, folder, device)
    elif data is not None or judge is not None or witness is not None:
        raise RecipeError(
            "--against measures by Inception-FID: leave out --data, --judge and --witness"
        )
    else:
        _inception(what, against.expanduser(), folder, device)


def _holds_images(what: Path) -> bool:
    """Whether a path is a folder of pictures, and neither a run nor the name of a shipped model."""
    from .. import loading
    from ..utils.assets import shipped

    return what.is_dir() and not loading.is_model(what) and str(what) not in shipped("models")


@dataclass(frozen=True)
class Judges:
    """The two classifiers that measure, by name or file; None is the shipped one."""

    judge: Path | None
    witness: Path | None


@dataclass(frozen=True)
class Extras:
    """What is measured of a model beside one set of its images."""

    seeds: int
    bits: int
    classify: int


def _evaluate_model(
    what: Path,
    count: int | None,
    options: dict[str, Any],
    extras: Extras,
    sweep: str | None,
    data: str | None,
    judges: Judges,
    folder: Path,
    device: str | None,
) -> None:
    """Draw images of a model and measure them."""
    from .. import loading
    from ..evaluation import evaluate as evaluation
    from ..evaluation.matching import test_images_of
    from ..utils.files import sha256

    weights = loading.find_weights(what)
    evaluation.is_main()  # under torchrun each process takes its device before a model is loaded
    loaded = loading.load(weights, device)
    loaded.sampling_options(**options)
    section = loaded.recipe.data
    if data is not None:
        section = override(section, {"name": data, "folder": None})
    reference = evaluation.reference_of(section, judges.judge, judges.witness, loaded.device)
    number = 10_000 if count is None else count
    if sweep is not None:
        measure_sweep(loaded, reference, sweep, number, options, str(what), folder)
        return
    test = test_images_of(loaded, reference)
    if extras.classify and test is None:
        raise RecipeError(
            f"--classify needs test images of the model's own classes, {', '.join(loaded.spec.classes)}"
        )
    result = evaluation.evaluate_model(
        loaded,
        reference,
        count=number,
        seeds=range(extras.seeds),
        bits=extras.bits,
        source=str(what),
        **options,
    )
    result.protocol |= {"data": section.name, "weights": {"sha256": sha256(weights)}}
    if extras.classify and test is not None:
        result.protocol["as_classifier"] = {"images": extras.classify, "draws_per_label": 8}
        result.values["as_classifier"] = [evaluation.classify(loaded, test, extras.classify)]
    report(result, reference, folder)


def _evaluate_images(
    what: Path, data: str | None, judges: Judges, folder: Path, device: str | None
) -> None:
    """Measure images that are already there, of whatever system."""
    from ..data.samples import read_images
    from ..evaluation.evaluate import evaluate_images, is_main, reference_of
    from ..utils.device import pick_device

    is_main()  # under torchrun each process takes its device
    section = override(Data(), {} if data is None else {"name": data})
    reference = reference_of(section, judges.judge, judges.witness, pick_device(device))
    images = read_images(what, reference.test.classes)
    if images.images.shape[1] == 3 and reference.test.channels == 1:
        raise RecipeError(f"{what} holds RGB images: say --against what, for Inception-FID")
    report(evaluate_images(images, reference, str(what)), reference, folder)


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


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command, with a flag for each sampling option."""
    return with_flags(evaluate, section_flags(Sampling()))
