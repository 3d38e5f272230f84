"""One thread per worker, and every jaxtyping annotation of the package checked at run time."""

from pathlib import Path

import jaxtyping
import pytest
import torch

jaxtyping.install_import_hook("mezzotint", "beartype.beartype")

torch.set_num_threads(1)

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The golden vectors of the original system."""
    return REFERENCE
