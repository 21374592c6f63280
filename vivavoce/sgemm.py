"""What a core can multiply at most, by the library that runs the model."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.runtime import session_options

SHAPE = (1024, 144, 576)  # rows, inner, columns: like the model's own largest products


class SgemmPeak:
    """ONNX Runtime's fp32 matrix product on one thread."""

    def __init__(self) -> None:
        rows, inner, columns = SHAPE
        rng = np.random.default_rng(0)
        weight = rng.standard_normal((inner, columns), np.float32)
        self._session = onnxruntime.InferenceSession(_gemm_model(weight), session_options(1), ["CPUExecutionProvider"])
        self._input = rng.standard_normal((rows, inner), np.float32)

    def gflops(self, repeats: int = 30) -> float:
        """Measured now, by processor time."""
        self._session.run(None, {"x": self._input})
        before = time.process_time()
        for _ in range(repeats):
            self._session.run(None, {"x": self._input})
        rows, inner, columns = SHAPE
        seconds = time.process_time() - before
        return 2e-9 * rows * inner * columns * repeats / seconds


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _gemm_model(weight: NDArray[np.float32]) -> bytes:
    """An ONNX file with one MatMul, written by hand: serving does not install the onnx package."""
    dims = b"".join(_varint(1 << 3) + _varint(n) for n in weight.shape)
    tensor = dims + _varint(2 << 3) + _varint(1) + _field(8, b"w") + _field(9, weight.tobytes())
    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"MatMul")
    kind = _varint(1 << 3) + _varint(1)
    values = [_field(1, name) + _field(2, _field(1, kind)) for name in (b"x", b"y")]
    graph = _field(1, node) + _field(2, b"g") + _field(5, tensor) + _field(11, values[0]) + _field(12, values[1])
    opset = _varint(2 << 3) + _varint(17)
    return _varint(1 << 3) + _varint(8) + _field(7, graph) + _field(8, opset)
