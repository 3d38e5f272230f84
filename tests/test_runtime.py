"""Settings of the machine: each can be left out, and does what it says."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from mezzotint.utils import device


def test_settings_are_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "memory,channels-last")
    assert [name for name in device.SETTINGS if device.is_enabled(name)] == [
        name for name in device.SETTINGS if name not in ("memory", "channels-last")
    ]
    monkeypatch.setenv("MEZZOTINT_WITHOUT", "memory,threads")
    with pytest.raises(ValueError, match="MEZZOTINT_WITHOUT names threads; settings are memory"):
        device.prepare()


@pytest.mark.parametrize("without", ["", "channels-last"])
def test_networks_lie_in_memory_as_settings_say(
    monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    monkeypatch.setenv("MEZZOTINT_WITHOUT", without)
    placed = device.place(nn.Conv2d(4, 8, 3), torch.device("cpu"))
    assert placed.weight.is_contiguous(memory_format=torch.channels_last) == (not without)
    assert placed.weight.is_contiguous() == bool(without)


def say(without: str, code: str) -> str:
    """What a new process prints after ``prepare()``."""
    script = f"import torch; from mezzotint.utils import device; device.prepare(); {code}"
    environment = {"MEZZOTINT_WITHOUT": without, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", script]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return made.stdout.strip()


@pytest.mark.slow
def test_denormals_become_zero_unless_left_out() -> None:
    tiny = "print((torch.full((64,), 1e-38) * 0.01).max().item())"
    assert say("", tiny) == "0.0"
    assert 0 < float(say("denormals", tiny)) < 1e-38
