"""Plain speech said in another manner, by signal processing that leaves the voice's own waveform in place.

For simulated answers where nobody was recorded: pace by waveform-similarity overlap-add (WSOLA, Verhelst and Roelands
1993), pitch by pitch-synchronous overlap-add (TD-PSOLA, Moulines and Charpentier 1990), loud and soft voice by gain and
spectral tilt, a cupped hand and a held nose by a filter. Nothing here resynthesises a voice: `revoice` does, and is
what a voice converter is simulated with. All signals are int16 [n] at 8 kHz; `pitch` and `revoice` need pyworld.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import medfilt, resample_poly

Samples = NDArray[np.int16]
Floats = NDArray[np.float64]
RATE = 8000  # Hz
WINDOW = 320  # samples: 40 ms, two periods of a low voice
SEEK = 80  # samples that WSOLA may move a window to meet the wave: 10 ms
BLOCK = 160
FRAME_S = 0.005  # between values of F0
QUIET_DB = -35.0  # against the loudest 30 ms: no voice is looked for below it
ENDING_DB = -20.0  # the last voice louder than that is where a sentence ends
RISE_S = 0.6  # a question rises within the last so many seconds of voice


def pcm(signal: Floats) -> Samples:
    """Rounded and saturated."""
    out: Samples = np.clip(np.rint(signal), -32768, 32767).astype(np.int16)
    return out


def faster(samples: Samples, factor: float) -> Samples:
    """The same speech `factor` times as fast (below 1: slower), at its own pitch."""
    source = samples.astype(np.float64)
    if len(source) < 2 * WINDOW:
        return samples
    hop, window = WINDOW // 2, np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(source, (SEEK, WINDOW + SEEK))
    count = int((len(source) - WINDOW) / (hop * factor)) + 1
    out = np.zeros(count * hop + WINDOW)
    before = 0
    for n in range(count):
        at = round(n * hop * factor)
        if n:  # where the wave goes on as it would have behind the last window
            wanted = padded[SEEK + before + hop : SEEK + before + hop + WINDOW]
            at += _closest(padded[at : at + WINDOW + 2 * SEEK], wanted) - SEEK
        before = min(max(at, 0), len(source) - 1)
        out[n * hop : n * hop + WINDOW] += window * padded[SEEK + before : SEEK + before + WINDOW]
    return pcm(out[: count * hop])


def _closest(room: Floats, wanted: Floats) -> int:
    """Where in `room` the piece most like `wanted` begins."""
    if len(wanted) < WINDOW or len(room) < WINDOW:
        return SEEK
    scores = np.correlate(room, wanted, mode="valid")
    energy = np.convolve(room**2, np.ones(WINDOW), mode="valid")
    return int(np.argmax(scores / np.sqrt(energy + 1.0)))


def pitched(samples: Samples, ratio: float) -> Samples:
    """The same speech at F0 times `ratio`; formants stay where they are."""
    source = samples.astype(np.float64)
    marks = _marks(source)
    return samples if len(marks) < 3 else _respaced(source, marks, np.full(len(marks), ratio))


def rising(samples: Samples, top: float) -> Samples:
    """The same speech as a question: F0 goes up to `top` times its middle over the last voice there is, also where the
    statement fell; the breath and the pause behind that voice do not count."""
    source = samples.astype(np.float64)
    marks = _marks(source)
    loud = _loudness_db(source)[marks] > ENDING_DB
    if len(marks) < 3 or not loud.any():
        return samples
    hz = RATE / medfilt(_periods(marks), 5)
    share = np.clip((marks - marks[loud][-1]) / RATE / 0.4 + RISE_S / 0.4, 0, 1)
    factor = (top * float(np.median(hz[loud])) / hz) ** share
    return _respaced(source, marks, np.clip(factor, 0.6, 3.0))


def _periods(marks: NDArray[np.int64]) -> Floats:
    found: Floats = np.diff(marks, append=2 * marks[-1] - marks[-2]).astype(np.float64)
    return found


def _respaced(source: Floats, marks: NDArray[np.int64], factor: Floats) -> Samples:
    """Two periods around each mark, laid down again at periods shorter by that mark's `factor`."""
    periods = _periods(marks)
    out, at = np.zeros(len(source)), float(marks[0])
    while at < marks[-1]:
        nearest = int(np.argmin(np.abs(marks - at)))
        period = periods[nearest]
        _overlap(out, source, round(at), int(marks[nearest]), round(min(period, 200.0)), float(factor[nearest]) ** -0.5)
        at += max(8.0, period / factor[nearest])
    return _unvoiced_kept(source, out, marks, periods)


