"""How fast somebody speaks, by measures that fail in different noises.

Syllables are counted after de Jong and Wempe (2009): peaks of the loudness contour that are voiced and stand out from
the dips beside them. The others need no syllables: how quickly the spectrum's shape becomes another one, how long the
voice holds out at a time, and where the loudness contour's own spectrum lies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from challenges.track import HOP_S, Floats, Track, bins, smoothed

DIP_DB = 2.5  # between two syllables
_SMOOTH = np.hanning(9) / np.hanning(9).sum()  # 110 ms
ABOVE_DB = 3.0  # over the floor: what lies below says nothing of the shape


def syllable_rate(track: Track) -> float:
    """Syllables per second between the first and the last active frame: voiced peaks of the smoothed level with a dip
    of DIP_DB before the next."""
    smooth = np.convolve(track.level, _SMOOTH, mode="same")
    where = np.flatnonzero(track.active)
    inside = slice(int(where[0]), int(where[-1]) + 1)
    peaks = _peaks(smooth[inside], (track.f0 > 0)[inside])
    return peaks / max(HOP_S, (inside.stop - inside.start) * HOP_S)


def _peaks(level: Floats, voiced: NDArray[np.bool_]) -> int:
    count, peak, low, sounding = 0, -np.inf, float(level[0]), False
    for value, voice in zip(level.tolist(), voiced.tolist(), strict=True):
        if value > peak:
            peak, sounding = value, voice or sounding
        if peak - value >= DIP_DB:  # went down far enough: what was before was a peak
            count += sounding and peak - low >= DIP_DB
            peak, low, sounding = value, value, False
        low = min(low, value)
    return count + int(sounding and peak - low >= DIP_DB)


def modulation(track: Track) -> float:
    """Centre in Hz of the spectrum of the amplitude contour between 1 and 16 Hz (Morgan and Fosler-Lussier's enrate)."""
    where = np.flatnonzero(track.active)
    power = 10 ** (track.level / 10) - 10 ** (track.floor / 10)
    contour = np.sqrt(np.maximum(power, 0.0))[where[0] : where[-1] + 1]
    contour = (contour - contour.mean()) * np.hanning(len(contour))
    size = max(512, len(contour))
    energy = np.abs(np.fft.rfft(contour, size)) ** 2
    hz = np.fft.rfftfreq(size, HOP_S)
    inside = (hz >= 1) & (hz <= 16)
    return float((hz * energy)[inside].sum() / max(energy[inside].sum(), 1e-12))


def coherence(track: Track) -> float:
    """Seconds after which the spectrum's shape is only half like itself, at most 0.32."""
    where = np.flatnonzero(track.active)
    shape = 10 * np.log10(smoothed(track.spectrum[:, bins(300, 3400)]) + 1e-9)
    quiet = ~track.active
    shape = np.maximum(shape - (np.median(shape[quiet], axis=0) if quiet.sum() > 3 else shape.min(axis=0)), 0.0)
    shape = shape[where[0] : where[-1] + 1]
    shape = shape - shape.mean(axis=0)
    power, before = max(float((shape**2).mean()), 1e-9), 1.0
    for lag in range(1, min(20, len(shape))):
        now = float((shape[:-lag] * shape[lag:]).mean()) / power
        if now < 0.5:
            return (lag - 1 + (before - 0.5) / (before - now)) * HOP_S
        before = now
    return 20 * HOP_S


def likeness(track: Track, lag: int) -> float:
    """Correlation of the spectrum's shape with itself `lag` frames later: quick speech has become another sound."""
    where = np.flatnonzero(track.active)
    shape = 10 * np.log10(smoothed(track.spectrum[:, bins(300, 3400)]) + 1e-9)
    shape = np.maximum(shape - np.percentile(shape, 10, axis=0) - ABOVE_DB, 0.0)[where[0] : where[-1] + 1]
    shape = shape - shape.mean(axis=0)
    if len(shape) <= 2 * lag:
        return 1.0
    return float((shape[:-lag] * shape[lag:]).mean() / max(float((shape**2).mean()), 1e-9))


def voiced_run(track: Track) -> float:
    """Seconds that the voice sounds on average before it breaks off; stretches of one frame are the noise's."""
    voiced = ((track.f0 > 0) & track.active).astype(np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced, [0]])))
    runs = edges[1::2] - edges[::2]
    runs = runs[runs > 1]
    return float(runs.mean()) * HOP_S if len(runs) else HOP_S
