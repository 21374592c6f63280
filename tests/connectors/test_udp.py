"""Ports and sockets of RTP, over real loopback UDP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from connectors.latch import Source
from connectors.sieve import KEPT
from connectors.udp import PortRange, RtpEndpoint, check_address, open_endpoint, outward
from engine.audio import AudioFrame
from engine.errors import ConfigError, OverloadError
from tests.connectors.packets import packet, receiver


class Heard(list[AudioFrame]):
    """Frames as they come, with a way to wait for them."""

    def __call__(self, frame: AudioFrame, now: float) -> None:
        self.append(frame)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(2):
            while len(self) < count:
                await asyncio.sleep(0.002)


def bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_range(ports: int = 4) -> PortRange:
    """An even port and those behind it, all free just now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            first = min(probe.getsockname()[1] & ~1, 65000)
        if all(bindable(port) for port in range(first, first + ports)):
            return PortRange("127.0.0.1", first, first + ports)


@pytest.fixture
async def line() -> AsyncIterator[tuple[RtpEndpoint, Heard]]:
    heard = Heard()
    endpoint = await open_endpoint(free_range(), receiver(), heard)
    yield endpoint, heard
    endpoint.close()


def sender() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


async def test_packets_to_the_port_are_frames(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as peer:
        for number in range(3):
            peer.sendto(packet(number).serialize(), (endpoint.host, endpoint.port))
        await heard.until(3)
        assert endpoint.source == f"127.0.0.1:{peer.getsockname()[1]}"
    assert endpoint.port % 2 == 0


async def test_a_second_sender_is_never_followed_in_mid_call(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as peer, sender() as thief:
        peer.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
        for number in range(1, 20):
            thief.sendto(packet(number).serialize(), (endpoint.host, endpoint.port))
        peer.sendto(packet(1).serialize(), (endpoint.host, endpoint.port))
        await heard.until(2)
        assert endpoint.source == f"127.0.0.1:{peer.getsockname()[1]}"
    assert endpoint.foreign == 19
    assert [int(f.timestamp) for f in heard] == [0, 160]


async def test_only_rtp_latches(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as scanner, sender() as peer:
        for junk in (b"", b"\x00\x01" + bytes(18), b"\x16\xfe\xff" + bytes(20), b"\x80\xc8" + bytes(26), b"\x80\x00short"):
            scanner.sendto(junk, (endpoint.host, endpoint.port))
        await asyncio.sleep(0.05)
        assert endpoint.source is None
        peer.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
    assert endpoint.other == 5


@pytest.mark.parametrize(("host", "heard"), [("127.0.0.1", 1), ("127.0.0.9", 0)])
def test_a_declared_source_is_the_only_one(host: str, heard: int) -> None:
    frames = Heard()
    endpoint = RtpEndpoint(receiver(), frames, declared=Source(host), clock=lambda: 1.0)
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4000))
    assert (len(frames), endpoint.foreign) == (heard, 1 - heard)


def test_a_declared_source_is_known_where_a_socket_is_of_both_families() -> None:
    frames = Heard()
    endpoint = RtpEndpoint(receiver(), frames, declared=Source("127.0.0.1"), clock=lambda: 1.0)
    endpoint.datagram_received(packet(0).serialize(), ("::ffff:127.0.0.1", 4000, 0, 0))  # type: ignore[arg-type]
    assert (len(frames), endpoint.foreign) == (1, 0)


@pytest.mark.parametrize("keep_alive", [b"", b"\r\n\r\n", b"\x80\xc9\x00\x01\x00\x00\x00\x07", b"\x00\x01" + bytes(18)])
def test_a_line_is_not_kept_by_what_is_no_rtp(keep_alive: bytes) -> None:
    now = [1.0]
    endpoint = RtpEndpoint(receiver(), Heard(), clock=lambda: now[0])
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4000))
    now[0] = 9.0
    endpoint.datagram_received(keep_alive, ("127.0.0.1", 4000))
    assert endpoint.last_packet == 1.0
    endpoint.listen(False)
    endpoint.datagram_received(keep_alive, ("127.0.0.1", 4000))
    assert (endpoint.last_packet, endpoint.unheard) == (1.0, 0)
    endpoint.listen(True)
    endpoint.datagram_received(packet(1).serialize(), ("127.0.0.1", 4000))
    assert endpoint.last_packet == 9.0


