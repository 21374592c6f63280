"""Recordings: any audio file that FFmpeg reads, as 20 ms frames, in real time or as fast as they are taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np

from engine.audio import RATES, AudioFrame, Samples
from engine.errors import AudioError

LEGS = ("caller", "agent")
CHUNK_FRAMES = 8  # of 20 ms: decoded, and where nobody waits handed on, at once
WAIT_S = 0.004  # between looks at whether what was handed on is scored
# What is opened as a recording. Others that FFmpeg knows (playlists, capture devices) name further files to be read, and
# an upload must not choose those.
CONTAINERS = (
    "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,matroska,webm,amr,amrnb,amrwb,gsm,asf,avi,mpegts,mpeg,wv,g722,g726"
)
_CAPTURE_MAGIC = (
    b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a",
)  # fmt: skip


def sniff(path: Path) -> Literal["capture", "recording"]:
    """What a file is, by its first bytes. AudioError when there is nothing to look at."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise AudioError(f"{path} is a folder, not a recording") from None
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # a zero byte, which Python does not take to the system
        raise AudioError(f"{str(path)!r} is no file's name") from None
    if not head:
        raise AudioError(f"{path} is empty")
    return "capture" if head in _CAPTURE_MAGIC else "recording"


@dataclass(frozen=True)
class Recording:
    """An opened file; `frames` may be asked for once per leg."""

    path: Path
    legs: tuple[str, ...]
    seconds: float | None
    description: str
    _streams: dict[str, Iterator[AudioFrame]]

    def frames(self, leg: str) -> Iterator[AudioFrame]:
        return self._streams[leg]


def open_recording(
    path: Path, channels: Literal["mix", "split"] = "mix", note: Callable[[str], None] = lambda sentence: None
) -> Recording:
    """Open an audio file; "split" makes a stereo one two legs. AudioError is a sentence about this file, as is what goes to
    `note` where it breaks off."""
    sniff(path)
    try:
        container = _open(path)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"{path} cannot be read as audio: {getattr(error, 'strerror', error)}") from None
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{path} holds no audio")
    stream = container.streams.audio[0]
    if stream.codec_context is None:  # a header that names no codec FFmpeg knows
        container.close()
        raise AudioError(f"{path} holds audio of an unknown codec")
    rate, count = _served_rate(stream.rate or 0), len(stream.layout.channels)
    legs = LEGS if channels == "split" and count == 2 else LEGS[:1]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    description = f"{stream.codec_context.name}, {stream.rate} Hz, {count} channel{'s' if count != 1 else ''}"
    streams: dict[str, Iterator[AudioFrame]] = {}
    for index, leg in enumerate(legs):
        source = container if index == 0 else _open(path)
        blocks = _decode(path, source, rate, channel=index if len(legs) > 1 else None, note=note if index == 0 else None)
        first = next(blocks, None)
        if first is None:
            raise AudioError(f"{path} holds no audio that can be decoded")
        streams[leg] = _frames(_chain(first, blocks), rate)
    return Recording(path, legs, seconds, description, streams)


def _open(path: Path) -> av.container.InputContainer:
    """FFmpeg takes what stands before a colon for a protocol: "10:15.wav" would not be found."""
    return av.open(f"file:{path}", options={"format_whitelist": CONTAINERS})


def _served_rate(rate: int) -> int:
    """The rate a recording is given on at: its own if the engine knows it, else the nearest that loses nothing."""
    if rate in RATES:
        return rate
    return 8000 if rate < 8000 else 16000


def _decode(
    path: Path, container: av.container.InputContainer, rate: int, channel: int | None, note: Callable[[str], None] | None
) -> Iterator[Samples]:
    """Decoded blocks at `rate`, mixed to mono or one channel of two. A file that breaks off gives what is there."""
    layout = "mono" if channel is None else "stereo"
    resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
    heard = False
    with container:
        try:
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    heard = True
                    yield _samples(part, channel)
        except (av.FFmpegError, ValueError) as error:
            if heard and note is not None:
                note(f"{path} cannot be decoded to its end: what is before is heard ({getattr(error, 'strerror', error)})")
            return
        for part in resampler.resample(None):
            yield _samples(part, channel)


def _samples(frame: av.AudioFrame, channel: int | None) -> Samples:
    packed: Samples = frame.to_ndarray()[0].astype(np.int16, copy=False)
    return packed if channel is None else packed[channel::2]


def _chain(first: Samples, rest: Iterator[Samples]) -> Iterator[Samples]:
    yield first
    yield from rest


def _frames(blocks: Iterator[Samples], rate: int) -> Iterator[AudioFrame]:
    """Blocks of any size -> 20 ms frames; the last one is filled up to whole 10 ms with zeros."""
    size, position = rate // 50, 0
    rest: Samples = np.zeros(0, np.int16)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) - len(rest) % size
        for start in range(0, whole, size):
            yield AudioFrame(rest[start : start + size], rate, position)
            position += size
        rest = rest[whole:]
    if len(rest):
        padded = np.zeros(-(-len(rest) // (size // 2)) * (size // 2), np.int16)
        padded[: len(rest)] = rest
        yield AudioFrame(padded, rate, position)


async def replay(
    frames: Iterator[AudioFrame],
    on_frame: Callable[[AudioFrame, float], None],
    *,
    realtime: bool,
    behind: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Feed a leg. In real time each frame comes when its last sample would; else as soon as no more than one chunk is still
    `behind`: who takes frames faster than they are scored loses them."""
    start = clock()
    # Decoding is for a thread: through damaged data a decoder may seek for seconds, and calls wait for nobody's file.
    while batch := await asyncio.to_thread(lambda: list(islice(frames, CHUNK_FRAMES))):
        for frame in batch:
            if realtime:
                due = start + (frame.timestamp + len(frame.samples)) / frame.rate
                await asyncio.sleep(max(0.0, due - clock()))
            on_frame(frame, clock())
        while not realtime and behind() > 1:
            await asyncio.sleep(WAIT_S)
