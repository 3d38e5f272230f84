"""What ``mezzotint inpaint`` and ``mezzotint edit`` have in common."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe.fields import RecipeError
from .common import parse_labels, set_values
from .pictures import (
    FILMS,
    columns_of,
    film_of,
    kind_of_output,
    result_file,
    write_film,
    write_grid,
    write_npz,
)

if TYPE_CHECKING:
    from ..editing import Edit
    from ..model import Model

MOST = 1000
"""Results of one command."""


@dataclass(frozen=True)
class Output:
    """Where results go, and how many.

    Args:
        verb: of the command, for the name of the file.
        out: what was asked for.
        scale: enlargement of each pixel; None if not given.
        seed: of the noise.
        count: results for each class.

    Raises:
        ValueError: for numbers out of range, or a file that cannot be written.
    """

    verb: str
    out: Path | None
    scale: int | None
    seed: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST:
            raise RecipeError(f"count = {self.count}: it must be from 1 to {MOST}")
        if self.scale is not None and self.scale < 1:
            raise RecipeError(f"scale = {self.scale}: it must be at least 1")
        if self.scale is not None and self.out is not None and self.out.suffix == ".npz":
            raise RecipeError(f"scale = {self.scale}: only pictures are enlarged, not {self.out}")
        self.path(0)

    def path(self, size: int) -> Path:
        """The file, for results of ``size`` bytes."""
        return result_file(self.out, f"{self.verb}-seed{self.seed}.png", size)


def draw(
    model: "Model",
    edit: "Edit",
    words: Sequence[str],
    output: Output,
    flags: dict[str, Any],
) -> None:
    """Draw results of an edit, and write them.

    Args:
        model: the model.
        edit: the edit.
        words: classes, as they were named; none for results without a class.
        output: where to.
        flags: sampling options.
    """
    classes = parse_labels(words, model.spec.classes) if words else None
    labels = None if classes is None else [k for k in classes for _ in range(output.count)]
    total = output.count if labels is None else len(labels)
    path = output.path(total * math.prod(model.spec.shape))
    columns = output.count if labels is not None and output.count > 1 else columns_of(total)
    count = output.count if labels is None else None
    kind = kind_of_output()
    scale = output.scale or 4
    options = set_values(flags)
    if path.suffix.lower() in FILMS:
        trajectory = model.trajectory(
            labels, count=count, seed=output.seed, edit=edit, progress=True, **options
        )
        write_film(path, film_of(trajectory), columns, scale)
    else:
        images = model.sample(
            labels, count=count, seed=output.seed, edit=edit, progress=True, **options
        )
        if path.suffix.lower() == ".npz":
            write_npz(path, images, labels)
        else:
            write_grid(path, images, columns, scale, kind)
