"""What can be measured of an answer at telephone quality: pitch, voicing, tempo, level, spectrum and bursts.

All cues are taken within 300-3400 Hz and on frames above the recording's own noise floor, so that G.711 and 15 dB of
noise change them little. Pitch is SwiftF0's (Nieradzik, arXiv 2508.18440); syllables are counted after de Jong and
Wempe (2009): peaks of the loudness contour that are voiced and stand out from the dips beside them.
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
SEMITONES = 12.0
DIP_DB = 2.5  # between two syllables
_SMOOTH = np.hanning(9) / np.hanning(9).sum()  # 110 ms
MIN_ACTIVE_S = 0.05  # less sound than this is none: a clap is no longer


@dataclass(frozen=True, slots=True)
class Track:
    """Frame by frame, one every 16 ms, all arrays of one length."""

    f0: Floats  # Hz, 0 where unvoiced
    confidence: Floats  # of the pitch, 0 to 1
    level: Floats  # dBFS within 300-3400 Hz
    spectrum: Floats  # [frames, bins] power, 0-4 kHz
    active: NDArray[np.bool_]  # louder than the floor by ACTIVE_DB
    floor: float  # dBFS


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
    range_st: float  # 10th to 90th percentile of F0, semitones
    jumps_st: float  # mean absolute change of F0 between frames of one voiced stretch, semitones per 16 ms
    sustained_share: float  # of the voiced frames: in a stretch of 160 ms or more that stays within a semitone
    longest_note_s: float
    rise_st: float  # F0 of the last voiced 250 ms against the median, semitones
    syllables_s: float  # per second between first and last sound
    modulation_hz: float  # centre of the loudness contour's spectrum, 1 to 16 Hz
    coherence_s: float  # how long the spectrum's shape stays like itself
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


def tracked(samples: Samples) -> Track:
    """Frames of int16 [n] at 8 kHz."""
    power = _frames(samples)
    band = power[:, _bins(300, 3400)].sum(axis=1)
    level = 10 * np.log10(band / (WINDOW**2 * 0.09) + 1e-12)
    floor = float(np.percentile(level, 10))
    f0, confidence = _pitch_of(samples, len(level))
    loudest = float(np.percentile(level, 98))
    voiced = (confidence >= VOICED) & (level > loudest - 25.0)
    active = (level > max(floor + ACTIVE_DB, loudest - 35.0)) | voiced  # a held note has no pause to show the floor
    return Track(np.where(voiced, f0, 0.0), confidence, level, power, active, floor)


def _frames(samples: Samples) -> Floats:
    wide = samples.astype(np.float64) / 32768
    windows = np.lib.stride_tricks.sliding_window_view(wide, WINDOW)[::HOP]
    found: Floats = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
    return found


def _bins(low: float, high: float) -> slice:
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
        "syllables_s": syllable_rate(track),
        "modulation_hz": modulation(track),
        "coherence_s": coherence(track),
    }


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
    shape = 10 * np.log10(_smoothed(track.spectrum[:, _bins(300, 3400)]) + 1e-9)
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


def _pitch(track: Track) -> dict[str, Any]:
    voiced = np.flatnonzero((track.f0 > 0) & track.active)
    if len(voiced) < 6:
        return {
            "f0_hz": None, "range_st": 0.0, "jumps_st": 0.0, "sustained_share": 0.0, "longest_note_s": 0.0, "rise_st": 0.0,
        }  # fmt: skip
    tones = SEMITONES * np.log2(track.f0[voiced])
    middle = _weighted_median(tones, track.confidence[voiced] * 10 ** (track.level[voiced] / 20))
    low, high = np.percentile(tones, [10, 90])
    steps = np.abs(np.diff(tones))[np.diff(voiced) == 1]
    notes = _notes(tones, voiced)
    last = tones[voiced > voiced[-1] - round(0.25 / HOP_S)]
    return {
        "f0_hz": float(2 ** (middle / SEMITONES)),
        "range_st": float(high - low),
        "jumps_st": float(steps.mean()) if len(steps) else 0.0,
        "sustained_share": sum(n for n in notes if n * HOP_S >= 0.16) / len(voiced),
        "longest_note_s": max(notes) * HOP_S,
        "rise_st": float(np.percentile(last, 75) - middle),
    }


def _weighted_median(values: Floats, weights: Floats) -> float:
    """A frame of noise taken for an octave higher is soft and doubtful: it hardly counts."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


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
    band = clean[:, _bins(300, 3400)] + 1e-12
    logs = 10 * np.log10(_smoothed(band))
    shape = logs - logs.mean(axis=1, keepdims=True)
    average = mean[_bins(300, 3400)] + 1e-12
    return {
        "tilt_db": _ratio(mean, (300, 1000), (2000, 3400)),
        "nasal_db": _ratio(mean, (300, 600), (800, 1600)),
        "flatness_db": float(10 * np.log10(np.exp(np.log(average).mean()) / average.mean())),
        "spread_db": float(shape.std(axis=0).mean()),
    }


def _smoothed(band: Floats) -> Floats:
    """Nine bands of eleven bins: formants, not harmonics."""
    width = band.shape[1] // 9
    found: Floats = band[:, : 9 * width].reshape(len(band), 9, width).mean(axis=2)
    return found


def _ratio(mean: Floats, low: tuple[float, float], high: tuple[float, float]) -> float:
    return float(10 * np.log10((mean[_bins(*low)].mean() + 1e-12) / (mean[_bins(*high)].mean() + 1e-12)))


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
