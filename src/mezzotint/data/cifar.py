"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in their binary version, which needs no unpickling.

A record is one label byte (two for CIFAR-100: coarse, fine) and 3 x 32 x 32 pixels.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..utils.cache import cache_entry
from ..utils.files import naming, read_bytes
from .download import fetch
from .images import ImageData, Split, check_labels

PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """A data set of one archive; call it with a split.

    Args:
        title: its name, for errors.
        archive: file name of the archive.
        md5: of the archive.
        files: names of the files of records, by split.
        label_bytes: label bytes before each image; the last one is the class.
        classes: their names, or the name of the file in the archive that lists them.
        mirrors: URLs of folders with the archive.
    """

    title: str
    archive: str
    md5: str
    files: Mapping[Split, tuple[str, ...]]
    label_bytes: int
    classes: tuple[str, ...] | str
    mirrors: tuple[str, ...] = (
        "https://www.cs.toronto.edu/~kriz",
        "https://cave.cs.toronto.edu/kriz",
    )

    def __call__(self, split: Split = "train", folder: Path | None = None) -> ImageData:
        """Read a split.

        Args:
            split: "train" or "test".
            folder: a folder with the archive or its files; if not given, the archive is downloaded once.

        Returns:
            Its images, uint8 (n, 3, 32, 32), with labels and class names.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a file is broken.
        """
        names = [*self.files[split], *([self.classes] if isinstance(self.classes, str) else [])]
        content = self._read(names, folder)
        classes = self.classes
        if isinstance(classes, str):
            classes = tuple(content[classes].decode().split())
        size = self.label_bytes + PIXELS
        records = []
        labels = []
        for name in self.files[split]:
            if not content[name] or len(content[name]) % size:
                raise ValueError(
                    f"{self.title}: {name} is cut: it is no whole number of {size} bytes"
                )
            rows = np.frombuffer(content[name], np.uint8).reshape(-1, size)
            try:
                labels.append(check_labels(rows[:, self.label_bytes - 1].tolist(), classes))
            except ValueError as error:
                raise ValueError(f"{self.title}: {name} is damaged: {error}") from error
            records.append(rows[:, self.label_bytes :])
        images = np.concatenate(records).reshape(-1, 3, 32, 32)
        return ImageData(torch.from_numpy(images), torch.cat(labels), classes)

    def _read(self, names: list[str], folder: Path | None) -> dict[str, bytes]:
        if folder is not None and not (folder / self.archive).is_file():
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise FileNotFoundError(f"neither {self.archive} nor {missing[0]} is in {folder}")
            return {name: read_bytes(folder / name) for name in names}
        if folder is not None:
            path = folder / self.archive
            try:
                self._check(path)
            except ValueError as error:
                raise ValueError(f"{path}: {error}; fetch it again") from error
        else:
            urls = [f"{mirror}/{self.archive}" for mirror in self.mirrors]
            path = fetch(cache_entry("data", self.archive), urls, self._check)
        try:
            with naming(path), tarfile.open(path) as archive:
                members = {Path(member.name).name: member for member in archive if member.isfile()}
                return {name: archive.extractfile(members[name]).read() for name in names}  # type: ignore[union-attr]
        except (tarfile.TarError, OSError, EOFError, KeyError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, which says nothing of the archive
            raise ValueError(
                f"{path} is not a whole {self.archive}: {error}; fetch it again"
            ) from error

    def _check(self, path: Path) -> None:
        with naming(path), path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != self.md5:
                raise ValueError(f"it is not {self.archive}: its MD5 is wrong")


CIFAR10 = Cifar(
    title="CIFAR-10",
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    files={
        "train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    label_bytes=1,
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
)

CIFAR100 = Cifar(
    title="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    files={"train": ("train.bin",), "test": ("test.bin",)},
    label_bytes=2,
    classes="fine_label_names.txt",
)
