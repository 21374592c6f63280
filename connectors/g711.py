"""G.711 by table (ITU-T G.711): 256 entries to decode, 65,536 to encode, both exact."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
_BIAS = 0x84  # added to a mu-law magnitude so that segments begin at powers of two


def _mu_law_values() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 3) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_values() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code >> 4) & 7, code & 15
    magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


MU_LAW = _mu_law_values()
A_LAW = _a_law_values()


@lru_cache(maxsize=2)
def _codes(law: str) -> NDArray[np.uint8]:
    """The nearest code of every int16 sample, ties to the smaller magnitude, indexed by sample + 32768."""
    table = MU_LAW if law == "mu" else A_LAW
    order = np.argsort(table, kind="stable").astype(np.int32)
    values = table[order].astype(np.int32)
    samples = np.arange(-32768, 32768, dtype=np.int32)
    upper = np.searchsorted(values, samples).clip(1, 255)
    lower = upper - 1
    below, above = samples - values[lower], values[upper] - samples
    nearer = np.where(np.where(samples < 0, above <= below, above < below), upper, lower)
    codes: NDArray[np.uint8] = order[nearer].astype(np.uint8)
    codes[32768] = 0xFF if law == "mu" else 0xD5  # two codes are as near to silence; everybody sends the positive one
    return codes


def decode_mu_law(payload: bytes) -> Samples:
    """One byte a sample -> int16 [n]."""
    return MU_LAW.take(np.frombuffer(payload, np.uint8), mode="clip")  # every index is one: "clip" is the quickest check


def decode_a_law(payload: bytes) -> Samples:
    return A_LAW.take(np.frombuffer(payload, np.uint8), mode="clip")


def encode_mu_law(samples: Samples) -> bytes:
    """int16 [n] -> one byte a sample."""
    return _codes("mu")[samples.astype(np.int32) + 32768].tobytes()


def encode_a_law(samples: Samples) -> bytes:
    return _codes("a")[samples.astype(np.int32) + 32768].tobytes()
