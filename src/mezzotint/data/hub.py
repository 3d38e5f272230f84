"""Data sets of the Hugging Face Hub, or others that its ``datasets`` library reads: ``hf:NAME``, or
``hf:NAME:CONFIGURATION``, such as ``hf:ylecun/mnist``.

The first column of pictures is learnt from; the first column of class labels gives the classes, or else the
values of a column called ``label`` or the like. ``test`` or ``validation`` is the test split; without either,
one picture in about ten is.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..utils.classes import class_name, in_order, listed
from .decode import Broken
from .folders import decode_listing
from .images import ImageData, Split, check_labels
from .listing import Listing
from .transforms import Frame


@dataclass(frozen=True)
class Row:
    """The picture in a row of a table of one column, as the bytes of its file."""

    table: Any
    column: str
    number: int
    name: str

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Its bytes, or those of the file that it names."""
        found = self.table[self.number][self.column]
        if found is None:
            raise ValueError("the row is empty")
        content: bytes | None = found["bytes"]
        return Path(found["path"]).open(mode) if content is None else io.BytesIO(content)

    def __str__(self) -> str:
        return f"hf:{self.name}, {self.table.split} row {self.number}"

    @property
    def identity(self) -> str:
        """What the cache knows it by: the library's own fingerprint of the table, and the row."""
        return f"{self.table._fingerprint}\0{self.number}"


def from_hub(name: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """The data set ``name``, from the Hub or a local folder in its format, decoded once into the cache.

    Raises ValueError where the library is not installed, or the data set cannot be had or holds no
    pictures.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError(f"hf:{name} needs a library: pip install 'mezzotint[datasets]'") from error
    path, _, configuration = name.partition(":")
    place = str(Path(path).expanduser()) if path.startswith("~") else path
    try:
        found = datasets.load_dataset(place, configuration or None)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"hf:{name} cannot be had: {error}") from error
    if "train" not in found:
        raise ValueError(f"hf:{name} has no split train, but {', '.join(found)}")
    train = _listing(found["train"], name)
    test = next((found[key] for key in ("test", "validation") if key in found), None)
    if test is None:
        train, chosen = train.part("train"), train.part(split)
    else:
        chosen = train if split == "train" else _listing(test, name, train.classes)
    return decode_listing(chosen, train, frame, broken, f"hf:{name}")


LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "digit", "fine_label", "y")
"""Names of columns whose values are classes, where no column is declared to hold any."""


def _listing(table: Any, name: str, expected: tuple[str, ...] | None = None) -> Listing:
    """The pictures and labels of one split.

    Args:
        table: the split.
        name: of the data set, for errors.
        expected: the classes of the training split.
    """
    import datasets

    columns = table.features
    pictures = next((k for k, v in columns.items() if isinstance(v, datasets.Image)), None)
    if pictures is None:
        raise ValueError(f"hf:{name} holds no pictures, but {', '.join(columns)}")
    alone = table.select_columns([pictures]).cast_column(pictures, datasets.Image(decode=False))
    rows = [Row(alone, pictures, number, name) for number in range(len(table))]
    declared = next((k for k, v in columns.items() if isinstance(v, datasets.ClassLabel)), None)
    if declared is not None:
        classes = tuple(columns[declared].names)
        try:
            labels = check_labels(list(table[declared]), classes).tolist()
        except ValueError as error:
            raise ValueError(f"hf:{name}, column {declared!r}: {error}") from error
        return Listing(rows, labels, classes)
    others = [key for key in columns if key != pictures]
    column = next((key for key in others if key.casefold() in LABEL_COLUMNS), None)
    if column is None or not isinstance(columns[column], datasets.Value):
        note = f"no column holds classes (there are {', '.join(others)}): the model has none"
        return Listing(rows, [0] * len(rows), (), (note,) if others else ())
    values = [str(value) for value in table[column]]
    classes = expected or in_order(set(values), f"hf:{name}, column {column!r}")
    names = [class_name(value) for value in values]
    if unknown := set(names) - set(classes):
        raise ValueError(
            f"hf:{name}, column {column!r}: {min(unknown)} is no class of the training images:"
            f" {listed(classes)}"
        )
    note = f"classes are the values of column {column!r}"
    return Listing(rows, [classes.index(value) for value in names], classes, (note,))
