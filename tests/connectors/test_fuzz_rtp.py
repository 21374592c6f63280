"""Mutated packets: nothing a peer sends raises, every packet is counted, memory stays flat."""

from __future__ import annotations

import asyncio
import random
import socket
import tracemalloc

import pytest

from connectors.codecs import make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from connectors.udp import open_endpoint
from tests.connectors.packets import receiver
from tests.connectors.test_codecs import encoded_tone
from tests.connectors.test_udp import Heard, free_range

PACKETS = 4000  # per codec


def good_payloads(codec: str) -> list[bytes]:
    if codec == "G722":
        return encoded_tone("g722", 16000)
    if codec.startswith("opus"):
        return encoded_tone("libopus", 48000, layout="stereo")
    return [bytes((k * 7 + n) & 0xFF for n in range(320)) for k in range(50)]


def mutated(datagram: bytes, rng: random.Random) -> bytes:
    """Cut, flipped, padded with noise, or noise altogether; now and then left alone."""
    kind = rng.randrange(6)
    if kind == 0:
        return datagram[: rng.randrange(len(datagram) + 1)]
    if kind == 1:
        return rng.randbytes(rng.randrange(200))
    if kind == 2:
        return datagram + rng.randbytes(rng.randrange(1500))
    changed = bytearray(datagram)
    if kind in (3, 4):  # the header is where the meaning is
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(12 if kind == 3 else len(changed))] = rng.randrange(256)
    return bytes(changed)


def stream(codec: str, rng: random.Random, count: int) -> list[bytes]:
    spec, payloads = parse_codec(codec), good_payloads(codec)
    start, ticks = rng.randrange(65536), spec.clock // 50
    packets = [
        RtpPacket(spec.payload_type, (start + n) & 0xFFFF, n * ticks & 0xFFFFFFFF, 0xABCD, payloads[n % len(payloads)])
        for n in range(count)
    ]
    return [mutated(packet.serialize(), rng) for packet in packets]


@pytest.mark.parametrize(
    ("codec", "gather"),
    [("PCMU", 0), ("PCMU", 1280), ("PCMA", 0), ("PCMA", 1280), ("L16/8000", 0), ("G722", 0), ("opus/48000/2", 0)],
)
def test_no_datagram_raises_and_each_is_counted(codec: str, gather: int) -> None:
    rng = random.Random(codec)
    spec = parse_codec(codec)
    subject = RtpReceiver(make_decoder(spec), spec.payload_type, gather=gather)
    datagrams = stream(codec, rng, PACKETS)
    tracemalloc.start()
    for number, datagram in enumerate(datagrams):
        now = number * 0.02
        subject.receive_datagram(datagram, now)
        subject.poll(now)
        if number == PACKETS // 4:
            early, _ = tracemalloc.get_traced_memory()
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stats = subject.stats
    assert late - early < 200_000, f"{late - early} bytes grown over {PACKETS * 3 // 4} packets"
    assert stats.received + stats.malformed + stats.foreign + stats.rtcp == PACKETS
    assert stats.undecodable <= stats.received
    assert stats.received > PACKETS / 4
    assert stats.malformed > PACKETS / 10
    assert len(subject.jitter.held) <= 64
    good = [RtpPacket(spec.payload_type, n, n * spec.clock // 50, 1, good_payloads(codec)[n]).serialize() for n in range(5)]
    after = [frame for n, d in enumerate(good) for frame in subject.receive_datagram(d, 1e6 + n * 0.02)] + subject.flush()
    assert [f for f in after if not f.lost], "a good stream is not heard any more"


async def test_a_socket_lives_through_them_too() -> None:
    heard, arrived = Heard(), 0
    endpoint = await open_endpoint(free_range(), receiver(), heard)
    receive = endpoint.datagram_received

    def counted(data: bytes, addr: tuple[str, int]) -> None:
        nonlocal arrived
        arrived += 1
        receive(data, addr)

    endpoint.datagram_received = counted  # type: ignore[method-assign]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for sent, datagram in enumerate(stream("PCMU", random.Random(5), 2000), start=1):
            peer.sendto(datagram, (endpoint.host, endpoint.port))
            if sent % 20 == 0:  # the loop reads one datagram a turn: more would overflow the socket's buffer unread
                async with asyncio.timeout(2):
                    while arrived < sent:
                        await asyncio.sleep(0)
        stats, before = endpoint.receiver.stats, len(heard)
        assert endpoint.other + stats.received + stats.malformed + stats.foreign + stats.rtcp == arrived == 2000
        assert endpoint.foreign == 0
        assert before > 1000
        for number in range(10):  # the source is still the call's own
            peer.sendto(RtpPacket(0, number, number * 160, 42, b"\xff" * 160).serialize(), (endpoint.host, endpoint.port))
        await heard.until(before + 5)
    endpoint.close()
