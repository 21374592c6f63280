"""One RTP stream to audio frames. Pure: datagrams and `now` in, frames in order with explicit gaps out.

The common packet (right source, right type, next number) takes one unpack and no jitter buffer; everything else goes
the careful way. Of codecs with a byte a sample, packets in order may be gathered first: the model wants 160 ms at once,
and to decode eight packets one by one costs eight times as much as to decode them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from connectors import rtp
from connectors.dtmf import parse_event
from connectors.jitter import MAX_JUMP, MAX_LATE, Gap, JitterBuffer
from connectors.rtcp import reports
from engine.audio import AudioFrame, Samples

COMFORT_NOISE = 13  # RFC 3389
EVENT_TYPES = frozenset({101})  # of telephone events, where nothing says otherwise
MAX_GAP_S = 1.0  # of silence handed on for one hole; a longer one is a discontinuity, not a second of zeros
ADOPT_AFTER_S = 1.0  # silence of the old source after which a new one may speak
ADOPT_PACKETS = 3  # packets in a row that make a new source credible while the old one is quiet for less
JITTER_S = 0.01  # of timestamps: an encoder that changes its rate is ahead of what comes out of it, and then behind, by less
CLOCK_S = 2.0  # by which a sender's clock may be ahead of ours within one pause: packets may have been held up
DTX_PAUSES = 3  # fewer may be a key, a hold or a hand-over: then too the timestamp jumps
MAX_DIGITS = 64  # kept per call, oldest dropped


class Decoder(Protocol):
    """A codec of one stream; stateful ones are made anew per leg."""

    rate: int  # Hz of the samples it returns
    clock: int  # Hz of the RTP timestamp
    joins: bool  # payloads may be decoded joined: a byte a sample, no state

    def decode(self, payload: bytes) -> Samples: ...


@dataclass(slots=True)
class ReceiverStats:
    """Datagrams of one leg, each counted in exactly one of the first four."""

    received: int = 0  # valid, of our source and of a payload type that is this call's
    malformed: int = 0  # no RTP
    foreign: int = 0  # of a source or payload type that is not this call's
    rtcp: int = 0
    undecodable: int = 0  # of those received
    digits: list[str] = field(default_factory=list)


class RtpReceiver:
    """Turns the datagrams of one leg into frames."""

    def __init__(
        self,
        decoder: Decoder,
        payload_type: int,
        *,
        wait_s: float = 0.06,
        event_types: frozenset[int] = EVENT_TYPES,
        gather: int = 0,
        others: Mapping[int, Callable[[], Decoder]] | None = None,
    ) -> None:
        """`gather`: samples up to whose multiples packets in order are gathered, if the codec allows; 0 hands on each.
        `others`: payload types that the sender may change to, with what makes their decoders."""
        self.stats = ReceiverStats()
        self.jitter: JitterBuffer[rtp.RtpPacket] = JitterBuffer(wait_s)
        self._decoder = decoder
        self._type = payload_type
        self._others = dict(others or {})
        self._event_types = event_types - {payload_type} - self._others.keys()
        self._own_types = self._event_types | {payload_type, COMFORT_NOISE} | self._others.keys()
        self.on_source: Callable[[float], None] = lambda now: None  # is told when another SSRC takes the place of the first
        self.last_report = -math.inf  # when the sender said by RTCP that it is there
        self.listening = True  # whether anybody has time; asked by connectors that have no port of their own
        self.unheard = 0  # packets that came meanwhile
        self._unheard_before = 0
        self.own_ssrc: int | None = None  # of what is played to the far end: never heard, though it be sent back
        self._pauses = 0  # of the sender, in which it sent nothing
        self._keyed = False  # a key was pressed since the last sound: it came in the place of sound
        self._ssrc: int | None = None
        self._last_packet = 0.0
        self._sounded = -math.inf  # when a packet of sound or comfort noise came last
        self._candidate = (0, 0, 0, 0)  # another source: ssrc, next number, packets in a row, received of the old one by then
        self._position = 0  # samples, those of holes too long to be handed on included
        self._handed = 0  # samples handed on
        self._gather = gather if decoder.joins else 0
        self._gathered = bytearray()  # payloads of less than `gather` samples
        self._packet_samples = decoder.rate // 50
        self._next_timestamp: int | None = None
        self._event_timestamp: int | None = None

    def receive_datagram(self, datagram: bytes, now: float) -> list[AudioFrame]:
        """One datagram -> the frames it completes. Nothing a peer sends raises."""
        if len(datagram) > rtp.HEADER.size:
            first, second, number, timestamp, ssrc = rtp.HEADER.unpack_from(datagram)
            if (
                number == self.jitter.next
                and timestamp == self._next_timestamp
                and first == 0x80
                and ssrc == self._ssrc
                and second & 0x7F == self._type
                and not self.jitter.held
            ):
                return self._next_packet(datagram, number, timestamp, now)
        if rtp.classify(datagram) is rtp.Kind.RTCP:  # by RFC 5761; the shortest has no more than 8 bytes
            self.stats.rtcp += 1
            return []
        try:
            packet = rtp.parse(datagram)
        except ValueError:
            self.stats.malformed += 1
            return []
        return self.receive_packet(packet, now)

    def receive_report(self, datagram: bytes, now: float) -> None:
        """RTCP: of its sender, that it is there though it may send no sound."""
        if reports(datagram, self._ssrc):
            self.last_report = now

    def flush(self) -> list[AudioFrame]:
        """What was gathered, as it stands."""
        if not self._gathered:
            return []
        samples = self._decoder.decode(bytes(self._gathered))
        self._gathered.clear()
        return [self._frame(samples)]

    def listen(self, listening: bool) -> None:
        """Whether what comes is to be looked into, or only `pass_by`."""
        if listening and not self.listening:
            self.skip(self.unheard - self._unheard_before)
        self.listening, self._unheard_before = listening, self.unheard

    def pass_by(self, now: float) -> None:
        """A packet that nobody has time for. Its sender is there."""
        self.unheard += 1
        self.last_report = now

    def skip(self, packets: int) -> None:
        """So many were not looked into: go on with the next, whatever its number."""
        self._position += len(self._gathered) + packets * self._packet_samples
        self._gathered.clear()
        self._next_timestamp = None
        self.jitter.reset()

    def _next_packet(self, datagram: bytes, number: int, timestamp: int, now: float) -> list[AudioFrame]:
        """The common case: the packet that was expected, taken without ceremony."""
        self.stats.received += 1
        self._last_packet = self._sounded = now
        self.jitter.next = (number + 1) & 0xFFFF
        payload = datagram[rtp.HEADER.size :]
        if self._gather:
            self._packet_samples = size = len(payload)
            self._next_timestamp = (timestamp + size) & 0xFFFFFFFF
            self._gathered += payload
            return self.flush() if self._handed % self._gather + len(self._gathered) >= self._gather else []
        try:
            samples = self._decoder.decode(payload)
        except ValueError:
            self.stats.undecodable += 1
            return self._lost(1)
        size = self._packet_samples = len(samples) or self._packet_samples
        if not len(samples):
            return []
        self._next_timestamp = self._after(timestamp, size)
        return [self._frame(samples)]

    def _frame(self, samples: Samples) -> AudioFrame:
        """Samples as the next frame."""
        frame = AudioFrame(samples, self._decoder.rate, self._position)
        self._position += len(samples)
        self._handed += len(samples)
        return frame

    def receive_packet(self, packet: rtp.RtpPacket, now: float) -> list[AudioFrame]:
        """As receive_datagram, for a packet that was parsed (and decrypted) elsewhere."""
        number, jitter = packet.sequence, self.jitter
        if packet.ssrc != self._ssrc and not self._adopts(packet, now):
            return []
        if packet.payload_type in self._own_types:
            self.stats.received += 1
        else:
            self.stats.foreign += 1  # it goes on all the same: its number is one of the stream's
        before = self.flush() + self.poll(now)  # what has waited for long enough came before this pause, if it is one
        self._last_packet = now
        if number == jitter.next and not jitter.held:
            jitter.next = (number + 1) & 0xFFFF
            return before + self._frames_of(packet)
        return before + self._in_order(jitter.push(number, packet, now))

    def own(self, datagram: bytes) -> rtp.RtpPacket | None:
        """A whole RTP packet of a payload type that this call has, which may begin it; None for all else."""
        try:
            packet = rtp.parse(datagram)
        except ValueError:
            return None
        return packet if packet.payload_type in self._own_types else None

    def continued_by(self, packet: rtp.RtpPacket) -> bool:
        """Whether it is of the stream that is heard and not far from where that is: known to hardly anybody else."""
        wanted = self.jitter.next
        ahead = 0 if wanted is None else ((packet.sequence - wanted + 0x8000) & 0xFFFF) - 0x8000
        return packet.ssrc == self._ssrc and -MAX_LATE <= ahead <= MAX_JUMP

    def expect_another(self) -> None:
        """Its address changed: whatever SSRC comes from there is heard at once."""
        self._last_packet = -math.inf

    def poll(self, now: float) -> list[AudioFrame]:
        """Frames of holes that have been waited for long enough."""
        return self._in_order(self.jitter.poll(now)) if self.jitter.held else []

    @property
    def ssrc(self) -> int | None:
        """The source that is heard."""
        return self._ssrc

    @property
    def rate(self) -> int:
        """Hz of the codec that is heard, or is the first to be."""
        return self._decoder.rate

    @property
    def dtx(self) -> bool:
        """The sender sends nothing while nobody speaks, or comfort noise: what is soft may never arrive."""
        return self._pauses >= DTX_PAUSES

    @property
    def position_s(self) -> float:
        return self._position / self._decoder.rate

    def _adopts(self, packet: rtp.RtpPacket, now: float) -> bool:
        """Whether a packet of another SSRC is the call's from now on; a single stray never is."""
        if 64 <= packet.payload_type <= 95:  # RFC 5761: an RTCP packet on the RTP port
            self.stats.rtcp += 1
            return False
        if packet.ssrc == self.own_ssrc:  # a loop (RFC 3550 section 8.2)
            self.stats.foreign += 1
            return False
        if packet.payload_type not in self._own_types - self._event_types:
            if packet.payload_type in self._event_types and self._ssrc is not None:
                self.stats.received += 1
                self._take_event(packet)  # some senders give digits an SSRC of their own
            else:
                self.stats.foreign += 1
            return False
        ssrc, wanted, row, heard = self._candidate
        goes_on = (packet.ssrc, packet.sequence, self.stats.received) == (ssrc, wanted, heard)  # and the old one is quiet
        row = row + 1 if goes_on else 1
        self._candidate = (packet.ssrc, (packet.sequence + 1) & 0xFFFF, row, self.stats.received)
        if self._ssrc is not None and row < ADOPT_PACKETS and now - self._last_packet < ADOPT_AFTER_S:
            self.stats.foreign += 1
            return False
        changed, self._ssrc = self._ssrc is not None, packet.ssrc
        self._next_timestamp = None
        self.jitter.reset()
        if changed:
            self._gathered.clear()
            self.on_source(now)
        return True

    def _in_order(self, items: list[rtp.RtpPacket | Gap]) -> list[AudioFrame]:
        frames: list[AudioFrame] = []
        for item in items:
            frames += self._lost(item.packets) if isinstance(item, Gap) else self._frames_of(item)
        return frames

    def _frames_of(self, packet: rtp.RtpPacket) -> list[AudioFrame]:
        if packet.payload_type in self._others and packet.payload_type != self._type:
            self._change(packet.payload_type)
        if packet.payload_type != self._type:
            if packet.payload_type in self._event_types:
                self._take_event(packet)
            return self._paused(packet) if packet.payload_type == COMFORT_NOISE else []
        if not packet.payload:
            return []  # a keep-alive
        try:
            samples = self._decoder.decode(packet.payload)
        except ValueError:
            self.stats.undecodable += 1
            return self._lost(1)
        size = len(samples)
        if not size:
            return []
        paused_s, self._sounded = self._last_packet - self._sounded, self._last_packet
        expected, self._next_timestamp = self._next_timestamp, self._after(packet.timestamp, size)
        keyed, self._keyed = self._keyed, False
        if expected is None or packet.timestamp == expected:
            self._packet_samples = size
            return [self._frame(samples)]
        silence = self._silence((packet.timestamp - expected) & 0xFFFFFFFF, paused_s)
        self._pauses += bool(silence) and not keyed
        return [*silence, self._frame(samples)]

    def _change(self, payload_type: int) -> None:
        """The sender goes on in another codec of those that were agreed on."""
        before, self._decoder, self._type = self._decoder.rate, self._others[payload_type](), payload_type
        rate = self._decoder.rate
        self._position, self._handed = self._position * rate // before, self._handed * rate // before
        self._gather *= self._decoder.joins
        self._packet_samples, self._next_timestamp = rate // 50, None  # clocks of codecs differ

    def _paused(self, packet: rtp.RtpPacket) -> list[AudioFrame]:
        """Comfort noise (RFC 3389): until here nobody spoke. The line is there, and its time goes on."""
        self._pauses += DTX_PAUSES
        ticks = 0 if self._next_timestamp is None else (packet.timestamp - self._next_timestamp) & 0xFFFFFFFF
        if not 0 < ticks < 1 << 31:
            return []
        self._next_timestamp = packet.timestamp
        paused_s, self._sounded = self._last_packet - self._sounded, self._last_packet
        return self._silence(ticks, paused_s)

    def _after(self, timestamp: int, samples: int) -> int:
        return (timestamp + samples * self._decoder.clock // self._decoder.rate) & 0xFFFFFFFF

    def _silence(self, ticks: int, paused_s: float) -> list[AudioFrame]:
        """A jump of the timestamp without a missing number: the sender was silent (DTX), nothing was lost.

        `paused_s`: how long it was by our clock that no sound came.
        """
        samples = ticks * self._decoder.rate // self._decoder.clock
        if ticks >= 1 << 31 or samples > (paused_s + CLOCK_S) * self._decoder.rate or samples < JITTER_S * self._decoder.rate:
            return []  # backwards, or by more time than has gone by: the sender set its clock anew
        return self._zeros(min(samples, int(MAX_GAP_S * self._decoder.rate)), samples, lost=False)

    def _lost(self, packets: int) -> list[AudioFrame]:
        samples = packets * self._packet_samples
        if self._next_timestamp is not None:
            self._next_timestamp = self._after(self._next_timestamp, samples)
        return self._zeros(min(samples, int(MAX_GAP_S * self._decoder.rate)), samples, lost=True)

    def _zeros(self, samples: int, advance: int, *, lost: bool) -> list[AudioFrame]:
        frame = AudioFrame(np.zeros(samples, np.int16), self._decoder.rate, self._position, lost)
        self._position += advance
        self._handed += samples
        return [frame] if samples else []

    def _take_event(self, packet: rtp.RtpPacket) -> None:
        """A digit is told once, by the timestamp its packets share (RFC 4733 section 2.5.1.2)."""
        self._keyed = True
        try:
            event = parse_event(packet.payload)
        except ValueError:
            self.stats.undecodable += 1
            return
        if event.digit is not None and packet.timestamp != self._event_timestamp:
            self._event_timestamp = packet.timestamp
            self.stats.digits.append(event.digit)
            del self.stats.digits[:-MAX_DIGITS]
