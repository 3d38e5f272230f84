"""A model as one ONNX file, for programs that have no torch.

The graph is the network, ``output = network(x, timestep, labels)``, with standardized kernels folded. What
a sampler needs beside it is in the file's metadata, as JSON under the key ``mezzotint``: see
:mod:`.description`. ``docs/onnx.md`` has a sampler in thirty lines.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model import Model
from ..utils.extras import missing
from ..utils.files import read_bytes, whole_file
from ..utils.progress import bar
from .description import LabelInput, describe

OPSET = 20
TOLERANCE = 1e-4
"""Largest difference of an output from torch's, relative to the largest output if that exceeds 1."""

HALF_TOLERANCE = 1e-2
"""The same for weights stored in 16 bits. Those that have no more, as the shipped ones, lose nothing."""

BATCHES = (1, 3, 64)
"""Sizes of the batches that are compared with torch's."""


class _Exported(nn.Module):
    """The network of a model, with inputs of fixed types."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.denoiser.network
        self.classes = len(model.spec.classes)

    def forward(self, x: Tensor, timestep: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's output (batch, channels, height, width)."""
        output: Tensor = self.network(x, timestep, labels)
        return output


def export_onnx(
    model: Model, out: Path, *, labels: LabelInput = "index", half: bool = False
) -> float:
    """Write a model as an ONNX file, after comparing it with torch.

    Args:
        model: on the CPU.
        out: file to write.
        labels: how the graph takes labels.
        half: whether weights are stored in 16 bits; the graph computes in 32 bits all the same.

    Returns:
        the largest difference from torch's outputs, relative as TOLERANCE.

    Raises:
        ValueError: if the extra ``onnx`` is not installed, or the exported network does not do what the model
            does; nothing is written then.
    """
    require_onnx()
    with whole_file(out) as path, bar("exporting", 3, unit="part") as progress:
        _write_graph(model, path, labels)
        progress.update()
        parameters = (
            {name for name, _ in model.denoiser.network.named_parameters()} if half else set()
        )
        _add_metadata(path, describe(model, labels), parameters)
        progress.update()
        difference = compare(model, path, labels)
        progress.update()
        limit = HALF_TOLERANCE if half else TOLERANCE
        if not difference <= limit:
            raise ValueError(
                f"the exported network differs from torch's by {difference:.1e}, more than {limit:.0e}:"
                " nothing was written"
            )
    return difference


def require_onnx() -> None:
    """Raise ValueError, in words, if the extra ``onnx`` is not installed."""
    if any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        raise missing("the ONNX export", "onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own inner life."""
    import logging

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write_graph(model: Model, path: Path, labels: LabelInput) -> None:
    """Export the network, with a batch of any size."""
    batch = torch.export.Dim("batch")
    inputs = _inputs(model, 2, labels, seed=0)
    with _quiet():
        torch.onnx.export(
            _Exported(model).eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["output"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            verbose=False,
        )


def _inputs(model: Model, count: int, labels: LabelInput, seed: int) -> dict[str, Tensor]:
    """Inputs of the graph, drawn at random: the last image of several has no label."""
    source = torch.Generator().manual_seed(seed)
    classes = len(model.spec.classes)
    scale = model.denoiser.schedule.timesteps or 1000
    inputs = {
        "x": torch.randn(count, *model.spec.shape, generator=source),
        "timestep": (torch.rand(count, generator=source) * scale).ceil(),
    }
    if not classes:
        return inputs
    numbers = torch.randint(0, classes, (count,), generator=source)
    if labels == "weights":
        rows = nn.functional.one_hot(numbers, classes).float()
        rows[-1] *= count == 1
        rows[0] = (rows[0] + 1 / classes) / 2
        return {**inputs, "labels": rows}
    numbers[-1] = classes if count > 1 else numbers[-1]
    return {**inputs, "labels": numbers}


def _add_metadata(path: Path, content: dict[str, Any], in_half: set[str]) -> None:
    """Put the description into the file, and the parameters of these names into 16 bits."""
    import onnx

    graph = onnx.load(path)
    _store_half(graph, in_half)
    del graph.metadata_props[:]
    graph.doc_string = "Written by Mezzotint"
    onnx.helper.set_model_props(graph, {"mezzotint": json.dumps(content)})
    for node in graph.graph.node:  # the exporter notes the places in its source here
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _store_half(model: Any, parameters: set[str]) -> None:
    """Replace parameters of 32 bits by ones of 16, each followed by a cast back."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        name = tensor.name
        if tensor.data_type != TensorProto.FLOAT or name.removeprefix("network.") not in parameters:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def session(path: Path, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU.

    Args:
        path: the ONNX file.
        threads: number of threads; 0 for all cores.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    content = read_bytes(path)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@torch.inference_mode()
def compare(model: Model, path: Path, labels: LabelInput = "index") -> float:
    """The largest difference of a file's outputs from the model's, over batches, times and labels.

    Args:
        model: the model, on the CPU.
        path: the ONNX file.
        labels: how it takes labels.

    Returns:
        the difference, relative to the largest output where that exceeds 1.
    """
    running = session(path)
    network = model.denoiser.network
    worst = 0.0
    for count in BATCHES:
        inputs = _inputs(model, count, labels, seed=count)
        right = network(*inputs.values())
        arrays: dict[str, NDArray[Any]] = {name: value.numpy() for name, value in inputs.items()}
        output = torch.from_numpy(running.run(None, arrays)[0])
        scale = max(1.0, right.abs().max().item())
        difference = (output - right).abs().max().item() / scale
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst
