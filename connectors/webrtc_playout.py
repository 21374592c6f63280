"""Prompts to a browser: a track that is the sender's only while a prompt lasts.

It hands aiortc packets that are encoded already. Frames would each be encoded in a thread, behind a resampler that
mixes the clocks of one prompt and the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import av
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from connectors.codecs import CodecSpec
from connectors.packetizer import RtpPacketizer
from connectors.playout import LEAST_WAIT_S
from connectors.rtp import RtpPacket
from engine.audio import Samples


class PromptTrack(MediaStreamTrack):
    """The packets of prompts, each when it is due."""

    kind = "audio"

    def __init__(self, packetizer: RtpPacketizer, clock: int, now: Callable[[], float], on_end: Callable[[], None]) -> None:
        """`clock` is the codec's, in Hz; `on_end` is told when the last packet has been taken."""
        super().__init__()
        self._packetizer, self._now, self._on_end = packetizer, now, on_end
        self._time_base = Fraction(1, clock)
        self._ready: deque[RtpPacket] = deque()
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """A prompt begins."""
        self._ready.clear()
        self._wanted.set()

    async def recv(self) -> av.Packet:
        """aiortc asks for the next packet as soon as it has sent one. It may be left waiting, but never refused:
        an error would be the last that its sender asked for.
        """
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            due = self._packetizer.due
            if due is None:  # the prompt was stopped while aiortc waited for more of it
                self._wanted.clear()
                await self._wanted.wait()
            elif (wait := due - self._now()) > 0:
                await asyncio.sleep(max(wait, LEAST_WAIT_S))
            self._ready += self._packetizer.next_packets(self._now())
        taken = self._ready.popleft()
        if not self._ready and self._packetizer.due is None:
            self._on_end()
        packet = av.Packet(taken.payload)
        packet.pts, packet.time_base = taken.timestamp, self._time_base
        return packet


class BrowserPlayer:
    """A Player on an aiortc sender."""

    def __init__(
        self,
        sender: RTCRtpSender,
        codec: CodecSpec,
        obstacle: Callable[[], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`codec` is the one that was negotiated; `obstacle` tells why nothing can be sent just now, if so."""
        self._sender, self._obstacle, self._clock = sender, obstacle, clock
        # aiortc numbers the packets, and adds the stream's random beginning to timestamps and sequence.
        self._packetizer = RtpPacketizer(codec, ssrc=0, sequence=0, timestamp=0)
        self._track = PromptTrack(self._packetizer, codec.clock, clock, self._rest)
        self._playing = False

    @property
    def playing(self) -> bool:
        """As Player.playing. Looked up rather than told: nothing runs once the last packet is on its way."""
        if self._playing and self._packetizer.due is None and self._clock() >= self._packetizer.ends:
            self._playing = False
        return self._playing

    @property
    def left_s(self) -> float:
        """As Player.left_s."""
        return self._packetizer.left_s

    def play(self, samples: Samples, rate: int, now: float) -> float:
        """As Player.play."""
        if self.playing:
            raise ValueError("a prompt is being played already")
        if (obstacle := self._obstacle()) is not None:
            raise ValueError(obstacle)
        ends = self._packetizer.start(samples, rate, now)
        self._playing = True
        self._track.wake()
        self._sender.replaceTrack(self._track)
        return ends

    def stop(self) -> None:
        """As Player.stop."""
        self._packetizer.stop()
        self._playing = False
        self._rest()

    def _rest(self) -> None:
        """Without a track aiortc sends nothing."""
        self._sender.replaceTrack(None)