def _marks(source: Floats) -> NDArray[np.int64]:
    """One mark per period where voiced: at the wave's highest point near where the phase of F0 comes round."""
    f0, _ = _pyworld().harvest(with_fundamental(source) / 32768, RATE, f0_floor=60.0, frame_period=1000 * FRAME_S)
    track = np.interp(np.arange(len(source)) / RATE, np.arange(len(f0)) * FRAME_S, f0)
    track[_loudness_db(source) < QUIET_DB] = 0.0  # pauses, in which every tracker finds a pitch
    marks: list[int] = []
    at = 0
    while at < len(source):
        if track[at] < 50.0:
            at += BLOCK // 4
            continue
        period = int(RATE / track[at])
        low = max(at - period // 3, 0) if marks and at - marks[-1] < 2 * period else at
        marks.append(low + int(np.argmax(source[low : at + period // 3 + 1])))
        at = marks[-1] + period
    return np.array(sorted(set(marks)), dtype=np.int64)


def with_fundamental(source: Floats) -> Floats:
    """`source` without hum, and with the wave of its envelope: harvest (sturdier than dio, but made for studio sound)
    looks for the fundamental, which many a recording lost on a telephone line. The envelope beats at that very pitch."""
    envelope = np.abs(_between(source, 200.0, 2000.0))
    return _between(source, 70.0, RATE / 2) + 2 * _between(envelope, 60.0, 600.0)


def _between(source: Floats, low: float, high: float) -> Floats:
    hz = np.maximum(np.fft.rfftfreq(len(source), 1 / RATE), 1.0)
    gain = 1 / np.sqrt((1 + (low / hz) ** 8) * (1 + (hz / high) ** 8))
    return np.fft.irfft(np.fft.rfft(source) * gain, len(source))


def _loudness_db(source: Floats) -> Floats:
    """Of the 30 ms around each sample, against the loudest such piece."""
    power = np.convolve(_between(source, 70.0, RATE / 2) ** 2, np.ones(240) / 240, mode="same")
    found: Floats = 10 * np.log10(power / max(float(power.max()), 1e-9) + 1e-9)
    return found


def _overlap(out: Floats, source: Floats, to: int, start: int, period: int, gain: float) -> None:
    """Add two periods of `source` around `start` to `out` around `to`; closer ones are softer, so that the voice is as loud."""
    left = min(period, start, to)
    right = min(period, len(source) - start, len(out) - to)
    if left <= 0 or right <= 0:
        return
    window = np.concatenate([np.linspace(0, 1, left, endpoint=False), np.linspace(1, 0, right)])
    out[to - left : to + right] += gain * window * source[start - left : start + right]


def _unvoiced_kept(source: Floats, made: Floats, marks: NDArray[np.int64], periods: Floats) -> Samples:
    """`made` where there is a pitch mark near, `source` elsewhere, with 10 ms from one to the other."""
    voiced = np.zeros(len(source))
    for mark, period in zip(marks.tolist(), np.minimum(periods, 160).astype(int).tolist(), strict=True):
        voiced[max(0, mark - period) : mark + period] = 1.0
    smooth = np.convolve(voiced, np.ones(81) / 81, mode="same")
    return pcm(made * smooth + source * (1 - smooth))


def tilted(samples: Samples, gain_db: float, tilt_db: float) -> Samples:
    """Louder by `gain_db`, and by `tilt_db` more at 3 kHz than at 500 Hz: a raised voice is brighter, a soft one duller."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 100.0) / 500.0)
    return _filtered(samples, gain_db + tilt_db * octaves / np.log2(3000 / 500))


def muffled(samples: Samples) -> Samples:
    """As behind a cupped hand: 12 dB less above 1.2 kHz, a resonance of the hollow at 500 Hz."""
    hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 1.0)
    return _filtered(samples, -12 / (1 + (1200 / hz) ** 4) + 5 * np.exp(-0.5 * (np.log2(hz / 500) / 0.4) ** 2))


def nasal(samples: Samples) -> Samples:
    """As with a held nose: more at 300-600 Hz, a zero near 1 kHz (Fant's antiformant of the closed side branch)."""
    hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 1.0)
    notch = -14 * np.exp(-0.5 * (np.log2(hz / 1000) / 0.3) ** 2)
    return _filtered(samples, notch + 4 * np.exp(-0.5 * (np.log2(hz / 420) / 0.4) ** 2))


def _filtered(samples: Samples, decibels: Floats) -> Samples:
    spectrum = np.fft.rfft(samples.astype(np.float64))
    return pcm(np.fft.irfft(spectrum * 10 ** (decibels / 20), len(samples)))


def levelled(samples: Samples, dbfs: float = -20.0) -> Samples:
    """As by a converter's gain control: every 200 ms is brought to one level, as far as 30 dB; silence stays silent."""
    wide = samples.astype(np.float64)
    size = RATE // 5
    power = np.convolve(wide**2, np.ones(size) / size, mode="same")
    level = 10 * np.log10(power / 32768**2 + 1e-12)
    gain = np.where(level > -65.0, np.clip(dbfs - level, -30.0, 30.0), 0.0)
    return pcm(wide * 10 ** (np.convolve(gain, np.ones(size) / size, mode="same") / 20))


def revoice(samples: Samples, pitch: float, formants: float) -> Samples:
    """Analysed and made again by WORLD (Morise 2016) with F0 times `pitch` and formants moved up by `formants`.

    At 16 kHz, for WORLD's D4C takes a voice without anything to compare above 4 kHz for a whisper.
    """
    from models.vocoders import fit_length, warp_frequency

    pyworld, wide_rate = _pyworld(), 2 * RATE
    if len(samples) < RATE // 10:
        return samples
    source = resample_poly(samples.astype(np.float64) / 32768, 2, 1)
    f0, times = world_pitch(source, wide_rate)
    envelope = warp_frequency(pyworld.cheaptrick(source, f0, times, wide_rate), formants)
    aperiodicity = pyworld.d4c(source, f0, times, wide_rate)
    made = pyworld.synthesize(f0 * pitch, envelope, aperiodicity, wide_rate, 1000 * FRAME_S)
    return pcm(fit_length(resample_poly(made, 1, 2), len(samples)) * 32768)


def whispered(samples: Samples) -> Samples:
    """The same words as breath: WORLD's envelope over noise, 6 dB an octave brighter, for no folds swing."""
    from models.vocoders import fit_length

    pyworld, wide_rate = _pyworld(), 2 * RATE
    if len(samples) < RATE // 10:
        return samples
    source = resample_poly(samples.astype(np.float64) / 32768, 2, 1)
    f0, times = world_pitch(source, wide_rate)
    envelope = pyworld.cheaptrick(source, f0, times, wide_rate)
    breath = pyworld.synthesize(np.zeros_like(f0), envelope, np.ones_like(envelope), wide_rate, 1000 * FRAME_S)
    made = np.diff(resample_poly(breath, 1, 2), prepend=0.0)
    peak = float(np.abs(made).max(initial=0.0))
    return pcm(fit_length(made, len(samples)) * (float(np.abs(samples.astype(np.float64)).max()) / 2 / max(peak, 1e-9)))


def world_pitch(source: Floats, rate: int = RATE) -> tuple[Floats, Floats]:
    """F0 in Hz every 5 ms, 0 where unvoiced, and the times in seconds."""
    pyworld = _pyworld()
    f0, times = pyworld.dio(source, rate, f0_floor=60.0, frame_period=1000 * FRAME_S)
    return pyworld.stonemask(source, f0, times, rate), times


def _pyworld() -> Any:
    try:
        with warnings.catch_warnings():  # pyworld still asks for pkg_resources
            warnings.simplefilter("ignore")
            import pyworld
    except ImportError as error:
        raise ValueError(f"simulated callers need the extra: pip install 'vivavoce[train]' ({error})") from None
    return pyworld
