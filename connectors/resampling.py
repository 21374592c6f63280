"""Whole prompts from one rate to another, through FFmpeg's resampler; streams have `engine.audio.Resampler`."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from engine.audio import RATES, Samples


def audio_frame(samples: Samples, rate: int, position: int = 0) -> av.AudioFrame:
    """Mono int16 [n] as FFmpeg takes it; `position` in samples."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    return frame


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Mono int16 [n] at `rate` Hz -> the same at `wanted` Hz, without delay and of the same length in time.

    ValueError for what is no mono int16, and for rates that the engine does not know.
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"audio is {samples.dtype} of {samples.ndim} dimensions, not int16 of one")
    for each in (rate, wanted):
        if each not in RATES:
            raise ValueError(f"rate {each} Hz is none of {', '.join(map(str, RATES))}")
    if rate == wanted or not len(samples):
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=wanted)
    frames = [*resampler.resample(audio_frame(samples, rate)), *resampler.resample(None)]
    made: Samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    exact = np.zeros(round(len(samples) * wanted / rate), np.int16)
    exact[: len(made)] = made[: len(exact)]
    return exact
