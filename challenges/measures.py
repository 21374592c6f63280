"""What can be measured of an answer at telephone quality: pitch, voicing, tempo, level, spectrum and bursts.

All cues are taken within 300-3400 Hz and on frames above the recording's own noise floor, so that G.711 and 15 dB of
noise change them little. How the frames come about is track.py's affair, tempo pace.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenges import pace
from challenges.tones import histogram
from challenges.track import HOP_S, RATE, WINDOW, Floats, Samples, Track, bins, smoothed, tracked

SEMITONES = 12.0
VIBRATO = 17  # frames: two periods of 7 Hz, one and a half of 5.5; the middle ones weigh most
END_S = 0.3  # of voice: where a question is high
MIN_ACTIVE_S = 0.05  # less sound than this is none: a clap is no longer


@dataclass(frozen=True, slots=True)
class Measures:
    """Cues of one stretch of a caller's voice. None where there was nothing to measure it on."""

    seconds: float
    active_s: float
    floor_db: float  # level of the quietest tenth, dBFS
    snr_db: float  # loud frames over the floor
    level_db: float  # mean power of the active frames, dBFS
    voiced_share: float  # of the active frames
    f0_hz: float | None  # median, every frame weighing by its loudness and the detector's confidence
    tones: tuple[float, ...]  # share of each half semitone from 60 Hz upwards, as tones.histogram has it
    range_st: float  # 10th to 90th percentile of F0, semitones
    jumps_st: float  # mean absolute change of F0 between frames of one voiced stretch, semitones per 16 ms
    step_st: float  # the median of the same: how steady the voice is where it holds a tone
    sustained_share: float  # of the voiced frames: in a stretch of 160 ms or more that stays within a semitone but for vibrato
    longest_note_s: float
    rise_st: float  # upper quarter of the tones of the last 300 ms against the median, semitones
    syllables_s: float  # per second between first and last sound
    modulation_hz: float  # centre of the loudness contour's spectrum, 1 to 16 Hz
    coherence_s: float  # how long the spectrum's shape stays like itself
    like_32_ms: float  # correlation of the spectrum's shape with what it is 32 ms later
    voiced_run_s: float  # the mean stretch of voice
    tilt_db: float  # 300-1000 Hz over 2000-3400 Hz, of the active frames
    flatness_db: float  # geometric over arithmetic mean of the spectrum, 300-3400 Hz, of the active frames; 0 is noise
    spread_db: float  # how much the spectrum's shape moves between active frames
    nasal_db: float  # 300-600 Hz over 800-1600 Hz
    onsets: int  # sharp bursts that are not voice
    burst_share: float  # of the active time inside unvoiced stretches of 60 ms or more that begin sharply
    sharpness_db: float  # steepest rise within 16 ms
    crest_db: float  # peak over mean of the loudness of active frames


def measure(samples: Samples) -> Measures | None:
    """Cues of int16 [n] at 8 kHz; None when nothing stands out from the noise."""
    if len(samples) < 4 * WINDOW:
        return None
    track = tracked(samples)
    if track.active.sum() * HOP_S < MIN_ACTIVE_S:
        return None
    return Measures(**{**_sound(samples, track), **_pitch(track), **_shape(track), **_bursts(track)})


def _sound(samples: Samples, track: Track) -> dict[str, Any]:
    loud = track.level[track.active]
    return {
        "seconds": len(samples) / RATE,
        "active_s": float(track.active.sum() * HOP_S),
        "floor_db": track.floor,
        "snr_db": float(np.percentile(loud, 75) - track.floor),
        "level_db": float(10 * np.log10(np.mean(10 ** (loud / 10)))),
        "crest_db": float(loud.max() - 10 * np.log10(np.mean(10 ** (loud / 10)))),
        "voiced_share": float(((track.f0 > 0) & track.active).sum() / track.active.sum()),
        "syllables_s": pace.syllable_rate(track),
        "modulation_hz": pace.modulation(track),
        "coherence_s": pace.coherence(track),
        "like_32_ms": pace.likeness(track, 2),
        "voiced_run_s": pace.voiced_run(track),
    }


