"""One thread per worker, and the annotated shapes of the mathematics checked at run time."""

from pathlib import Path

import jaxtyping
import pytest
import torch

CHECKED = ["diffusion", "nets", "samplers", "pixels", "viz"]
jaxtyping.install_import_hook([f"mezzotint.{name}" for name in CHECKED], "typecheck.check")

torch.set_num_threads(1)

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The golden vectors of the original system."""
    return REFERENCE
