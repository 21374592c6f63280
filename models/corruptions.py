"""What telephones, rooms and editing do to speech, in graded levels: the robustness grid. 8 kHz int16 in and out.

The first group follows Li et al. (arXiv 2503.17577), brought to 8 kHz: the corruptions of the paper's code with its
levels, as far as a codec of that rate exists. The second is the telephone set that grid lacks. Cells are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, resample_poly

from models.channel import Channel, apply, speech_level
from models.transcode import Coding, available, transcode

Samples = NDArray[np.int16]
Change = Callable[[Samples, int], Samples]  # (samples, index of the clip, which seeds what is random) -> samples
RATE = 8000


@dataclass(frozen=True)
class Cell:
    """One corruption at one level."""

    group: str
    name: str
    level: str
    change: Change


def to_int16(signal: NDArray[np.floating]) -> Samples:
    out: Samples = np.clip(np.rint(signal), -32768, 32767).astype(np.int16)
    return out


def gaussian(samples: Samples, index: int, *, snr_db: float) -> Samples:
    signal = samples.astype(np.float32)
    noise = np.random.default_rng(index).standard_normal(len(signal)).astype(np.float32)
    return to_int16(signal + noise * speech_level(signal) / 10 ** (snr_db / 20))


def background(samples: Samples, index: int, *, snr_db: float, noises: Sequence[Samples]) -> Samples:
    channel = Channel(noise=index % len(noises), noise_at=(index * 0.37) % 1, snr_db=snr_db)
    return apply(samples, channel, noises, ())


def smoothing(samples: Samples, _: int, *, window: int) -> Samples:
    return to_int16(np.convolve(samples.astype(np.float32), np.full(window, 1 / window), "same"))


def echo(samples: Samples, _: int, *, gain: float, delay_s: float = 0.1) -> Samples:
    late = np.zeros(len(samples), np.float32)
    shift = int(delay_s * RATE)
    late[shift:] = samples[: max(0, len(samples) - shift)]  # a clip may be shorter than the delay
    return to_int16(samples + gain * late)


def filtered(samples: Samples, _: int, *, kind: str, share: float) -> Samples:
    """Butterworth of order 5 at `share` of the Nyquist frequency."""
    b, a = butter(5, share, kind)
    return to_int16(lfilter(b, a, samples.astype(np.float64)))


def quantised(samples: Samples, _: int, *, levels: int) -> Samples:
    step = 65536 / levels
    return to_int16((np.floor(samples / step) + 0.5) * step)


def stretched(samples: Samples, _: int, *, rate: float) -> Samples:
    """Faster (above 1) or slower at the same pitch: frames of 30 ms overlapped where they fit best (WSOLA)."""
    size, hop, reach = 240, 120, 60
    window = np.hanning(size).astype(np.float32)
    signal = np.pad(samples.astype(np.float32), (reach, size + 2 * reach))
    count = max(1, int((len(samples) - size) / (hop * rate)))
    out, weight = np.zeros(count * hop + size, np.float32), np.zeros(count * hop + size, np.float32)
    expected = signal[reach : reach + size]
    for k in range(count):
        centre = reach + int(k * hop * rate)
        region = signal[centre - reach : centre + size + reach]
        likeness = np.correlate(region, expected, "valid") if k else np.eye(1, 2 * reach + 1, reach)[0]
        start = centre - reach + int(np.argmax(likeness))
        out[k * hop : k * hop + size] += window * signal[start : start + size]
        weight[k * hop : k * hop + size] += window
        expected = signal[start + hop : start + hop + size]
    return to_int16(out / np.maximum(weight, 0.1))


def pitch(samples: Samples, index: int, *, semitones: float) -> Samples:
    """Stretched, then resampled back to the old length."""
    factor = 2 ** (semitones / 12)
    longer = stretched(samples, index, rate=1 / factor)
    return to_int16(resample_poly(longer.astype(np.float32), 1000, round(1000 * factor)))


def lost(samples: Samples, index: int, *, share: float, burst: float = 1.5) -> Samples:
    return apply(samples, Channel(loss=share, burst=burst, seed=index), (), ())


def through(samples: Samples, index: int, *, channel: Channel, noises: Sequence[Samples] = ()) -> Samples:
    return apply(samples, channel, noises, ())


def coded(samples: Samples, _: int, *, codings: tuple[Coding, ...]) -> Samples:
    for coding in codings:
        samples = transcode(samples, coding)
    return samples


def grid(noises: Sequence[Samples]) -> list[Cell]:
    """Every cell that this machine can make; without noise recordings those cells are left out."""
    cells = [Cell("Li et al.", "Gaussian noise", f"{db} dB", partial(gaussian, snr_db=db)) for db in (40, 30, 20, 10, 5)]
    if noises:
        noisy = partial(background, noises=noises)
        cells += [Cell("Li et al.", "background noise", f"{db} dB", partial(noisy, snr_db=db)) for db in (40, 30, 20, 10, 5)]
        cells.append(Cell("telephone", "noise", "15 dB", partial(noisy, snr_db=15)))
    half = (3, 5, 7, 9, 11, 13)  # of the windows at 16 kHz
    cells += [Cell("Li et al.", "smoothing", f"{n}", partial(smoothing, window=n)) for n in half]
    cells += [Cell("Li et al.", "echo", f"{g}", partial(echo, gain=g)) for g in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for kind, name in (("highpass", "high-pass"), ("lowpass", "low-pass")):
        cells += [
            Cell("Li et al.", name, f"{round(share * RATE / 2)} Hz", partial(filtered, kind=kind, share=share))
            for share in (0.1, 0.2, 0.3, 0.4, 0.5)
        ]
    cells += [Cell("Li et al.", "pitch", f"{n:+g}", partial(pitch, semitones=n)) for n in (-2, -1, -0.5, 0.5, 1, 2)]
    cells += [Cell("Li et al.", "stretch", f"{r}", partial(stretched, rate=r)) for r in (0.7, 0.9, 1.1, 1.3, 1.5)]
    cells += [Cell("Li et al.", "quantisation", f"2^{n}", partial(quantised, levels=2**n)) for n in (10, 8, 6, 4, 2)]
    return cells + _telephone()


def _telephone() -> list[Cell]:
    laws = [Cell("telephone", "G.711", law, partial(through, channel=Channel(law=law))) for law in ("mu", "a")]
    losses = [Cell("telephone", "packet loss", f"{n} %", partial(lost, share=n / 100)) for n in (1, 5, 10, 20)]
    shapes = [
        Cell("telephone", "handset band", "300-3400 Hz", partial(through, channel=Channel(low_hz=300, high_hz=3400, law="mu"))),
        Cell("telephone", "gain", "-18 dB", partial(through, channel=Channel(gain_db=-18, law="mu"))),
        Cell("telephone", "clipping", "50 %", partial(through, channel=Channel(clip=0.5, law="mu"))),
    ]
    codecs = [
        Cell("telephone", c.codec.removeprefix("lib"), f"{c.bitrate / 1000:g} kbit/s", partial(coded, codings=(c,)))
        for c in available()
    ]
    pair = tuple(c for c in available() if (c.codec, c.bitrate) in (("libopencore_amrnb", 12200), ("libopus", 12000)))
    twice = [Cell("telephone", "transcoded twice", "AMR, Opus", partial(coded, codings=pair))] if len(pair) == 2 else []
    return laws + losses + shapes + codecs + twice
