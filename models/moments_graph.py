"""Writes the moments of a voice into a model's graph: its sums as two more states, and what they say into its scores.

Rows are weighed by the voice's probability, so `models.voice` is fitted before: y = sqrt(weight) * row, and products of
rows at a lag are products of y. Shapes of waves, where a kernel knows any, come once a frame and count for its rows. Nothing
mixes calls, and sums over a chunk are sums over its rows: any cutting into chunks gives the same scores but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models import moments
from models.explain_graph import finish, take_out
from models.moments import (
    AT,
    CEPSTRA_AT,
    COARSE,
    COLUMNS,
    FORGET_S,
    HOP,
    LAGS,
    MOVING,
    ONE,
    PAST,
    ROW_S,
    WIDE,
    WIDE_AT,
    Kernel,
)  # fmt: skip
from models.waveform import FRAME, NUMBERS
from models.waveform_graph import SHAPES, Step
from models.waveform_graph import constants as wave_constants
from models.waveform_graph import steps as wave_steps

PREFIX = "moments/"  # of every name that is added, so that a graph can be fitted anew (and left out of quantization)
ROWS, STATE = "moment_rows", "moment_sums"  # the states
FRAME_ROWS = FRAME // HOP
TRUNK = PREFIX + "trunk"  # the scores without moments


def attach(path: Path, kernel: Kernel) -> None:
    """Add what the kernel says to the scores of the graph in PATH; what an earlier fit added is replaced.

    ValueError when the graph does not say whether somebody speaks, has other bands, or they cannot be found.
    """
    model = onnx.load(str(path))
    held = next((i.type.tensor_type.shape.dim[-1].dim_value for i in model.graph.input if i.name == "front"), moments.BANDS)
    if held != moments.BANDS:
        raise ValueError(f"{path} hears {held} bands; moments are of {moments.BANDS}")
    detach(model)
    logit = "voice/logit"
    if not any(logit in node.output for node in model.graph.node):
        raise ValueError(f"{path} does not say whether somebody speaks, which moments are weighed by: vivavoce explain fit")
    bands, samples = bands_of(model, path), samples_of(model, path)
    for node in model.graph.node:
        node.output[:] = [TRUNK if name == "scores" else name for name in node.output]
    for name, value in _constants(kernel).items():
        kind = np.int64 if value.dtype.kind == "i" else np.float32
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), PREFIX + name))
    model.graph.node.extend(_nodes(bands, samples if kernel.waves else "", logit))
    for name, shape in ((ROWS, (PAST, COLUMNS)), (STATE, kernel.prior.shape)):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["calls", *shape]))
        open_shape = [None] * len(shape) if name == ROWS else shape
        given = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, ["calls", *open_shape])
        model.graph.output.append(given)
    finish(model, path)


def detach(model: Any) -> None:
    """Take out what was attached; the scores are the trunk's again."""
    take_out(model, PREFIX, f"{ROWS}_out", f"{STATE}_out")
    inputs = [kept for kept in model.graph.input if kept.name not in (ROWS, STATE)]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for node in model.graph.node:
        node.output[:] = ["scores" if name == TRUNK else name for name in node.output]


def bands_of(model: Any, path: Path) -> str:
    """Name of the tensor [calls, rows, bands] that the first convolution takes behind the rows of before."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1].endswith("front.conv1.weight"):
            while node.op_type != "Concat":
                node = made_by[node.input[0]]
            return str(node.input[1])
    raise ValueError(f"{path} is no graph of ours: nothing in it takes bands")


def samples_of(model: Any, path: Path) -> str:
    """Name of the tensor [calls, n] of a chunk's samples, full scale 1: what the samples of before are put in front of."""
    for node in model.graph.node:
        if node.op_type == "Concat" and node.input[0] == "tail":
            return str(node.input[1])
    raise ValueError(f"{path} is no graph of ours: nothing in it keeps samples")


