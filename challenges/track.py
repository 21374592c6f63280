"""An answer frame by frame: pitch, loudness, spectrum and which frames are sound, one every 16 ms.

Pitch is SwiftF0's (Nieradzik, arXiv 2508.18440); loudness is taken within 300-3400 Hz, and what counts is what stands
out from the recording's own noise floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Floats = NDArray[np.float64]

RATE = 8000  # Hz, of every answer
HOP = 128  # samples between frames: 16 ms, as the pitch detector's
WINDOW = 256  # samples: 32 ms
HOP_S = HOP / RATE
VOICED = 0.5  # confidence of the pitch detector above which a frame is voiced
ACTIVE_DB = 8.0  # above the floor
FMIN, FMAX = 60.0, 1000.0  # Hz: bass to the top of a soprano


@dataclass(frozen=True, slots=True)
class Track:
    """Frame by frame, one every 16 ms, all arrays of one length."""

    f0: Floats  # Hz, 0 where unvoiced
    confidence: Floats  # of the pitch, 0 to 1
    level: Floats  # dBFS within 300-3400 Hz
    spectrum: Floats  # [frames, bins] power, 0-4 kHz
    active: NDArray[np.bool_]  # louder than the floor by ACTIVE_DB
    floor: float  # dBFS


def tracked(samples: Samples) -> Track:
    """Frames of int16 [n] at 8 kHz."""
    power = frames(samples)
    level, floor, loudest = levels(power)
    f0, confidence = _pitch_of(samples, len(level))
    voiced = (confidence >= VOICED) & (level > loudest - 25.0)
    active = _stands_out(level, floor, loudest) | voiced  # a held note has no pause to show the floor
    return Track(np.where(voiced, f0, 0.0), confidence, level, power, active, floor)


def sounding_s(samples: Samples) -> float:
    """Seconds of int16 [n] at 8 kHz that stand out from their floor: a tenth of what it costs to track a voice."""
    return float(_stands_out(*levels(frames(samples))).sum() * HOP_S) if len(samples) >= WINDOW else 0.0


def levels(power: Floats) -> tuple[Floats, float, float]:
    """Of frames [n, bins]: dBFS within 300-3400 Hz, the floor and the loudest of them."""
    level = 10 * np.log10(power[:, bins(300, 3400)].sum(axis=1) / (WINDOW**2 * 0.09) + 1e-12)
    return level, float(np.percentile(level, 10)), float(np.percentile(level, 98))


def _stands_out(level: Floats, floor: float, loudest: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = level > max(floor + ACTIVE_DB, loudest - 35.0)
    return found


def frames(samples: Samples) -> Floats:
    wide = samples.astype(np.float64) / 32768
    windows = np.lib.stride_tricks.sliding_window_view(wide, WINDOW)[::HOP]
    found: Floats = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
    return found


def bins(low: float, high: float) -> slice:
    return slice(round(low * WINDOW / RATE), round(high * WINDOW / RATE))


@lru_cache(maxsize=1)
def _detector() -> Any:
    from swift_f0 import SwiftF0  # an extra

    return SwiftF0(threads=1, spin=False)


@lru_cache(maxsize=1)
def _half_band() -> Floats:
    taps = np.sinc(np.arange(-31, 32) / 2) * np.kaiser(63, 6.0)
    found: Floats = taps / taps.sum() * 2
    return found


def _pitch_of(samples: Samples, frames: int) -> tuple[Floats, Floats]:
    """(F0 in Hz, confidence), each [frames]. The detector hears 16 kHz, the line carries half of that."""
    doubled = np.zeros(2 * len(samples))
    doubled[::2] = samples / 32768
    wide = np.convolve(doubled, _half_band(), mode="same").astype(np.float32)
    found = _detector().detect(wide, 2 * RATE, fmin=FMIN, fmax=FMAX)
    f0, confidence = np.zeros(frames), np.zeros(frames)
    n = min(frames, len(found.pitch_hz))
    f0[:n], confidence[:n] = found.pitch_hz[:n], found.confidence[:n]
    return f0, confidence


def smoothed(band: Floats) -> Floats:
    """Nine bands of eleven bins: formants, not harmonics."""
    width = band.shape[1] // 9
    found: Floats = band[:, : 9 * width].reshape(len(band), 9, width).mean(axis=2)
    return found
