"""Real speech and music codecs, there and back, through FFmpeg's libraries: what storage and other networks do.

`Coding` names one setting; `random_coding` draws one; `transcode` runs 8 kHz speech through encoder and decoder and
takes the codec's delay out again. Only codecs this build of FFmpeg can encode are drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.corpus import RATE, resample
from models.store import AudioStore

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Coding:
    codec: str  # FFmpeg encoder name
    bitrate: int  # bit/s; 0: the codec has one only
    rate: int = RATE  # Hz at which the codec runs

    def __str__(self) -> str:
        return f"{self.codec}@{self.bitrate}"


CODINGS: tuple[Coding, ...] = (
    Coding("libopus", 8000, 8000),
    Coding("libopus", 12000, 8000),
    Coding("libopus", 16000, 16000),
    Coding("libopus", 24000, 16000),
    Coding("libopencore_amrnb", 5900),
    Coding("libopencore_amrnb", 7950),
    Coding("libopencore_amrnb", 12200),
    Coding("g722", 64000, 16000),
    Coding("libmp3lame", 24000, 16000),
    Coding("libmp3lame", 48000, 16000),
)
NETWORKS: dict[str, Coding] = {  # what a call may have come through before it reaches a G.711 trunk
    "g711+amr7.95": Coding("libopencore_amrnb", 7950),
    "g711+amr5.9": Coding("libopencore_amrnb", 5900),
    "g711+opus8": Coding("libopus", 8000, 8000),
}
SAMPLE_FORMATS = {"libmp3lame": "s16p"}
DECODERS = {"libmp3lame": "mp3", "libopencore_amrnb": "libopencore_amrnb"}


@cache
def available() -> tuple[Coding, ...]:
    """The codings whose encoder is in this build."""
    return tuple(coding for coding in CODINGS if coding.codec in av.codecs_available)


def random_coding(name: str) -> Coding:
    """The coding of a recording, fixed by its name: a clip and its copies share it. LookupError if there is none."""
    codings = available()
    if not codings:
        raise LookupError("this build of FFmpeg encodes none of " + ", ".join(c.codec for c in CODINGS))
    return codings[zlib.crc32(name.encode()) % len(codings)]


def transcode(samples: Samples, coding: Coding) -> Samples:
    """int16 [n] at 8 kHz through `coding` and back, same length, aligned with the input."""
    wide = resample(samples, RATE, coding.rate)
    decoded = resample(_round_trip(wide, coding), coding.rate, RATE)
    return align(decoded, samples)


def _round_trip(samples: Samples, coding: Coding) -> Samples:
    encoder = av.CodecContext.create(coding.codec, "w")
    encoder.sample_rate, encoder.layout = coding.rate, "mono"
    encoder.format = SAMPLE_FORMATS.get(coding.codec, "s16")
    if coding.bitrate:
        encoder.bit_rate = coding.bitrate
    if coding.codec == "libopus":
        encoder.options = {"application": "voip", "compression_level": "3"}
    encoder.open()
    decoder = av.CodecContext.create(DECODERS.get(coding.codec, coding.codec), "r")
    if coding.codec != "libmp3lame":  # the MP3 decoder reads rate and layout from the stream
        decoder.sample_rate, decoder.layout = coding.rate, "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    packets = [packet for frame in _frames(samples, coding, encoder.frame_size) for packet in encoder.encode(frame)]
    packets += encoder.encode(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=coding.rate)
    blocks = [out.to_ndarray()[0] for frame in frames for out in resampler.resample(frame)]
    blocks += [out.to_ndarray()[0] for out in resampler.resample(None)]
    joined: Samples = np.concatenate(blocks).astype(np.int16)
    return joined


def _frames(samples: Samples, coding: Coding, size: int) -> list[av.AudioFrame]:
    size = size or 320
    padded = np.pad(samples, (0, -len(samples) % size + 2 * size))
    frames = []
    for start in range(0, len(padded), size):
        block = padded[None, start : start + size]
        frame = av.AudioFrame.from_ndarray(block, format=SAMPLE_FORMATS.get(coding.codec, "s16"), layout="mono")
        frame.sample_rate, frame.pts = coding.rate, start
        frames.append(frame)
    return frames


def align(decoded: Samples, original: Samples, most: int = 1200) -> Samples:
    """Shift `decoded` earlier by the delay (0..most samples) at which it resembles `original` most; same length."""
    length = len(original)
    span = min(length, 4 * RATE)
    size = 1 << (span + most).bit_length()
    head = np.fft.rfft(decoded[: span + most].astype(np.float32), size)
    likeness = np.fft.irfft(head * np.conj(np.fft.rfft(original[:span].astype(np.float32), size)), size)[:most]
    shifted = decoded[int(np.argmax(likeness)) :][:length]
    return np.pad(shifted, (0, length - len(shifted)))


def add_codings(store: AudioStore) -> None:
    """One coded version of every clean entry of the store, real and synthetic alike; resumes."""
    if not available():
        return
    clean = [entry for entry in store.entries if not entry.coding]
    todo = [e for e in clean if (e.source, e.generator, str(random_coding(e.source))) not in store]
    with store:
        for entry in tqdm(todo, desc="codecs", unit="clip", disable=not todo):
            coding = random_coding(entry.source)
            store.add(
                transcode(np.array(store.samples(entry)), coding),
                source=entry.source,
                label=entry.label,
                generator=entry.generator,
                repo=entry.repo,
                speaker=entry.speaker,
                coding=str(coding),
            )