def _constants(kernel: Kernel) -> dict[str, NDArray[Any]]:
    """All that the steps need, and nothing that they do not."""
    slices = {
        **AT._asdict(), "coarse": slice(0, COARSE), "one": slice(ONE, ONE + 1), "cepstra": CEPSTRA_AT, "wide": WIDE_AT,
        "form": slice(0, NUMBERS), "form_squared": slice(NUMBERS, 2 * NUMBERS), "now": slice(PAST, 2**31),
        **{f"ago{k}": slice(PAST - k, -k) for k in LAGS},
    }  # fmt: skip
    if not kernel.waves:
        slices = {name: part for name, part in slices.items() if name not in ("waves", "form", "form_squared")}
    shapes = {
        "by_rows": [-1, moments.BANDS], "by_frames": [-1, FRAME_ROWS, COLUMNS], "single": [-1, 1, 1], "each_row": [-1, COLUMNS],
        "flat": [-1, len(kernel.prior)], "line": [-1, 1, WIDE * WIDE], "table": [-1, WIDE * WIDE], "upright": [-1, WIDE, 1],
        "lying": [-1, 1, WIDE], "whole": [-1],
    }  # fmt: skip
    return {
        **{f"{name}_from": np.array([part.start]) for name, part in slices.items()},
        **{f"{name}_to": np.array([part.stop]) for name, part in slices.items()},
        **{name: np.array(shape) for name, shape in shapes.items()},
        "axis0": np.array([0]), "axis1": np.array([1]), "axis2": np.array([2]), "axes01": np.array([0, 1]),
        "first": np.array(0), "back": np.array(-1), "unit": np.array(1.0), "three": np.array(3.0), "half": np.array(0.5),
        "columns": moments.projection().T, "ones": np.eye(COLUMNS)[ONE], "fade": np.array(-ROW_S / FORGET_S),
        "prior": kernel.prior[None] * moments.PRIOR_ROWS, "prior_rows": np.array(moments.PRIOR_ROWS),
        "floor": np.array(moments.FLOOR), "least": np.array(moments.LEAST),
        "turn": _turn(kernel), "shift": kernel.shift, "width": np.array(kernel.width),
        "landmarks": 2 * kernel.width * kernel.landmarks, "far": -kernel.width * (kernel.landmarks**2).sum(axis=1),
        "heights": kernel.heights[None], "none": np.zeros(1), **(_wave_constants() if kernel.waves else {}),
    }  # fmt: skip


def _turn(kernel: Kernel) -> NDArray[np.float64]:
    """The kernel's directions over the graph's description, which holds what wide bands have in common in full."""
    i, j = np.triu_indices(WIDE, 1)
    before, after = MOVING, MOVING + len(i)
    turn = np.zeros((len(kernel.turn), kernel.turn.shape[1] - len(i) + WIDE * WIDE))
    turn[:, :before] = kernel.turn[:, :before]
    turn[:, before + WIDE * i + j] = kernel.turn[:, before:after]
    turn[:, before + WIDE * WIDE :] = kernel.turn[:, after:]
    return turn


def _wave_constants() -> dict[str, NDArray[Any]]:
    return {
        **wave_constants(), "each_frame": np.array([-1, 2 * NUMBERS]), "last_of_frame": np.array([FRAME_ROWS - 1]),
        "end": np.array([2**31]), "every_frame": np.array([FRAME_ROWS]), "rows_of_frame": np.array(float(FRAME_ROWS)),
    }  # fmt: skip


def _nodes(bands: str, samples: str, logit: str) -> list[Any]:
    """With the shapes of waves where there is a tensor of `samples`."""
    outer = {bands, samples, logit, "scores", TRUNK, ROWS, STATE, f"{ROWS}_out", f"{STATE}_out"}

    def node(operation: str, inputs: str, output: str, **attributes: Any) -> Any:
        given = [name if name in outer else PREFIX + name for name in inputs.split()]
        made = output if output in outer else PREFIX + output
        return helper.make_node(operation, given, [made], f"{PREFIX}{output}_node", **attributes)

    waves = bool(samples)
    shapes = [*wave_steps(samples), *_waves()] if waves else []
    steps = [*_rows(bands, logit), *shapes, *_sums(waves), *_description(waves), *_said()]
    return [node(*line[:3], **(line[3] if len(line) > 3 else {})) for line in steps]


def _part(of: str, name: str, output: str, axis: int) -> Step:
    return "Slice", f"{of} {name}_from {name}_to axis{axis}", output


