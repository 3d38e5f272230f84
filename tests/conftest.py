"""One thread per worker, and the annotated shapes of the mathematics checked at run time."""

import os
import signal
from pathlib import Path

import jaxtyping
import pytest
import torch

CHECKED = ["diffusion", "objectives", "nets", "samplers", "utils.pixels", "viz"]
jaxtyping.install_import_hook([f"mezzotint.{name}" for name in CHECKED], "typecheck.check")

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["MEZZOTINT_WITHOUT"] = "bf16"  # a timing never decides a test; subprocesses inherit it

REFERENCE = Path(__file__).parent / "reference"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the tests marked so: cpu, cuda")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """The device that was asked for."""
    return str(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The golden vectors of the original system."""
    return REFERENCE
