"""The steps of a graph that make `models.waveform.shapes` of the samples it hears, frame by frame.

Each wave by itself, in a run of small steps: what is worked on then stays in a core's cache, which is twice as fast as all
waves side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.waveform import BLOCK, DELAYS, FILTERS, FRAME, LAGS, QUIET

Step = tuple[Any, ...]  # operation, inputs, output and, where there are any, attributes of a node
PREFIX = "waves/"  # of every name here
SHAPES = PREFIX + "shapes"  # what the steps end in
OVER = {"axes": [1], "keepdims": 1}


def constants() -> dict[str, NDArray[Any]]:
    values = {
        **{f"delay{k}_from": np.array([FRAME - BLOCK - k]) for k in DELAYS},
        **{f"delay{k}_to": np.array([FRAME - k]) for k in DELAYS},
        "frames": np.array([-1, FRAME]), "across": np.array([1]), "quiet": np.array(QUIET),
    }  # fmt: skip
    return {PREFIX + name: value for name, value in values.items()}


def steps(samples: str) -> Iterator[Step]:
    """From the tensor `samples` [calls, n], full scale 1, to SHAPES [calls * n / FRAME, NUMBERS]."""
    for operation, inputs, output, *attributes in _steps(samples):
        given = " ".join(name if name == samples else PREFIX + name for name in inputs.split())
        yield operation, given, PREFIX + output, *attributes


def _steps(samples: str) -> Iterator[Step]:
    yield "Reshape", f"{samples} frames", "by_frames"
    for k in DELAYS:  # the first is 0
        yield "Slice", f"by_frames delay{k}_from delay{k}_to across", f"late{k}"
        if k == 0:
            yield "ReduceMean", "late0", "middle", OVER
        yield "Sub", f"late{k} middle", f"delayed{k}"
    found = []
    for index, taps in enumerate(FILTERS):
        yield from _filtered(index, taps)
        found += [f"{name}{index}" for name in ("third", "fourth", "size")]
    for k in LAGS:
        yield from _crossed(k)
    found += [f"{name}{k}" for name in ("later", "earlier") for k in LAGS]
    yield "Concat", " ".join(found), "shapes", {"axis": 1}


def _filtered(index: int, taps: tuple[int, ...]) -> Iterator[Step]:
    """third, fourth and size of one filter's output, [calls * n / FRAME, 1] each."""
    wave = "delayed0"
    for k, tap in enumerate(taps[1:], 1):
        if tap:
            yield "Add" if tap > 0 else "Sub", f"{wave} delayed{k}", f"wave{index}_{k}"
            wave = f"wave{index}_{k}"
    yield "Mul", f"{wave} {wave}", f"square{index}"
    yield "ReduceMean", f"square{index}", f"mean_square{index}", OVER
    yield "Add", f"mean_square{index} quiet", f"power{index}"
    yield "Sqrt", f"power{index}", f"deviation{index}"
    yield "Mul", f"power{index} deviation{index}", f"volume{index}"
    yield "Mul", f"square{index} {wave}", f"cube{index}"
    yield "ReduceMean", f"cube{index}", f"mean_cube{index}", OVER
    yield "Div", f"mean_cube{index} volume{index}", f"third{index}"
    yield "Mul", f"square{index} square{index}", f"square_squared{index}"
    yield "ReduceMean", f"square_squared{index}", f"mean_fourth{index}", OVER
    yield "Sqrt", f"mean_fourth{index}", f"root{index}"
    yield "Div", f"root{index} power{index}", f"fourth{index}"
    yield "Abs", wave, f"sizes{index}"
    yield "ReduceMean", f"sizes{index}", f"mean_size{index}", OVER
    yield "Div", f"mean_size{index} deviation{index}", f"size{index}"


def _crossed(k: int) -> Iterator[Step]:
    """later and earlier at a lag; the first filter's output is the samples themselves."""
    yield "Mul", f"square0 delayed{k}", f"now_twice{k}"
    yield "ReduceMean", f"now_twice{k}", f"mean_now{k}", OVER
    yield "Div", f"mean_now{k} volume0", f"later{k}"
    yield "Mul", f"delayed{k} delayed{k}", f"then_squared{k}"
    yield "Mul", f"then_squared{k} delayed0", f"then_twice{k}"
    yield "ReduceMean", f"then_twice{k}", f"mean_then{k}", OVER
    yield "Div", f"mean_then{k} volume0", f"earlier{k}"
