"""Writes into a model's graph whether somebody speaks: a few nodes from its frames to one more output.

The frames are those that the score is pooled from, before the pooling; a small network says of each whether it holds a
voice, and the chunk's answer is the mean over its frames, as a probability. Scores and states stay the same bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.explain_graph import finish, take_out

Floats = NDArray[np.float32]
PREFIX = "voice/"  # of every name that is added, so that a graph can be fitted anew (and left out of quantization)
FRAMES_BY = "head.weight.weight"  # how the weight ends whose product is the first to take the frames


class Layers(NamedTuple):
    """Two layers with SiLU between: D the width of a frame, H hidden."""

    hidden: Floats  # [H, D]
    hidden_bias: Floats  # [H]
    out: Floats  # [1, H]
    out_bias: Floats  # [1]


def attach(path: Path, layers: Layers) -> None:
    """Give the graph in PATH the output `voice` [calls], 0 to 1; what an earlier fit left is replaced.

    ValueError when its frames cannot be found.
    """
    model = onnx.load(str(path))
    take_out(model, PREFIX, "voice")
    frames = frames_of(model, path)
    for name, value in [*layers._asdict().items(), ("frames", np.array([-1], np.int64))]:
        model.graph.initializer.append(numpy_helper.from_array(value, PREFIX + name))
    model.graph.node.extend(_nodes(frames))
    model.graph.output.append(helper.make_tensor_value_info("voice", TensorProto.FLOAT, ["calls"]))
    finish(model, path)


def frames_of(model: Any, path: Path) -> str:
    """Name of the tensor [calls * frames, D] that the head pools."""
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1].endswith(FRAMES_BY):
            return str(node.input[0])
    raise ValueError(f"{path} is no graph of ours: nothing in it takes frames to pool")


def tapped(path: Path) -> bytes:
    """The graph in PATH with its frames as the only output, `frames` [calls * frames, D]."""
    model = onnx.load(str(path))
    node = helper.make_node("Identity", [frames_of(model, path)], ["frames"], PREFIX + "tap")
    model.graph.node.append(node)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["rows", None]))
    serialised: bytes = model.SerializeToString()
    return serialised


def _nodes(frames: str) -> list[Any]:
    outer = {frames, "scores", "voice"}  # names of the graph itself

    def node(operation: str, inputs: str, output: str, **attributes: Any) -> Any:
        given = [name if name in outer else PREFIX + name for name in inputs.split()]
        made = output if output in outer else PREFIX + output
        return helper.make_node(operation, given, [made], PREFIX + output + "_node", **attributes)

    return [
        node("Gemm", f"{frames} hidden hidden_bias", "sum", transB=1),
        node("Sigmoid", "sum", "gate"),
        node("Mul", "sum gate", "active"),
        node("Gemm", "active out out_bias", "logit", transB=1),
        node("Shape", "scores", "calls"),
        node("Concat", "calls frames", "shape", axis=0),
        node("Reshape", "logit shape", "table"),  # [calls, frames]
        node("ReduceMean", "table", "mean", axes=[1], keepdims=0),
        node("Sigmoid", "mean", "voice"),
    ]
