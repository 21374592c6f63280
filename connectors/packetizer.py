"""Prompts to RTP packets of 20 ms (RFC 3550, RFC 3551). Pure: samples and `now` in, packets that are due out.

Sequence numbers count packets, timestamps follow the clock on the wall: between prompts nothing is sent, and the next
prompt's first packet says by its timestamp how long that was and by its marker that speech begins (RFC 3551 section 4.1).
"""

from __future__ import annotations

import numpy as np

from connectors.codecs import CodecSpec
from connectors.encoders import make_encoder
from connectors.resampling import resample
from connectors.rtp import RtpPacket
from engine.audio import Samples

FRAME_S = 0.02
EARLY_S = 0.0005  # by so much a timer may fire before its time, whose resolution is a millisecond
MAX_LATE_S = 0.06  # so late, packets are caught up on; later than that they would arrive as a burst that is thrown away
MAX_PAYLOAD = 1400  # bytes that pass an Ethernet in one piece
MAX_PROMPT_S = 60.0


def prompt_at(samples: Samples, rate: int, wanted: int) -> Samples:
    """A prompt of mono int16 at `rate` Hz -> the same at `wanted` Hz. ValueError when it is none, or none that is played."""
    sound = resample(samples, rate, wanted)
    if not 0 < len(samples) <= MAX_PROMPT_S * rate:
        raise ValueError(f"a prompt of {len(samples) / rate:g} s cannot be played: more than 0, at most {MAX_PROMPT_S:g} s")
    return sound


class RtpPacketizer:
    """The outgoing stream of one leg: prompt after prompt, one at a time."""

    def __init__(self, codec: CodecSpec, ssrc: int, sequence: int, timestamp: int) -> None:
        """`sequence` (16 bit) and `timestamp` (32 bit) are the first packet's; RFC 3550 wants them and `ssrc` random."""
        self._encoder = make_encoder(codec)
        self._type, self._ssrc = codec.payload_type, ssrc
        self._sequence, self._timestamp = sequence, timestamp
        self._clock = codec.clock
        self._ticks = codec.clock // 50
        self._size = self._encoder.rate // 50
        self._parts = _parts(codec)
        self._frames: Samples = np.zeros((0, self._size), np.int16)
        self._sent = 0  # of `_frames`
        self._base: float | None = None  # when the first of `_frames` is due; None before the first prompt
        self._marker = False

    @property
    def due(self) -> float | None:
        """When the next packet is to leave, monotonic seconds; None when nothing is left to send."""
        return self.ends if self._sent < len(self._frames) else None

    @property
    def ends(self) -> float:
        """Until when what was sent so far sounds, monotonic seconds; 0 before the first prompt."""
        return 0.0 if self._base is None else self._base + self._sent * FRAME_S

    @property
    def left_s(self) -> float:
        """Seconds of the prompt that were not sent yet."""
        return (len(self._frames) - self._sent) * FRAME_S

    def start(self, samples: Samples, rate: int, now: float) -> float:
        """Begin a prompt of mono int16 at `rate` Hz -> when its last sample will have sounded, if nothing delays it.

        ValueError when one is under way, or it is empty, longer than MAX_PROMPT_S or of an unknown rate.
        """
        if self.due is not None:
            raise ValueError("a prompt is being played already")
        sound = prompt_at(samples, rate, self._encoder.rate)
        count = -(-(len(sound) + self._encoder.delay) // self._size)
        frames = np.zeros(count * self._size, np.int16)
        frames[: len(sound)] = sound
        self._resume(max(now, self.ends))
        self._frames = frames.reshape(count, self._size)
        return self.ends + count * FRAME_S

    def stop(self) -> None:
        """Send no more of the running prompt; safe to repeat."""
        self._frames = self._frames[: self._sent]

    def next_packets(self, now: float) -> list[RtpPacket]:
        """The packets due by `now`, none mostly. After a stall the rest is not hurried but comes that much later."""
        packets: list[RtpPacket] = []
        if (due := self.due) is not None and now - due > MAX_LATE_S:
            self._resume(now)
        while (due := self.due) is not None and due <= now + EARLY_S:
            packets += self._next_frame()
        return packets

    def _resume(self, now: float) -> None:
        """Go on at `now`, with the timestamp that the clock has reached by then."""
        if self._base is not None:
            self._timestamp += round((now - self.ends) * self._clock)
        self._frames, self._sent = self._frames[self._sent :], 0
        self._base, self._marker = now, True

    def _next_frame(self) -> list[RtpPacket]:
        """The next 20 ms: one packet, or a few that fit the wire."""
        payload = self._encoder.encode(self._frames[self._sent])
        self._sent += 1
        size, packets = -(-len(payload) // self._parts), []
        for part in range(self._parts):
            timestamp = (self._timestamp + part * self._ticks // self._parts) & 0xFFFFFFFF
            piece = payload[part * size : (part + 1) * size]
            packets.append(RtpPacket(self._type, self._sequence, timestamp, self._ssrc, piece, self._marker))
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._marker = False
        self._timestamp = (self._timestamp + self._ticks) & 0xFFFFFFFF
        return packets


def _parts(codec: CodecSpec) -> int:
    """Into how many packets 20 ms go: more than one of linear audio at high rates only."""
    if codec.name != "L16":
        return 1
    size = codec.clock // 50 * 2 * codec.channels
    return next(parts for parts in (1, 2, 4) if size // parts <= MAX_PAYLOAD)