def _rows(bands: str, logit: str) -> Iterator[Step]:
    """Weighed rows [calls, T, COLUMNS], and behind those of before."""
    yield "Reshape", f"{bands} by_rows", "band_rows"
    yield "Gemm", "band_rows columns ones", "plain", {"transB": 1}
    yield "Sigmoid", logit, "probability"
    yield "Sqrt", "probability", "root"
    yield "Reshape", "root single", "roots"
    yield "Reshape", "plain by_frames", "frames"
    yield "Mul", "frames roots", "weighed"
    yield "Shape", bands, "shape"
    yield "Gather", "shape axis0", "calls", {"axis": 0}
    yield "Concat", "calls each_row", "row_shape", {"axis": 0}
    yield "Reshape", "weighed row_shape", "rows"
    yield "Concat", f"{ROWS} rows", f"{ROWS}_out", {"axis": 1}


def _waves() -> Iterator[Step]:
    """Weighed shapes of waves and their squares [calls, frames, 2 * NUMBERS]: once a frame, for its rows."""
    yield "Mul", f"{SHAPES} {SHAPES}", "shapes_squared"
    yield "Concat", f"{SHAPES} shapes_squared", "both_shapes", {"axis": 1}
    yield "Mul", "probability rows_of_frame", "probability_of_rows"
    yield "Mul", "both_shapes probability_of_rows", "shapes_weighed"
    yield "Concat", "calls each_frame", "frame_shape", {"axis": 0}
    yield "Reshape", "shapes_weighed frame_shape", "wave_rows"


def _sums(waves: bool) -> Iterator[Step]:
    """The sums after the chunk's rows [calls, SUMS or WITH_WAVES]: each row counts less by its age."""
    yield from _decays()
    yield _part("rows", "one", "roots_of_rows", 2)
    yield "Transpose", "roots_of_rows", "roots_across", {"perm": [0, 2, 1]}
    yield "Mul", "roots_across decays", "fading"
    yield "MatMul", "fading rows", "sum_of_rows"
    yield "Mul", "rows rows", "product0"
    yield _part(f"{ROWS}_out", "coarse", "coarse_rows", 2)
    yield _part("coarse_rows", "now", "coarse_now", 1)
    for lag, source, now in ((1, f"{ROWS}_out", "rows"), (2, "coarse_rows", "coarse_now"), (4, "coarse_rows", "coarse_now")):
        yield _part(source, f"ago{lag}", f"before{lag}", 1)
        yield "Mul", f"{now} before{lag}", f"product{lag}"
    for lag in (0, *LAGS):
        yield "MatMul", f"decays product{lag}", f"sum{lag}"
    yield _part("rows", "wide", "wide_rows", 2)
    yield "Transpose", "wide_rows", "wide_across", {"perm": [0, 2, 1]}
    yield "Mul", "wide_across decays", "wide_fading"
    yield "MatMul", "wide_fading wide_rows", "square"
    yield "Reshape", "square line", "squares"
    if waves:
        yield "Slice", "decays last_of_frame end axis2 every_frame", "frame_decays"
        yield "MatMul", "frame_decays wave_rows", "sum_of_waves"
    yield "Concat", "sum_of_rows sum0 sum1 sum2 sum4 squares" + " sum_of_waves" * waves, "line_of_sums", {"axis": 2}
    yield "Reshape", "line_of_sums flat", "new"
    yield "Mul", f"{STATE} faded", "kept"
    yield "Add", "new kept", f"{STATE}_out"


def _decays() -> Iterator[Step]:
    """What a row is worth by its age [1, 1, T], and what the sums of before are."""
    yield "Gather", "shape axis1", "count_row", {"axis": 0}
    yield "Squeeze", "count_row", "count"
    yield "Range", "count first back", "from_end"  # T, T - 1 ... 1: one more than a row's age
    yield "Cast", "from_end", "older", {"to": TensorProto.FLOAT}
    yield "Sub", "older unit", "ages"
    yield "Mul", "ages fade", "log_decays"
    yield "Exp", "log_decays", "decay_row"
    yield "Unsqueeze", "decay_row axes01", "decays"
    yield "Gather", "older first", "length_of_chunk"
    yield "Mul", "length_of_chunk fade", "log_faded"
    yield "Exp", "log_faded", "faded"


