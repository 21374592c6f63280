"""Writes the explanation of scores into a model's graph: a few nodes from its embedding to one more output.

|e - c|^2 = |e|^2 - 2 e c + |c|^2 for all centres is one product; which of the two class means is nearer is linear in e and
one more column of it. So an explanation costs one narrow product and some elementwise steps, and no second run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]
PREFIX = "explain/"  # of every name that is added, so that a graph can be fitted anew (and left out of quantization)


def attach(path: Path, real: Floats, fake: Floats, clusters: Floats, scale: float, boundary: float) -> None:
    """Give the graph in PATH the output `explanation` [calls, 3]; what an earlier fit left is replaced.

    ValueError when the graph has no output `embedding`, or one of another width than the means.
    """
    model = onnx.load(str(path))
    width = _width(model, path)
    if width != len(real):
        raise ValueError(f"{path} gives embeddings of {width} numbers, the means have {len(real)}")
    take_out(model, PREFIX, "explanation")
    for name, value in _constants(real, fake, clusters, scale, boundary).items():
        array = np.asarray(value, np.int64 if "/at" in name else np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    model.graph.node.extend(_nodes())
    model.graph.output.append(helper.make_tensor_value_info("explanation", TensorProto.FLOAT, ["calls", 3]))
    finish(model, path)


def take_out(model: Any, prefix: str, *outputs_of: str) -> None:
    """Take out what was attached: all whose name begins with `prefix`, and those outputs."""
    graph = model.graph
    for part in (graph.node, graph.initializer, graph.value_info):
        kept = [item for item in part if not item.name.startswith(prefix)]
        del part[:]
        part.extend(kept)
    outputs = [kept for kept in graph.output if kept.name not in outputs_of]
    del graph.output[:]
    graph.output.extend(outputs)


def finish(model: Any, path: Path) -> None:
    """Write the graph, every node behind what it takes, whichever was attached first. ValueError where none could be first."""
    graph = model.graph
    ready = {i.name for i in graph.initializer} | {i.name for i in graph.input} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        able = [node for node in waiting if ready.issuperset(node.input)]
        if not able:
            raise ValueError(f"{path}: the graph's nodes wait for one another")
        ordered += able
        ready.update(name for node in able for name in node.output)
        waiting = [node for node in waiting if not ready.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _width(model: Any, path: Path) -> int:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)  # what exports leave as a name, it works out
    for output in inferred.graph.output:
        if output.name == "embedding":
            return int(output.type.tensor_type.shape.dim[1].dim_value)
    raise ValueError(f"{path} does not give its embeddings; export it again")


def _constants(real: Floats, fake: Floats, clusters: Floats, scale: float, boundary: float) -> dict[str, Any]:
    centres = np.vstack([real, clusters]) / scale
    nearer = 2 * (real - fake)[None] / scale  # |e - fake|^2 - |e - real|^2 = 2 e (real - fake) + |fake|^2 - |real|^2
    bias = np.append((centres**2).sum(axis=1), (fake @ fake - real @ real) / scale**2)
    return {
        f"{PREFIX}unit": 1 / scale,
        f"{PREFIX}centres": np.vstack([-2 * centres, nearer]),
        f"{PREFIX}bias": bias,
        f"{PREFIX}boundary": boundary,
        f"{PREFIX}at": [1, len(clusters), 1],
        f"{PREFIX}at_rows": [1],
    }


def _nodes() -> list[Any]:
    def node(operation: str, inputs: str, outputs: str, **attributes: Any) -> Any:
        given = [name if name in OUTER else PREFIX + name for name in inputs.split()]
        made = [name if name in OUTER else PREFIX + name for name in outputs.split()]
        return helper.make_node(operation, given, made, PREFIX + outputs.split()[0], **attributes)

    return [
        node("Mul", "embedding unit", "scaled"),
        node("ReduceSumSquare", "scaled", "square", axes=[1], keepdims=1),
        node("Gemm", "scaled centres bias", "product", transB=1),
        node("Split", "product at", "person fakes side", axis=1),
        node("ReduceMin", "fakes", "fake", axes=[1], keepdims=1),
        node("Concat", "person fake", "nearest", axis=1),
        node("Add", "nearest square", "squares"),
        node("Relu", "squares", "positive"),  # rounding may leave a trace below 0
        node("Sqrt", "positive", "distances"),
        node("Sub", "scores boundary", "above"),
        node("Unsqueeze", "above at_rows", "column"),
        node("Mul", "side column", "both"),
        node("Sign", "both", "sign"),
        node("Relu", "sign", "agrees"),
        node("Concat", "distances agrees", "explanation", axis=1),
    ]


OUTER = frozenset({"embedding", "scores", "explanation"})  # names of the graph itself
