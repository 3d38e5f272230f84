"""Data sets of the Hugging Face Hub, or others that its ``datasets`` library reads.

They are named ``hf:NAME`` or ``hf:NAME:CONFIGURATION``, such as ``hf:ylecun/mnist``. The images are the first
column of pictures. The classes are the first column of class labels, or else the values of a column named
``label`` or similar. ``test`` or ``validation`` is the test split; without either, it is about one picture in
ten.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..utils.classes import class_name, find_class, in_order, listed
from ..utils.extras import missing
from ..utils.hub import unreachable
from .decode import Broken
from .folders import decode_listing
from .images import ImageData, Split, check_labels
from .listing import Listing
from .transforms import Frame


@dataclass(frozen=True)
class Row:
    """The picture in a row of a table with one column, as the bytes of its file.

    Args:
        table: the table, whose pictures are not decoded.
        column: name of the column.
        number: of the row, from 0.
        name: of the data set, for messages.
    """

    table: Any
    column: str
    number: int
    name: str

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """The bytes in the row, or those of the file that the row names."""
        picture = self.table[self.number][self.column]
        if picture is None:
            raise ValueError("the row is empty")
        content: bytes | None = picture["bytes"]
        return Path(picture["path"]).open(mode) if content is None else io.BytesIO(content)

    def __str__(self) -> str:
        return f"hf:{self.name}, {self.table.split} row {self.number}"

    @property
    def identity(self) -> str:
        """The library's fingerprint of the table, and the row: part of the cache's name."""
        return f"{self.table._fingerprint}\0{self.number}"


def from_hub(name: str, split: Split, frame: Frame, broken: Broken) -> ImageData:
    """A data set of the Hub, or of a local folder in its format, decoded once into the cache.

    Args:
        name: of the data set or path of the folder; a configuration may follow a colon.
        split: "train" or "test".
        frame: how pictures are cut and resized, and their channels.
        broken: whether broken pictures are an error ("refuse") or left out ("skip").

    Returns:
        The images of the split, with labels and class names.

    Raises:
        OSError: if a picture cannot be read.
        ValueError: if the library is not installed, the data set cannot be loaded or has no pictures, or a
            picture is broken.
    """
    try:
        import datasets
    except ImportError as error:
        raise missing(f"hf:{name}", "datasets") from error
    path, _, configuration = name.partition(":")
    place = str(Path(path).expanduser()) if path.startswith("~") else path
    try:
        splits = datasets.load_dataset(place, configuration or None)
    except ConnectionError as error:
        advice = "name a folder with its pictures: folder:PATH"
        offline = bool(datasets.config.HF_HUB_OFFLINE)
        raise ValueError(unreachable(name, offline, "the Hub cannot be reached", advice)) from error
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"hf:{name} cannot be had: {error}") from error
    if "train" not in splits:
        raise ValueError(f"hf:{name} has no split train, but {', '.join(splits)}")
    train = _listing(splits["train"], name)
    test = next((splits[key] for key in ("test", "validation") if key in splits), None)
    if test is None:
        listing = train.part(split)
        train = train.part("train")
    else:
        listing = train if split == "train" else _listing(test, name, train.classes)
    return decode_listing(listing, train, frame, broken, f"hf:{name}")


LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "digit", "fine_label", "y")
"""Names of columns whose values are classes, if no column has the type ClassLabel."""


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
    undecoded = table.select_columns([pictures]).cast_column(pictures, datasets.Image(decode=False))
    rows = [Row(undecoded, pictures, number, name) for number in range(len(table))]
    label_column = next((k for k, v in columns.items() if isinstance(v, datasets.ClassLabel)), None)
    if label_column is not None:
        names = tuple(class_name(text) for text in columns[label_column].names)
        try:
            classes = names if expected is None else expected
            numbers = check_labels(list(table[label_column]), names).tolist()
            return Listing(rows, [find_class(names[k], classes) for k in numbers], classes)
        except ValueError as error:
            raise ValueError(f"hf:{name}, column {label_column!r}: {error}") from error
    others = [key for key in columns if key != pictures]
    column = next((key for key in others if key.casefold() in LABEL_COLUMNS), None)
    if column is None or not isinstance(columns[column], datasets.Value):
        note = f"no column holds classes (there are {', '.join(others)}): the model has none"
        return Listing(rows, [0] * len(rows), (), (note,) if others else ())
    values = [str(value) for value in table[column]]
    classes = expected or in_order(set(values), f"hf:{name}, column {column!r}")
    spelled = [class_name(value) for value in values]
    if unknown := set(spelled) - set(classes):
        raise ValueError(
            f"hf:{name}, column {column!r}: {min(unknown)} is no class of the training images:"
            f" {listed(classes)}"
        )
    note = f"classes are the values of column {column!r}"
    return Listing(rows, [classes.index(value) for value in spelled], classes, (note,))
