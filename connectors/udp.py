"""RTP over UDP: one port per leg, the audio handed on by plain calls from the socket's callback, prompts sent back.

Whose packets count is the latch's to say; those of others are dropped and counted. Of RTCP, on the next port or on this
one, only is taken that the sender is still there: a line on hold sends nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from connectors.codecs import CodecSpec
from connectors.latch import Latch, Source
from connectors.media import RtpReceiver
from connectors.packetizer import RtpPacketizer
from connectors.playout import Player, RtpPlayer
from connectors.rtp import Kind, classify
from connectors.sieve import close_sieve, open_sieve
from engine.audio import AudioFrame
from engine.errors import ConfigError, OverloadError

RECEIVE_BUFFER = 40 << 10  # bytes per socket: about 2 s of G.711. What is older would only make what follows late
MOST_PASSED = 1 << 12  # packets between two that came: more, and the numbers have begun anew
MAX_DATAGRAM = 64 << 10  # bytes, the largest there is, for none may be cut; asyncio's own 256 KiB is mapped anew each time

FOREIGN_QUIET_S = 1.0  # without a packet of the call, before it is told that somebody else sends

OnFrame = Callable[[AudioFrame, float], None]


class PortRange:
    """Even UDP ports from a range, each handed out once."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self.host = host
        self._free = list(range(first + first % 2, last, 2))[::-1]
        self.capacity = len(self._free)

    def bind(self) -> tuple[socket.socket, socket.socket | None]:
        """A bound RTP socket, and the RTCP one if that port is free. OverloadError when the range is used up, and at once
        when it is not the port that is in the way: with no file descriptors left every other port fails too."""
        for _ in range(len(self._free)):
            port = self._free.pop()
            try:
                return self._bind(port), self._bind_rtcp(port + 1)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    self._free.append(port)
                    raise OverloadError(f"no UDP port can be opened on {self.host}: {error.strerror}") from error
                self._free.insert(0, port)  # somebody else has it just now
        raise OverloadError(f"no free UDP port left of {self.capacity} on {self.host}")

    def release(self, port: int) -> None:
        self._free.insert(0, port)  # at the far end: late packets of the old call should find nobody

    def _bind(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            bound.bind((self.host, port))
        except OSError:
            bound.close()
            raise
        return bound

    def _bind_rtcp(self, port: int) -> socket.socket | None:
        try:
            return self._bind(port)
        except OSError:
            return None


class RtpEndpoint(asyncio.DatagramProtocol):
    """One leg's port. `last_packet` is when RTP of the call last came: keep-alives and RTCP on its port are none."""

    def __init__(
        self,
        receiver: RtpReceiver,
        on_frame: OnFrame,
        *,
        declared: Source | None = None,
        waiting: set[RtpEndpoint] | None = None,
        codec: CodecSpec | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`waiting` is given every endpoint that holds packets behind a hole, for whoever polls.

        `codec` is the one to play prompts in; without it the leg can only be listened to.
        """
        self.receiver = receiver
        self._waiting: set[RtpEndpoint] = set() if waiting is None else waiting
        self.foreign = 0  # datagrams of other sources
        self.unheard = 0  # of the call, while nobody had time to listen
        self.other = 0  # STUN, DTLS and what is nothing at all
        self.host, self.port = "", 0
        self.last_packet = self.opened = clock()
        self.on_foreign: Callable[[float], None] = lambda now: None  # is told that only somebody else sends, once a silence
        self._on_frame = on_frame
        self._clock = clock
        self._latch = Latch(receiver, declared)
        self._source: tuple[str, int] | None = None  # the latch's, at hand for every packet
        self._told = 0.0  # when it was said that only somebody else sends
        self._listening, self._unheard_before = True, 0
        self._passed = 0  # sequence number of the last packet that came and was not listened to
        self._socket: socket.socket | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._rtcp: asyncio.DatagramTransport | None = None
        self._ports: PortRange | None = None
        self._codec = codec
        self._player: RtpPlayer | None = None

    @property
    def source(self) -> str | None:
        """The latched sender as host:port."""
        if self._source is None:
            return None
        host = f"[{self._source[0]}]" if ":" in self._source[0] else self._source[0]  # RFC 5952 section 6
        return f"{host}:{self._source[1]}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr != self._source and not self._latched(data, addr):
            return
        now, received = self._clock(), self.receiver.stats.received
        if not self._listening:
            if classify(data) is Kind.RTP:  # else a line would be kept by what is no sound
                self.last_packet = now
                self._pass(int.from_bytes(data[2:4]))
            else:
                self.receive_rtcp(data, addr)
            return
        for frame in self.receiver.receive_datagram(data, now):
            self._on_frame(frame, now)
        if self.receiver.stats.received != received:
            self.last_packet = now
        elif classify(data) is Kind.RTCP:
            self.receive_rtcp(data, addr)
        if self.receiver.jitter.held:
            self._waiting.add(self)

    def receive_rtcp(self, data: bytes, addr: tuple[str, int]) -> None:
        """RTCP of the host that is heard, from whichever of its ports."""
        if self._source is not None and addr[0] == self._source[0]:
            self.receiver.receive_report(data, self._clock())

    def error_received(self, exc: Exception) -> None:
        """ICMP errors concern what we send: whoever does not listen misses the prompt."""

    def player(self) -> Player | None:
        """The leg's player, made when first asked for; None if the leg can only be listened to."""
        if self._player is None and self._codec is not None:
            ssrc = secrets.randbits(32)
            ssrc ^= ssrc == self.receiver.ssrc  # two streams of a session never share one (RFC 3550 section 8)
            self.receiver.own_ssrc = ssrc
            stream = RtpPacketizer(self._codec, ssrc, secrets.randbits(16), secrets.randbits(32))
            self._player = RtpPlayer(self, stream, self._clock)
        return self._player

    def obstacle(self) -> str | None:
        """Why nothing can be sent just now: the leg is closed, or nobody has been heard yet to whom it could go."""
        if self._source is None:
            return "no source yet"
        return "the leg is closed" if self._transport is None else None

    def send(self, datagram: bytes) -> None:
        """A datagram to the latched source, out of the port that it sends to (RFC 4961); to nobody else, ever."""
        if self._transport is not None and self._source is not None:
            self._transport.sendto(datagram, self._source)

    def poll(self, now: float) -> None:
        """Hand on what was held for missing packets long enough."""
        for frame in self.receiver.poll(now):
            self._on_frame(frame, now)
        if not self.receiver.jitter.held:
            self._waiting.discard(self)

    def flush(self) -> None:
        """Hand on what was gathered of a chunk: the stream has paused or is over."""
        for frame in self.receiver.flush():
            self._on_frame(frame, self.last_packet)

    def listen(self, listening: bool) -> None:
        """Look into the datagrams that come, or, in want of time, only count them."""
        if listening and not self._listening:
            self.receiver.skip(self.unheard - self._unheard_before)
        if self._listening and not listening:
            self._passed = (self.receiver.jitter.next - 1) & 0xFFFF if self.receiver.jitter.next is not None else -1
        if self._socket is not None and listening is not self._listening:
            (open_sieve if listening else close_sieve)(self._socket)
        self._listening, self._unheard_before = listening, self.unheard
        self._waiting.discard(self)

    def _pass(self, number: int) -> None:
        """A packet that nobody looks into, and those before it that the system has dropped."""
        step = (number - self._passed) & 0xFFFF
        self.unheard += step if 0 < step < MOST_PASSED else 1
        self._passed = number

    def close(self) -> None:
        """Close the sockets and give the port back; safe to repeat."""
        self._waiting.discard(self)
        if self._player is not None:
            self._player.stop()
        for transport in (self._transport, self._rtcp):
            if transport is not None:
                transport.close()
        if self._ports is not None:
            self._ports.release(self.port)
        self._transport = self._rtcp = self._ports = self._socket = None

    def _latched(self, data: bytes, addr: tuple[str, int]) -> bool:
        """Whether this address is the call's source from now on."""
        if classify(data) is not Kind.RTP or len(data) < 12:
            self.other += 1
            return False
        now = self._clock()
        if self._latch.claim((addr[0], addr[1]) if len(addr) == 2 else addr, data, now, self.last_packet):
            self._source = self._latch.address
            return True
        self.foreign += 1
        if self._latch.insisting and now - self.last_packet > FOREIGN_QUIET_S and self._told <= self.last_packet:
            self._told = now
            self.on_foreign(now)
        return False


class _Reports(asyncio.DatagramProtocol):
    """The port of RTCP."""

    def __init__(self, endpoint: RtpEndpoint) -> None:
        self._endpoint = endpoint

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._endpoint.receive_rtcp(data, addr)


def check_address(host: str) -> None:
    """ConfigError when no port of this address can be bound."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        raise ConfigError(f"rtp.host = {host!r} cannot be bound: {error.strerror}") from None


def outward(host: str) -> str:
    """`host`, or where that is any address, the one by which this machine reaches others. No packet is sent."""
    if host not in ("0.0.0.0", "::"):
        return host
    six = host == "::"
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("2001:db8::1" if six else "192.0.2.1", 9))  # addresses of documentation (RFC 5737, RFC 3849)
        return str(probe.getsockname()[0])
    return host


async def open_endpoint(
    ports: PortRange,
    receiver: RtpReceiver,
    on_frame: OnFrame,
    *,
    declared: Source | None = None,
    waiting: set[RtpEndpoint] | None = None,
    codec: CodecSpec | None = None,
) -> RtpEndpoint:
    """Bind a port of `ports` and listen on it."""
    loop = asyncio.get_running_loop()
    rtp_socket, rtcp_socket = ports.bind()
    endpoint = RtpEndpoint(receiver, on_frame, declared=declared, waiting=waiting, codec=codec)
    endpoint.host, endpoint.port = rtp_socket.getsockname()[:2]
    endpoint._ports, endpoint._socket = ports, rtp_socket
    transport, _ = await loop.create_datagram_endpoint(lambda: endpoint, sock=rtp_socket)
    endpoint._transport = transport
    if hasattr(transport, "max_size"):
        transport.max_size = MAX_DATAGRAM
    if rtcp_socket is not None:
        endpoint._rtcp, _ = await loop.create_datagram_endpoint(lambda: _Reports(endpoint), sock=rtcp_socket)
    return endpoint
