"""Which tones a voice was on, and how far two such histograms lie apart: sturdier than two medians.

In noise a pitch detector takes some frames for an octave higher or lower, and others for a tone of the noise. Whole
histograms laid over each other (lag of their highest cross-correlation) hardly move for those few; a caller's lowest
tones are what a high voice leaves and a low one seeks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST_HZ, STEPS, STEP_ST = 60.0, 98, 0.5  # up to 1017 Hz
LEAST_TONES = 40  # 0.64 s of voice: one syllable or two lie anywhere, and move by an octave against the same voice's others
LOWEST_ST, HIGHEST_ST = -14.0, 28.0  # a man in falsetto goes up by two octaves; nobody goes down by more than one
NEAR_ST = 2.0  # beyond that: tones farther away are the noise's
MOST_ST = 14.0  # a shift by more says no more
LEAST_SHARE = 0.2  # of the tones that lie near: with less, nothing near is the voice's
LOW_SHARE = 0.2  # below the low edge of the tones
STEADY_ST, DRIFT_LLR, LEAST_LLR = 1.0, -0.8, -2.0  # of one voice: so far it moves for nothing; a semitone more; at most
_SMOOTH = np.exp(-0.5 * (np.arange(-6, 7) / 3) ** 2)  # three semitones to each side


def histogram(f0_hz: Floats, weights: Floats) -> tuple[float, ...]:
    """Share of each half semitone from 60 Hz upwards; () of fewer tones than show where a voice lies."""
    if len(f0_hz) < LEAST_TONES:
        return ()
    steps = np.floor(12 * np.log2(f0_hz / LOWEST_HZ) / STEP_ST).astype(np.int64).clip(0, STEPS - 1)
    found = np.bincount(steps, weights=weights, minlength=STEPS)
    total = float(found.sum())
    return tuple((found / total).tolist()) if total > 0 else ()


def shift_st(now: Sequence[float], before: Sequence[float]) -> float:
    """Semitones that the tones moved up by; 0 when either has too few."""
    if not now or not before:
        return 0.0
    likeness = np.correlate(np.convolve(now, _SMOOTH, "same"), np.convolve(before, _SMOOTH, "same"), "full")
    lags = (np.arange(len(likeness)) - STEPS + 1) * STEP_ST
    possible = (lags >= LOWEST_ST) & (lags <= HIGHEST_ST)
    return float(min(lags[possible][np.argmax(likeness[possible])], MOST_ST))


def low_shift_st(now: Sequence[float], before: Sequence[float]) -> float:
    """Semitones that the low edge of the tones moved up by; 0 when either has too few."""
    if not now or not before:
        return 0.0
    old, new = np.array(before), np.array(now)
    away = (np.arange(STEPS) - edge(old, 0.5)) * STEP_ST
    near = (away >= LOWEST_ST - NEAR_ST) & (away <= HIGHEST_ST + NEAR_ST)
    if new[near].sum() >= LEAST_SHARE:
        new = np.where(near, new, 0.0)
    change = (edge(new, LOW_SHARE) - edge(old, LOW_SHARE)) * STEP_ST
    return float(np.clip(change, -MOST_ST, MOST_ST))


def same_voice_llr(now: Sequence[float], before: Sequence[float]) -> float:
    """What its pitch says against a voice being the one before, where nothing that was asked moves it: 0 or less, nat; 0 where
    either has too few tones.

    A converter that is switched off gives the caller's own pitch back. By the smaller of both shifts: noise moves one of
    them. Set on 151 people of train, where 1 in 10 moves by 2.8 semitones (acted and read speech beside other); bounded,
    so that it alone accuses nobody.
    """
    away = min(abs(shift_st(now, before)), abs(low_shift_st(now, before)))
    return max(LEAST_LLR, DRIFT_LLR * max(0.0, away - STEADY_ST))


def edge(shares: Floats, below: float) -> float:
    """In steps, where `below` of the tones lie lower."""
    total = np.concatenate([[0.0], np.cumsum(shares)])
    at = int(np.searchsorted(total, below * total[-1]))
    return at - float(total[at] - below * total[-1]) / float(total[at] - total[at - 1])
