"""What the package brings with it: MNIST, trained models, the classifiers that measure."""

from importlib import resources
from pathlib import Path

ASSETS = Path(str(resources.files("mezzotint"))) / "assets"


def shipped(kind: str) -> dict[str, Path]:
    """The weights files of ``kind`` ("models" or "classifiers"), by name."""
    return {path.stem: path for path in sorted((ASSETS / kind).glob("*.safetensors"))}
