"""Codecs by name and payload type (RFC 3551), and their decoders to mono int16."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from connectors import g711
from connectors.media import Decoder
from engine.audio import RATES, Samples


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """A codec as a call declares it."""

    name: str  # upper case
    payload_type: int
    clock: int  # Hz of the RTP timestamp
    rate: int  # Hz of the audio
    channels: int = 1

    def __str__(self) -> str:
        return f"{self.name}/{self.clock}" + (f"/{self.channels}" if self.channels > 1 else "")


_STATIC = {
    "PCMU": CodecSpec("PCMU", 0, 8000, 8000),
    "PCMA": CodecSpec("PCMA", 8, 8000, 8000),
    "G722": CodecSpec("G722", 9, 8000, 16000),  # the clock is 8000 by an old error (RFC 3551 section 4.5.2)
    "OPUS": CodecSpec("OPUS", 111, 48000, 48000, 2),
    "L16": CodecSpec("L16", 96, 16000, 16000),
}
ASSIGNED = {  # RFC 3551 section 6, tables 4 and 5
    0: "PCMU", 3: "GSM", 4: "G723", 5: "DVI4", 6: "DVI4", 7: "LPC", 8: "PCMA", 9: "G722", 10: "L16 at 44,100 Hz",
    11: "L16 at 44,100 Hz", 12: "QCELP", 13: "comfort noise", 14: "MPA", 15: "G728", 16: "DVI4", 17: "DVI4", 18: "G729",
    25: "video", 26: "video", 28: "video", 31: "video", 32: "video", 33: "video", 34: "video",
}  # fmt: skip
KNOWN = ", ".join([*_STATIC, "L16/8000", "opus/48000/2"])
_PATTERN = re.compile(r"([A-Za-z0-9]{1,16})(?:/(\d{1,6}))?(?:/(\d{1,2}))?")


def parse_codec(text: str, payload_type: int | None = None) -> CodecSpec:
    """"PCMU", "L16/16000", "opus/48000/2" -> CodecSpec. ValueError names an unknown codec and the known ones."""
    match = _PATTERN.fullmatch(text)
    base = _STATIC.get(match[1].upper()) if match else None
    if match is None or base is None:
        raise ValueError(f'codec "{text[:40]}" is unknown; known are {KNOWN}')
    clock = int(match[2] or base.clock)
    channels = int(match[3] or (2 if base.name == "OPUS" else 1))
    if base.name == "L16":
        if clock not in RATES or channels not in (1, 2):
            raise ValueError(f'codec "{text}": L16 is known at {", ".join(map(str, RATES))} Hz with 1 or 2 channels')
    elif clock != base.clock or channels > base.channels:
        raise ValueError(f'codec "{text}": {base.name} is known as {base}')
    number = checked_type(base.payload_type if payload_type is None else payload_type)
    if ASSIGNED.get(number, base.name) != base.name:
        raise ValueError(f"payload type {number} is that of {ASSIGNED[number]}, not of {base.name} (RFC 3551 section 6)")
    return CodecSpec(base.name, number, clock, clock if base.name == "L16" else base.rate, channels)


def checked_type(number: int) -> int:
    """An RTP payload type as it was given; ValueError for one that no RTP packet of ours can have."""
    if not 0 <= number <= 127:
        raise ValueError(f"payload type {number} is out of range: 0 to 127")
    if 64 <= number <= 95:  # RFC 5761 section 4: on one port with RTCP such a packet cannot be told from it
        raise ValueError(f"payload type {number} is taken for RTCP: 0 to 63 and 96 to 127 are free")
    return number


def codec_of_type(payload_type: int) -> CodecSpec | None:
    """The codec of a static payload type, for captures without signalling."""
    return next((c for c in _STATIC.values() if c.payload_type == payload_type and payload_type < 96), None)


def static_decoders(besides: int) -> dict[int, Callable[[], Decoder]]:
    """Of the telephone's static payload types but one: a sender may go over to another at any time (RFC 3264 section 5.1)."""
    telephone = (_STATIC["PCMU"], _STATIC["PCMA"], _STATIC["G722"])
    return {spec.payload_type: partial(make_decoder, spec) for spec in telephone if spec.payload_type != besides}


def make_decoder(spec: CodecSpec) -> Decoder:
    """A fresh decoder of one stream."""
    if spec.name in ("PCMU", "PCMA"):
        return _G711(spec)
    return _L16(spec) if spec.name == "L16" else _PyAv(spec)


class _G711:
    joins = True

    def __init__(self, spec: CodecSpec) -> None:
        self.rate, self.clock = spec.rate, spec.clock
        # The table look-up itself, without a wrapper: fifty times a second for every call.
        self.decode: Callable[[bytes], Samples] = g711.decode_mu_law if spec.name == "PCMU" else g711.decode_a_law


class _L16:
    """Linear 16 bit, big endian (RFC 3551 section 4.5.11)."""

    joins = False

    def __init__(self, spec: CodecSpec) -> None:
        self.rate, self.clock = spec.rate, spec.clock
        self._channels = spec.channels

    def decode(self, payload: bytes) -> Samples:
        width = 2 * self._channels
        if len(payload) % width:
            raise ValueError(f"L16 payload of {len(payload)} bytes is no whole number of {width}-byte samples")
        samples = np.frombuffer(payload, ">i2").astype(np.int16)
        return samples if self._channels == 1 else _mono(samples.reshape(-1, self._channels))


class _PyAv:
    """G.722 and Opus through FFmpeg."""

    joins = False

    def __init__(self, spec: CodecSpec) -> None:
        self.rate, self.clock = spec.rate, spec.clock
        name = "g722" if spec.name == "G722" else "opus"
        context = av.CodecContext.create(name, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = spec.rate
        context.layout = "mono" if spec.channels == 1 else "stereo"
        self._context = context

    def decode(self, payload: bytes) -> Samples:
        if not payload:  # to FFmpeg an empty packet is the end of the stream, after which it decodes nothing more
            raise ValueError("payload of 0 bytes cannot be decoded")
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise ValueError(f"payload of {len(payload)} bytes cannot be decoded: {error.strerror}") from None
        parts = [_to_int16(frame.to_ndarray(), frame.format.is_planar, len(frame.layout.channels)) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _to_int16(array: NDArray[Any], planar: bool, channels: int) -> Samples:
    table = array.T if planar else array.reshape(-1, channels)
    if table.dtype != np.int16:
        table = np.clip(np.rint(table * 32768.0), -32768, 32767)
    return _mono(table)


def _mono(table: NDArray[Any]) -> Samples:
    """[n, channels] -> [n], the channels' mean."""
    if table.shape[1] == 1:
        return table[:, 0].astype(np.int16)
    mixed: Samples = table.mean(axis=1).astype(np.int16)
    return mixed
