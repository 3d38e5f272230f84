"""An evaluation of the shipped networks in onnxruntime, beside torch, on one thread and on all.

    python benchmarks/onnx_speed.py

Both take turns on the same inputs; each time is the median of twenty. The ratio is what to compare.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint import load
from mezzotint.export.onnx import export_onnx, session


def timed(*functions: Callable[[], Any], rounds: int = 20) -> list[float]:
    """Median seconds of each function, taking turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds + 2):
        for function, measured in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured[2:]) for measured in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.parse_args()
    model = load("digits-fast", "cpu")
    network = model.denoiser.network
    cores = torch.get_num_threads()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits-fast.onnx"
        export_onnx(model, path)
        for threads in sorted({1, cores}):
            torch.set_num_threads(threads)
            running = session(path, threads)
            for count in (1, 10, 64):
                x = torch.randn(count, *model.spec.shape)
                t = torch.full((count,), 500.0)
                labels = torch.arange(count) % 10
                given = {"x": x.numpy(), "timestep": t.numpy(), "labels": labels.numpy()}
                with torch.inference_mode():
                    ours, theirs = timed(
                        lambda x=x, t=t, labels=labels: network(x, t, labels),
                        lambda given=given, running=running: running.run(None, given),
                    )
                rows.append(
                    [
                        f"{threads}",
                        f"{count}",
                        f"{1000 * ours:.2f}",
                        f"{1000 * theirs:.2f}",
                        f"{theirs / ours:.2f}",
                    ]
                )
    headings = ["threads", "images", "torch, ms", "onnxruntime, ms", "onnxruntime / torch"]
    machine.write_section(
        "onnx",
        "## ONNX\n\nOne evaluation of `digits-fast`'s network, by torch and by onnxruntime from the exported"
        f" file, taking turns.\n\n{machine.table(headings, rows)}\n\n{machine.describe()}",
    )


if __name__ == "__main__":
    main()