def test_a_declared_port_counts_too() -> None:
    frames = Heard()
    endpoint = RtpEndpoint(receiver(), frames, declared=Source("127.0.0.1", 4000), clock=lambda: 1.0)
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4001))
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4000))
    assert (len(frames), endpoint.foreign, endpoint.source) == (1, 1, "127.0.0.1:4000")


def test_held_packets_come_out_on_poll_and_the_poller_knows_whose_they_are() -> None:
    frames, waiting = Heard(), set[RtpEndpoint]()
    endpoint = RtpEndpoint(receiver(wait_s=0.06), frames, waiting=waiting, clock=lambda: 10.0)
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4000))
    assert not waiting
    endpoint.datagram_received(packet(2).serialize(), ("127.0.0.1", 4000))
    endpoint.poll(10.05)
    assert (len(frames), waiting) == (1, {endpoint})
    endpoint.poll(10.06)
    assert [f.lost for f in frames] == [False, True, False]
    assert not waiting
    endpoint.datagram_received(packet(9).serialize(), ("127.0.0.1", 4000))
    endpoint.close()
    assert not waiting


def test_what_was_gathered_of_a_chunk_comes_out_on_flush() -> None:
    frames = Heard()
    endpoint = RtpEndpoint(receiver(gather=1280), frames, clock=lambda: 10.0)
    for number in range(4):
        endpoint.datagram_received(packet(number).serialize(), ("127.0.0.1", 4000))
    assert len(frames) == 1
    endpoint.flush()
    endpoint.flush()
    assert [len(f.samples) for f in frames] == [160, 480]


