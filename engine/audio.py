"""Audio as the engine sees it: frames with a sample clock in, fixed-size chunks out.

Loss is part of the audio. A lost packet arrives here as a frame of zeros with `lost=True`; nobody upstream
conceals it with invented speech, because invented speech is what the detector looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
Samples = NDArray[np.int16]


class AudioFrame(NamedTuple):
    """One packet's worth of one leg's sound, usually 20 ms; a hole is one frame, too."""

    samples: Samples  # mono int16, shape [n]
    rate: int  # Hz: 8000, 16000, 24000, 32000 or 48000
    timestamp: int  # position of samples[0] since the start of the leg, in samples at `rate`
    lost: bool = False  # True: the packet never came, `samples` are zeros

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the model is given at once: `samples` int16 [chunk_samples] at the model's rate."""

    samples: Samples
    index: int  # 0, 1, 2 ... within the leg
    speech_s: float  # seconds of it that the voice activity detector called speech
    lost_s: float  # seconds of it that were lost packets
    arrived: float  # monotonic time at which its last packet arrived, seconds
    aside: bool = False  # of an answer, which is judged by itself: no part of the call's running evidence


RATES = (8000, 16000, 24000, 32000, 48000)  # Hz, what connectors deliver: whole multiples of the model's rate
HALF_WIDTH = 10  # output samples on each side of the anti-alias filter
KAISER = 5.0  # the filter that training audio went through (scipy's resample_poly): the top bands tell, so it must be the same


@lru_cache(maxsize=8)
def _low_pass(ratio: int) -> NDArray[np.float32]:
    """Kaiser-windowed sinc for decimation by `ratio`, unit gain at 0 Hz, odd length."""
    half = HALF_WIDTH * ratio
    n = np.arange(-half, half + 1)
    taps = np.sinc(n / ratio) * np.kaiser(2 * half + 1, KAISER)
    scaled: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return scaled


class Resampler:
    """Streaming decimation by a whole ratio: 48 -> 8 kHz, say.

    However the signal is cut, the output is the same: the filter's past is kept, and every output sample is the sum
    over the same taps. Output lags the input by HALF_WIDTH output samples (1.25 ms at 8 kHz).
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        if rate_in < rate_out or rate_in % rate_out:
            raise ValueError(f"cannot bring {rate_in} Hz to {rate_out} Hz: only whole ratios downwards")
        self._ratio = rate_in // rate_out
        self._taps = _low_pass(self._ratio)
        self._past = np.zeros(len(self._taps) - 1, np.float32)
        self._skip = 0  # input samples until the next output sample

    def feed(self, samples: Samples) -> Samples:
        """The next input samples, any number -> the output samples they complete."""
        signal = np.concatenate([self._past, samples.astype(np.float32)])
        self._past = signal[len(signal) - len(self._past) :]
        starts = np.arange(self._skip, len(samples), self._ratio)
        self._skip = (self._skip - len(samples)) % self._ratio
        if not len(starts):
            return np.zeros(0, np.int16)
        windows = np.lib.stride_tricks.sliding_window_view(signal, len(self._taps))[starts]
        out: Samples = np.rint(np.einsum("ij,j->i", windows, self._taps)).clip(-32768, 32767).astype(np.int16)
        return out


class Chunker:
    """Cuts one leg's frames, of any rate and length, into chunks at the model's rate.

    One preallocated buffer and one slice copy per frame: this runs fifty times a second for every call.
    """

    __slots__ = ("_buffer", "_chunk", "_fill", "_index", "_lost", "_rate", "_rate_in", "_resampler", "_speech")

    def __init__(self, rate: int, chunk_samples: int) -> None:
        self._rate = self._rate_in = rate
        self._chunk = chunk_samples
        self._buffer = np.zeros(chunk_samples, np.int16)
        self._resampler: Resampler | None = None
        self._fill = self._index = 0
        self._speech = self._lost = 0.0

    @property
    def index(self) -> int:
        """Of the chunk that is being filled."""
        return self._index

    def resample(self, frame: AudioFrame) -> Samples:
        """The frame's samples at the model's rate. A new input rate starts a new filter."""
        if frame.rate != self._rate_in:
            self._rate_in = frame.rate
            self._resampler = Resampler(frame.rate, self._rate) if frame.rate != self._rate else None
        return frame.samples if self._resampler is None else self._resampler.feed(frame.samples)

    def feed(self, samples: Samples, speech_s: float, lost: bool, now: float) -> list[Chunk]:
        """Samples at the model's rate, of which `speech_s` seconds are speech -> the chunks they complete."""
        size, fill = len(samples), self._fill
        if fill + size < self._chunk:  # the common case, one frame of eight
            self._buffer[fill : fill + size] = samples
            self._fill = fill + size
            self._speech += speech_s
            if lost:
                self._lost += size / self._rate
            return []
        if size == self._chunk and not fill:  # as where packets are gathered: it is a chunk already
            self._index += 1
            return [Chunk(samples, self._index - 1, speech_s, size / self._rate if lost else 0.0, now)]
        return self._feed_across(samples, speech_s, lost, now)

    def _feed_across(self, samples: Samples, speech_s: float, lost: bool, now: float) -> list[Chunk]:
        chunks, done, size = [], 0, len(samples)
        while done < size:
            part = min(self._chunk - self._fill, size - done)
            self._buffer[self._fill : self._fill + part] = samples[done : done + part]
            self._fill += part
            done += part
            self._speech += speech_s * part / size
            self._lost += part / self._rate if lost else 0.0
            if self._fill == self._chunk:
                chunks.append(self._complete(now))
        return chunks

    def flush(self, now: float) -> Chunk | None:
        """The unfinished chunk, filled up with zeros; None if there is none."""
        if not self._fill:
            return None
        self._buffer[self._fill :] = 0
        return self._complete(now)

    def _complete(self, now: float) -> Chunk:
        chunk = Chunk(self._buffer, self._index, self._speech, self._lost, now)
        self._buffer = np.zeros(self._chunk, np.int16)
        self._index += 1
        self._fill, self._speech, self._lost = 0, 0.0, 0.0
        return chunk
