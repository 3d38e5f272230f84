"""``mezzotint doctor``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..recipe.presets import find
from ..recipe.schema import Recipe
from ..recipe.toml import override
from ..utils.console import printable
from ..utils.numbers import duration
from .modules import loading_modules

if TYPE_CHECKING:
    from ..data import ImageData


def doctor(
    data: str,
    /,
    *,
    recipe: str = "digits",
    folder: Path | None = None,
    size: int | None = None,
    columns: int | None = None,
    crop: int | None = None,
    fit: Literal["crop", "pad", "resize"] = "crop",
    channels: int | None = None,
    background: int = 0,
) -> None:
    """Inspect a data set before training: read everything once, and report what it contains.

        mezzotint doctor folder:pictures
        mezzotint doctor folder:pictures --size 32 --channels 3
        mezzotint doctor fashion-mnist --recipe digits-long

    Reports splits, classes, sizes, modes, files that are left out or broken, copies and mirror images, the
    memory of the images, and the training time of a recipe.

    Parameters
    ----------
    data
        Data set, as in a recipe: mnist, fashion-mnist, ..., folder:PATH, npz:PATH, idx:PATH,
        celeba:PATH, hf:NAME.
    recipe
        Recipe to be trained with.
    folder
        Folder that already holds a named data set's files.
    size
        Side in pixels to bring images to; as they are if not given.
    columns
        Width in pixels, where they are not to be square.
    crop
        Side of a square in the middle that is cut out first.
    fit
        How to bring them to size.
    channels
        1 for grey, 3 for colour; as the images are if not given.
    background
        Grey level behind transparent pixels.
    """
    section = {
        "name": data,
        "folder": str(folder) if folder else None,
        "size": size,
        "columns": columns,
        "crop": crop,
        "fit": fit,
        "channels": channels,
        "background": background,
        "broken": "skip",
    }
    chosen = override(find(recipe), {"data": section})
    _files(data)
    with loading_modules():
        from .. import build
        from ..utils.device import prepare

    prepare()
    train = build.load_data(chosen.data)
    for note in () if data.startswith("folder:") else train.notes:  # of a folder, all has been said
        print(f"note:      {note}")
    _images(train, chosen)
    _test_images(train, chosen)
    _training(chosen, train)


def _files(data: str) -> None:
    """Of a folder: what it means, and what its pictures are."""
    kind, _, path = data.partition(":")
    if kind != "folder":
        return
    with loading_modules():
        from ..data.folders import layout_of
        from ..data.inspect import inspect_files
        from ..utils.progress import progress

    layout = layout_of(Path(path).expanduser())
    files = [*layout.train.pictures, *layout.test.pictures]
    pictures = inspect_files(progress(files, len(files), "reading", "picture"))
    print(f"files:     {len(files):,} in {printable(path)}")
    how = "folders of its own" if layout.own_splits else "one picture in ten, by a hash of its name"
    print(
        f"splits:    {len(layout.train.pictures):,} to train on, {len(layout.test.pictures):,} for testing:"
        f" {how}"
    )
    for line in layout.left_out.lines():
        print(f"left out:  {line}")
    print(f"modes:     {', '.join(f'{mode} {n:,}' for mode, n in pictures.modes.most_common())}")
    sizes = [f"{height}x{width} {n:,}" for (height, width), n in pictures.sizes.most_common(5)]
    more = len(pictures.sizes) - len(sizes)
    print(f"sizes:     {', '.join(sizes)}{f', and {more:,} more' if more > 0 else ''}")
    for fault in pictures.broken[:20]:
        print(f"broken:    {fault}")
    if pictures.broken:
        print(
            f"broken:    {len(pictures.broken):,} in all; remove them, or train with --broken skip"
        )


def _test_images(train: "ImageData", recipe: Recipe) -> None:
    """What is measured with, and whether it was learnt from."""
    from .. import build
    from ..data.inspect import copies_across

    try:
        test = build.load_data(recipe.data, "test")
    except (ValueError, OSError) as error:
        print(f"warning:   no test images: {error}")
        return
    if copies := copies_across(train, test):
        print(
            f"warning:   {copies:,} of {len(test):,} test images are exact copies of training images:"
            " measures will be too good"
        )


def _images(data: "ImageData", recipe: Recipe) -> None:
    """What is learnt from."""
    from ..data.inspect import concerns

    height, width = data.size
    megabytes = data.images.numel() / 1e6
    print(
        f"images:    {len(data):,} to train on, {height}x{width}x{data.channels}, {megabytes:,.1f} MB"
    )
    counts = ", ".join(f"{name} {count:,}" for name, count in data.counts().items())
    print(f"classes:   {counts or 'none: the model will be unconditional'}")
    for concern in concerns(data):
        print(f"warning:   {concern}")
    values = list(data.counts().values())
    if values and max(values) > 2 * max(1, min(values)) and recipe.training.balance == "none":
        print("advice:    classes are uneven: consider --balance classes")


def _training(recipe: Recipe, data: "ImageData") -> None:
    """What training would take, from a few steps of it."""
    from ..runs.train import make_trainer
    from ..training.calibration import calibrate

    # What a distillation or a refinement takes beside is not known without its model; --dry-run knows it.
    plain = {
        "objective": {"name": "denoising"},
        "training": {"compile": False},
        "sampling": {"sampler": "dpm++"},
    }
    trainer = make_trainer(override(recipe, plain), data)
    cost = calibrate(trainer)
    steps = recipe.training.steps
    batch = recipe.training.batch
    count = sum(cost.parameters.values())
    megabytes = sum(cost.memory.values()) / 1e6
    print(
        f"recipe:    {recipe.name}: {count:,} parameters, {megabytes:,.0f} MB of memory in training"
    )
    print(
        f"training:  {steps:,} steps of {batch}, {steps * batch / len(data):.1f} epochs, at"
        f" {batch / cost.seconds:.0f} images/s: {duration(cost.seconds * steps)} on {trainer.device}"
    )


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """The command."""
    return doctor