async def test_the_longest_packet_of_the_widest_codec_is_not_cut() -> None:
    heard = Heard()
    endpoint = await open_endpoint(free_range(), receiver("L16/48000/2"), heard)
    with sender() as peer:  # 60 ms are 11,520 bytes, far beyond a frame on the wire
        peer.sendto(packet(0, size=11520, payload_type=96).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
    assert len(heard[0].samples) == 2880
    endpoint.close()


async def test_rtcp_on_the_next_port_is_taken_and_ignored(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as peer:
        peer.sendto(bytes.fromhex("80c80006") + bytes(24), (endpoint.host, endpoint.port + 1))
        await asyncio.sleep(0.02)
        peer.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
    assert endpoint.other == 0
    assert not bindable(endpoint.port + 1)
    endpoint.close()
    await asyncio.sleep(0)
    assert bindable(endpoint.port)
    assert bindable(endpoint.port + 1)


async def test_a_leg_does_without_rtcp_where_its_port_is_taken() -> None:
    ports, heard = free_range(2), Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter, sender() as peer:
        squatter.bind(("127.0.0.1", ports._free[-1] + 1))
        endpoint = await open_endpoint(ports, receiver(), heard)
        peer.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
    endpoint.close()


@pytest.mark.parametrize(
    ("first", "last", "capacity"), [(40000, 40004, 2), (40001, 40004, 1), (40000, 40001, 1), (40001, 40002, 0)]
)
def test_only_even_ports_with_their_neighbour_in_the_range_are_handed_out(first: int, last: int, capacity: int) -> None:
    ports = PortRange("127.0.0.1", first, last)
    assert ports.capacity == capacity
    assert not [port for port in ports._free if port % 2 or not first <= port < last]


async def test_a_closed_leg_gives_its_port_back_and_a_full_range_says_so() -> None:
    ports, heard = free_range(4), Heard()
    first, second = [await open_endpoint(ports, receiver(), heard) for _ in range(2)]
    with pytest.raises(OverloadError, match=r"no free UDP port left of 2 on 127\.0\.0\.1"):
        await open_endpoint(ports, receiver(), heard)
    port = first.port
    first.close()
    first.close()
    assert ports._free == [port], "given back twice"
    await asyncio.sleep(0)
    again = await open_endpoint(ports, receiver(), heard)
    assert again.port == port
    for endpoint in (again, second):
        endpoint.close()


async def test_a_port_that_somebody_else_has_is_passed_over_and_tried_again_later() -> None:
    ports, heard = free_range(4), Heard()
    wanted = ports._free[-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", wanted))
        first = await open_endpoint(ports, receiver(), heard)
        assert first.port == wanted + 2
        with pytest.raises(OverloadError):
            await open_endpoint(ports, receiver(), heard)
    second = await open_endpoint(ports, receiver(), heard)
    assert second.port == wanted
    for endpoint in (first, second):
        endpoint.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_what_no_other_port_would_mend_is_said_at_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ports, tries = PortRange("127.0.0.1", 40000, 49999), []

    def fail(port: int) -> socket.socket:
        tries.append(port)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(ports, "_bind", fail)
    for _ in range(2):
        with pytest.raises(OverloadError, match=rf"no UDP port can be opened on 127\.0\.0\.1: {os.strerror(number)}"):
            ports.bind()
    assert tries == [40000, 40000], "one try each, and the port is not lost"


def test_the_address_that_callers_are_told_is_one_that_packets_can_be_sent_to() -> None:
    assert outward("10.1.2.3") == "10.1.2.3"
    assert outward("sip.example.com") == "sip.example.com"
    told = outward("0.0.0.0")
    check_address(told)


@pytest.mark.parametrize("host", ["192.0.2.1", "nonsense.invalid"])
def test_an_address_that_is_not_this_machine_s_is_named_before_any_call(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"rtp\.host = '{host}' cannot be bound: "):
        check_address(host)


async def test_who_has_no_time_to_listen_counts_and_knows_that_the_line_lives(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as caller, sender() as stranger:
        caller.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
        endpoint.listen(False)
        before = endpoint.last_packet
        stranger.sendto(packet(1).serialize(), (endpoint.host, endpoint.port))
        for number in range(1, 3 * KEPT + 1):
            caller.sendto(packet(number).serialize(), (endpoint.host, endpoint.port))
        async with asyncio.timeout(2):
            while endpoint.unheard < 3 * KEPT:
                await asyncio.sleep(0.002)
        assert len(heard) == 1
        assert endpoint.last_packet > before
        endpoint.listen(True)
        caller.sendto(packet(3 * KEPT + 1).serialize(), (endpoint.host, endpoint.port))
        await heard.until(2)
    assert (endpoint.unheard, endpoint.receiver.stats.received) == (3 * KEPT, 2)
    assert (heard[1].timestamp, heard[1].lost) == ((3 * KEPT + 1) * 160, False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere every packet comes")
async def test_the_system_takes_away_what_nobody_has_time_for(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    came: list[bytes] = []
    with sender() as caller:
        caller.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
        endpoint.listen(False)
        receive = endpoint.datagram_received
        endpoint.datagram_received = lambda data, addr: came.append(data) or receive(data, addr)  # type: ignore[method-assign, func-returns-value]
        for number in range(1, 10 * KEPT + 1):
            caller.sendto(packet(number).serialize(), (endpoint.host, endpoint.port))
        async with asyncio.timeout(2):
            while endpoint.unheard < 10 * KEPT:
                await asyncio.sleep(0.002)
    assert len(came) == 10


def test_a_sequence_that_begins_anew_is_counted_by_what_came() -> None:
    endpoint = RtpEndpoint(receiver(), Heard(), clock=lambda: 1.0)
    endpoint.datagram_received(packet(10).serialize(), ("127.0.0.1", 4000))
    endpoint.listen(False)
    for number in (18, 26, 30_000, 29_999, 30_008):
        endpoint.datagram_received(packet(number).serialize(), ("127.0.0.1", 4000))
    assert endpoint.unheard == 8 + 8 + 1 + 1 + 9