def _pitch(track: Track) -> dict[str, Any]:
    voiced = np.flatnonzero((track.f0 > 0) & track.active)
    if len(voiced) < 6:
        return {
            "f0_hz": None, "tones": (), "range_st": 0.0, "jumps_st": 0.0, "step_st": 0.0,
            "sustained_share": 0.0, "longest_note_s": 0.0, "rise_st": 0.0,
        }  # fmt: skip
    tones = SEMITONES * np.log2(track.f0[voiced])
    weights = track.confidence[voiced] * 10 ** (track.level[voiced] / 20)
    middle = _weighted_quantile(tones, weights, 0.5)
    low, high = np.percentile(tones, [10, 90])
    steps = np.abs(np.diff(tones))[np.diff(voiced) == 1]
    notes = _notes(_without_vibrato(tones, voiced), voiced)
    return {
        "f0_hz": float(2 ** (middle / SEMITONES)),
        "tones": histogram(track.f0[voiced], np.sqrt(weights)),
        "range_st": float(high - low),
        "jumps_st": float(steps.mean()) if len(steps) else 0.0,
        "step_st": float(np.median(steps)) if len(steps) else 0.0,
        "sustained_share": sum(n for n in notes if n * HOP_S >= 0.16) / len(voiced),
        "longest_note_s": max(notes) * HOP_S,
        "rise_st": _rise(tones, weights, voiced, middle),
    }


def _rise(tones: Floats, weights: Floats, at: NDArray[np.int64], middle: float) -> float:
    """How high the end is over the middle: not its very last tone, for a voice often breaks or falls off there."""
    near = np.abs(tones - middle) <= SEMITONES  # what is farther is the noise's
    if near.sum() < 6:
        return 0.0
    last = near & (at > at[near][-1] - round(END_S / HOP_S))
    return _weighted_quantile(tones[last], weights[last], 0.75) - middle


def _weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """A frame of noise taken for an octave higher is soft and doubtful: it hardly counts."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] * share)])


def _without_vibrato(tones: Floats, at: NDArray[np.int64]) -> Floats:
    """The tones without the quick swing about them that a singer's vibrato and an old voice's tremor have.

    Stretches too short to swing are left as they are: averaged, every syllable of plain speech would be a note.
    """
    weights = np.hanning(VIBRATO + 2)[1:-1]
    weights /= weights.sum()
    parts = []
    for part in np.split(tones, np.flatnonzero(np.diff(at) != 1) + 1):
        if len(part) >= VIBRATO:
            edged = np.pad(part, VIBRATO // 2, mode="reflect", reflect_type="odd")  # a glide goes on gliding
            part = np.convolve(edged, weights, mode="valid")
        parts.append(part)
    return np.concatenate(parts)


def _notes(tones: Floats, at: NDArray[np.int64]) -> list[int]:
    """Lengths in frames of the stretches in which F0 stays within a semitone of their beginning's mean."""
    lengths, start = [], 0
    for i in range(1, len(tones) + 1):
        broken = i == len(tones) or at[i] != at[i - 1] + 1 or abs(tones[i] - tones[start:i].mean()) > 0.6
        if broken:
            lengths.append(i - start)
            start = i
    return lengths


def _shape(track: Track) -> dict[str, Any]:
    spectrum = track.spectrum[track.active]
    noise = track.spectrum[track.level <= track.floor + 1.0].mean(axis=0) if (track.level <= track.floor + 1.0).any() else 0.0
    clean = np.maximum(spectrum - noise, 1e-3 * spectrum)  # what the noise adds is taken off
    mean = clean.mean(axis=0)
    band = clean[:, bins(300, 3400)] + 1e-12
    logs = 10 * np.log10(smoothed(band))
    shape = logs - logs.mean(axis=1, keepdims=True)
    average = mean[bins(300, 3400)] + 1e-12
    return {
        "tilt_db": _ratio(mean, (300, 1000), (2000, 3400)),
        "nasal_db": _ratio(mean, (300, 600), (800, 1600)),
        "flatness_db": float(10 * np.log10(np.exp(np.log(average).mean()) / average.mean())),
        "spread_db": float(shape.std(axis=0).mean()),
    }


def _ratio(mean: Floats, low: tuple[float, float], high: tuple[float, float]) -> float:
    return float(10 * np.log10((mean[bins(*low)].mean() + 1e-12) / (mean[bins(*high)].mean() + 1e-12)))


def _bursts(track: Track) -> dict[str, Any]:
    """Sharp beginnings of sound that is not voiced: coughs, claps, clicks."""
    rises = np.diff(track.level, prepend=track.level[0])
    rises[1:] = np.maximum(rises[1:], track.level[1:] - np.concatenate([[track.level[0]], track.level[:-2]]))
    voiced = track.f0 > 0
    onsets, inside = 0, 0
    i = 1
    while i < len(rises):
        if rises[i] > 10.0 and track.active[i] and not voiced[i : i + 3].all():
            end = i
            while end < len(rises) and track.active[end] and not voiced[end]:
                end += 1
            onsets += 1
            inside += end - i
            i = max(end, i + 4)
        else:
            i += 1
    return {
        "onsets": onsets,
        "burst_share": float(inside / max(1, track.active.sum())),
        "sharpness_db": float(rises.max()),
    }
