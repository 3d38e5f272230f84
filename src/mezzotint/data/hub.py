"""Data sets of the Hugging Face Hub, or others that its ``datasets`` library reads: ``hf:NAME``, or
``hf:NAME:CONFIGURATION``, such as ``hf:ylecun/mnist``.

The first column of pictures is learnt from; the first column of class labels, if there is one, gives
the classes. ``test`` or ``validation`` is the test split; without either, one picture in ten is.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from .decode import Broken
from .folders import Listing, decoded
from .images import ImageData, Split, check_labels
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
        chosen, train = train.part(split), train.part("train")
    else:
        chosen = train if split == "train" else _listing(test, name)
    return decoded(chosen, train, frame, broken, f"hf:{name}")


def _listing(table: Any, name: str) -> Listing:
    """The pictures and labels of one split."""
    import datasets

    columns = table.features
    pictures = next((k for k, v in columns.items() if isinstance(v, datasets.Image)), None)
    if pictures is None:
        raise ValueError(f"hf:{name} holds no pictures, but {', '.join(columns)}")
    labels = next((k for k, v in columns.items() if isinstance(v, datasets.ClassLabel)), None)
    classes = tuple(columns[labels].names) if labels else ()
    alone = table.select_columns([pictures]).cast_column(pictures, datasets.Image(decode=False))
    rows = [Row(alone, pictures, number, name) for number in range(len(table))]
    if labels is None:
        return Listing(rows, [0] * len(rows), ())
    try:
        return Listing(rows, check_labels(list(table[labels]), classes).tolist(), classes)
    except ValueError as error:
        raise ValueError(f"hf:{name}, column {labels!r}: {error}") from error
