"""mu-law by table (ITU-T G.711): a byte a sample, 38 dB above its own rounding at any level, exact for what came in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Codes = NDArray[np.uint8]
_BIAS = 0x84  # added to a mu-law magnitude so that segments begin at powers of two


def _values() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 3) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def nearest(values: Samples, silence: int) -> Codes:
    """The code in the table `values` [256] that is nearest to every int16 sample, ties to the smaller magnitude.

    [65536], by the sample's bits as uint16. Of two codes as near to silence everybody sends one: `silence`.
    """
    order = np.argsort(values, kind="stable").astype(np.int32)
    rising = values[order].astype(np.int32)
    samples = np.arange(65536, dtype=np.int32).astype(np.uint16).view(np.int16).astype(np.int32)
    upper = np.searchsorted(rising, samples).clip(1, 255)
    lower = upper - 1
    below, above = samples - rising[lower], rising[upper] - samples
    nearer = np.where(np.where(samples < 0, above <= below, above < below), upper, lower)
    codes: Codes = order[nearer].astype(np.uint8)
    codes[0] = silence
    return codes


MU_LAW = _values()
_CODES = nearest(MU_LAW, 0xFF)


def compress(samples: Samples) -> Codes:
    """int16 [n] -> uint8 [n]."""
    return _CODES.take(samples.view(np.uint16), mode="clip")  # every index is one: "clip" is the quickest check


def expand(codes: Codes) -> Samples:
    """uint8 [n] -> int16 [n]."""
    return MU_LAW.take(codes, mode="clip")
