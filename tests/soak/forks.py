"""Runs pytest again and again in forks of a process that has loaded torch, which takes most of a short run.

A line of standard input is a JSON list of pytest's words, the answer a JSON list of its exit status and its
output. The process must not have loaded what is tested.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile

import pytest

LOADED = ["jaxtyping", "beartype", "diffusers", "numpy", "PIL.Image", "safetensors.torch"]
LOADED += ["torch", "torch.distributed", "torch.nn.functional", "torchmetrics.image.kid"]
LONGEST = 300
"""Seconds after which a run is given up; its status is then that of the signal."""


def run(words: list[str]) -> tuple[int, str]:
    """Run pytest in a fork.

    Returns:
        Its exit status, and its output.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = os.fork()
        if child == 0:
            signal.alarm(LONGEST)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
            status = int(pytest.main(words))
            sys.stdout.flush()
            os._exit(status)
        _, state = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(state), output.read()


def main() -> None:
    """Answer until there is no more input."""
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
