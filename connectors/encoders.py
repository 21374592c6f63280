"""Encoders of what is played into a call: 20 ms of mono int16 -> one payload, for every codec that is received."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import av
import numpy as np

from connectors import g711
from connectors.codecs import CodecSpec
from connectors.resampling import audio_frame
from engine.audio import Samples

OPUS_RATE = 16000  # Hz: what prompts hold at most; the stream's clock stays 48000 (RFC 7587 section 4.1)
OPUS_BIT_RATE = 24000  # bit/s, for wideband speech (RFC 7587 section 3.1.1)
OPUS_DELAY = 104  # samples at OPUS_RATE, 6.5 ms: libopus looks ahead for so long in its "voip" application
G722_DELAY = 24  # samples through both of its filter banks (ITU-T G.722 section 1.3)


class Encoder(Protocol):
    """A codec of one stream. What is stateful goes on from one prompt to the next, as the far decoder does."""

    rate: int  # Hz of the samples it takes
    delay: int  # samples by which its sound is late: so many zeros push the end of a prompt out

    def encode(self, samples: Samples) -> bytes:
        """20 ms of audio -> its payload."""


def make_encoder(spec: CodecSpec) -> Encoder:
    """A fresh encoder of one stream."""
    if spec.name in ("PCMU", "PCMA"):
        return _G711(spec)
    return _L16(spec) if spec.name == "L16" else _PyAv(spec)


class _G711:
    delay = 0

    def __init__(self, spec: CodecSpec) -> None:
        self.rate = spec.rate
        self.encode: Callable[[Samples], bytes] = g711.encode_mu_law if spec.name == "PCMU" else g711.encode_a_law


class _L16:
    """Linear 16 bit, big endian, the same in every channel (RFC 3551 section 4.5.11)."""

    delay = 0

    def __init__(self, spec: CodecSpec) -> None:
        self.rate, self._channels = spec.rate, spec.channels

    def encode(self, samples: Samples) -> bytes:
        return np.repeat(samples, self._channels).astype(">i2").tobytes()


class _PyAv:
    """G.722 and Opus through FFmpeg. Opus is mono: a decoder makes of it what its side wants (RFC 6716 section 2.1.2)."""

    def __init__(self, spec: CodecSpec) -> None:
        opus = spec.name == "OPUS"
        context = av.CodecContext.create("libopus" if opus else "g722", "w")
        assert isinstance(context, av.AudioCodecContext)
        self.rate = OPUS_RATE if opus else spec.rate
        context.sample_rate, context.layout, context.format = self.rate, "mono", "s16"
        if opus:
            context.bit_rate = OPUS_BIT_RATE
            context.options = {"application": "voip", "frame_duration": "20"}
        context.open()
        self.delay = OPUS_DELAY if opus else G722_DELAY
        self._context, self._position = context, 0

    def encode(self, samples: Samples) -> bytes:
        frame = audio_frame(samples, self.rate, self._position)
        self._position += len(samples)
        return b"".join(bytes(packet) for packet in self._context.encode(frame))
