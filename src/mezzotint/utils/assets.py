"""What the package brings with it: MNIST, trained models, the classifiers that measure, the page."""

import base64
import hashlib
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from .files import read_bytes

PACKAGE = Path(str(resources.files("mezzotint")))
ASSETS = PACKAGE / "assets"


def shipped(kind: str) -> dict[str, Path]:
    """The weights files of ``kind`` ("models" or "classifiers"), by name."""
    return {path.stem: path for path in sorted((ASSETS / kind).glob("*.safetensors"))}


def read_asset(path: Path) -> bytes:
    """Read a file of the package that has no checksum of its own, and compare it with the installed one.

    An installation from a wheel records the SHA-256 of each file. One from a working tree, whose files are
    there to be changed, records none, and nothing is compared.

    Args:
        path: A file below ``PACKAGE``.

    Returns:
        Its content.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not as it was installed.
    """
    content = read_bytes(path)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if digest != installed_hashes().get(path, digest):
        raise ValueError(f"{path} is not as it was installed: install mezzotint again")
    return content


@cache
def installed_hashes() -> dict[Path, str]:
    """The SHA-256 of the package's files, in base64, as the installation recorded them."""
    try:
        files = metadata.files("mezzotint") or []
    except metadata.PackageNotFoundError:  # a working tree on the path
        return {}
    return {
        Path(str(file.locate())): file.hash.value
        for file in files
        if file.hash and file.hash.mode == "sha256"
    }
