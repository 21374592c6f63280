"""G.711 by table (ITU-T G.711): 256 entries to decode, 65,536 to encode, both exact."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.companding import Codes, Samples, compress, expand, nearest


def _a_law_values() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code >> 4) & 7, code & 15
    magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


A_LAW = _a_law_values()


@lru_cache(maxsize=1)
def _a_law_codes() -> Codes:
    return nearest(A_LAW, 0xD5)


def decode_mu_law(payload: bytes) -> Samples:
    """One byte a sample -> int16 [n]."""
    return expand(np.frombuffer(payload, np.uint8))


def decode_a_law(payload: bytes) -> Samples:
    return A_LAW.take(np.frombuffer(payload, np.uint8), mode="clip")


def encode_mu_law(samples: Samples) -> bytes:
    """int16 [n] -> one byte a sample."""
    return compress(samples).tobytes()


def encode_a_law(samples: Samples) -> bytes:
    return _a_law_codes().take(samples.view(np.uint16), mode="clip").tobytes()