def _description(waves: bool) -> Iterator[Step]:
    """What models.moments.describe makes of the sums, the wide bands' part in full: [calls, ...]."""
    yield _part(f"{STATE}_out", "one", "heard", 1)
    yield "Add", f"{STATE}_out prior", "with_prior"
    yield "Add", "heard prior_rows", "heard_and_prior"
    yield "Div", "with_prior heard_and_prior", "mean"
    for name in (name for name in AT._fields if waves or name != "waves"):
        yield _part("mean", name, f"{name}_mean", 1)
    for source in ("means", "lag0", "lag1"):
        for name in ("coarse", "cepstra", "wide"):
            if (source, name) != ("lag1", "wide"):
                yield _part(f"{source}_mean", name, f"{name}_{source}", 1)
    for name in ("coarse", "cepstra", "wide"):
        yield "Mul", f"{name}_means {name}_means", f"{name}_square"
        yield "Sub", f"{name}_lag0 {name}_square", f"{name}_varying"
    yield "Sub", "coarse_lag1 coarse_square", "covariance1"
    yield "Sub", "lag2_mean coarse_square", "covariance2"
    yield "Sub", "lag4_mean coarse_square", "covariance4"
    yield from _spread()
    yield "Concat", "covariance1 covariance2 covariance4", "later", {"axis": 1}
    yield "Add", "coarse_varying floor", "coarse_floored"
    yield "Concat", "coarse_floored coarse_floored coarse_floored", "thrice", {"axis": 1}
    yield "Div", "later thrice", "along"
    yield from _across()
    if waves:
        yield from _forms()
    yield "Concat", "spread along across" + " form form_spread" * waves, "description", {"axis": 1}


def _forms() -> Iterator[Step]:
    """Means and deviations of the waves' shapes."""
    yield _part("waves_mean", "form", "form", 1)
    yield _part("waves_mean", "form_squared", "form_squared", 1)
    yield "Mul", "form form", "square_of_form"
    yield "Sub", "form_squared square_of_form", "form_variance"
    yield "Max", "form_variance least", "form_positive"
    yield "Sqrt", "form_positive", "form_spread"


def _spread() -> Iterator[Step]:
    """Half the logarithms of variances."""
    yield "Sub", "coarse_varying covariance1", "step"
    yield "Sub", "covariance1 covariance2", "next_step"
    yield "Mul", "step three", "steps"
    yield "Sub", "steps next_step", "second_step"
    yield "Sub", "cepstra_lag0 cepstra_lag1", "cepstra_step"
    yield "Concat", "step second_step cepstra_varying cepstra_step", "variances", {"axis": 1}
    yield "Max", "variances least", "positive"
    yield "Add", "positive floor", "floored"
    yield "Log", "floored", "logarithms"
    yield "Mul", "logarithms half", "spread"


def _across() -> Iterator[Step]:
    """Correlations of wide bands [calls, WIDE * WIDE]."""
    yield "Max", "wide_varying least", "wide_positive"
    yield "Add", "wide_positive floor", "wide_floored"
    yield "Sqrt", "wide_floored", "deviation"
    for name in ("wide_means", "deviation"):
        yield "Reshape", f"{name} upright", f"{name}_upright"
        yield "Reshape", f"{name} lying", f"{name}_lying"
        yield "Mul", f"{name}_upright {name}_lying", f"{name}_crossed"
        yield "Reshape", f"{name}_crossed table", f"{name}_table"
    yield "Sub", "cross_mean wide_means_table", "together"
    yield "Div", "together deviation_table", "across"


def _said() -> Iterator[Step]:
    """The kernel's word, added to the trunk's scores."""
    yield "Gemm", "description turn shift", "place", {"transB": 1}
    yield "ReduceSumSquare", "place", "length", {"axes": [1], "keepdims": 1}
    yield "Mul", "length width", "reach"
    yield "Gemm", "place landmarks far", "nearness", {"transB": 1}
    yield "Sub", "nearness reach", "exponents"
    yield "Exp", "exponents", "gaussians"
    yield "Gemm", "gaussians heights none", "said", {"transB": 1}
    yield "Reshape", "said whole", "view"
    yield "Add", f"{TRUNK} view", "scores"
