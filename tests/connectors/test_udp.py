"""Ports and sockets of RTP, over real loopback UDP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from connectors.udp import PortRange, RtpEndpoint, Source, open_endpoint
from engine.audio import AudioFrame
from engine.errors import OverloadError
from tests.connectors.packets import packet, receiver


class Heard(list[AudioFrame]):
    """Frames as they come, with a way to wait for them."""

    def __call__(self, frame: AudioFrame, now: float) -> None:
        self.append(frame)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(2):
            while len(self) < count:
                await asyncio.sleep(0.002)


def free_range(ports: int = 4) -> PortRange:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        first = min(probe.getsockname()[1] & ~1, 65000)
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


def test_a_declared_port_counts_too() -> None:
    frames = Heard()
    endpoint = RtpEndpoint(receiver(), frames, declared=Source("127.0.0.1", 4000), clock=lambda: 1.0)
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4001))
    endpoint.datagram_received(packet(0).serialize(), ("127.0.0.1", 4000))
    assert (len(frames), endpoint.foreign) == (1, 1)


def test_held_packets_come_out_on_poll() -> None:
    frames, now = Heard(), 10.0
    endpoint = RtpEndpoint(receiver(wait_s=0.06), frames, clock=lambda: now)
    for number in (0, 2):
        endpoint.datagram_received(packet(number).serialize(), ("127.0.0.1", 4000))
    endpoint.poll(10.05)
    assert len(frames) == 1
    endpoint.poll(10.06)
    assert [f.lost for f in frames] == [False, True, False]


async def test_rtcp_on_the_next_port_is_taken_and_ignored(line: tuple[RtpEndpoint, Heard]) -> None:
    endpoint, heard = line
    with sender() as peer:
        peer.sendto(bytes.fromhex("80c80006") + bytes(24), (endpoint.host, endpoint.port + 1))
        await asyncio.sleep(0.02)
        peer.sendto(packet(0).serialize(), (endpoint.host, endpoint.port))
        await heard.until(1)
    assert endpoint.other == 0


async def test_a_closed_leg_gives_its_port_back_and_a_full_range_says_so() -> None:
    ports, heard = free_range(4), Heard()
    first, second = [await open_endpoint(ports, receiver(), heard) for _ in range(2)]
    with pytest.raises(OverloadError, match=r"no free UDP port left of 2 on 127\.0\.0\.1"):
        await open_endpoint(ports, receiver(), heard)
    port = first.port
    first.close()
    first.close()
    await asyncio.sleep(0)
    again = await open_endpoint(ports, receiver(), heard)
    assert again.port == port
    for endpoint in (again, second):
        endpoint.close()


async def test_a_port_that_somebody_else_has_is_passed_over() -> None:
    ports, heard = free_range(4), Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        first = await open_endpoint(ports, receiver(), heard)
        taken = first.port + 2 if first.port % 4 == 0 else first.port
        first.close()
        await asyncio.sleep(0)
        squatter.bind(("127.0.0.1", taken))
        endpoint = await open_endpoint(ports, receiver(), heard)
        assert endpoint.port != taken
        endpoint.close()
