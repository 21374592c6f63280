"""The receiver's short way, for the expected packet, against the careful way that every other packet takes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from engine.audio import AudioFrame
from tests.connectors.packets import SSRC, receiver

CODECS = {"PCMU": 0, "PCMA": 8, "L16/8000": 96, "L16/16000": 96}


class CountingReceiver(RtpReceiver):
    """Knows how many packets went the short way."""

    short = 0

    def _next_packet(self, datagram: bytes, number: int, timestamp: int, now: float) -> list[AudioFrame]:
        self.short += 1
        return super()._next_packet(datagram, number, timestamp, now)


def sent(rng: random.Random, payload_type: int, width: int, ticks: int) -> Iterator[RtpPacket]:
    """A sender with all its moods: pauses, digits, comfort noise, strangers, odd payloads, another SSRC."""
    number, timestamp, ssrc, size = rng.randrange(65000, 65536), 2**32 - rng.randrange(50) * ticks, SSRC, ticks
    for _ in range(400):
        mood = rng.random()
        if mood < 0.01:
            ssrc, number, timestamp = rng.getrandbits(32), rng.getrandbits(16), rng.getrandbits(32)
        elif mood < 0.03:
            timestamp += ticks * rng.choice([1, 7, 900, 1 << 25])  # silence, or the clock set anew
        elif mood < 0.05:
            size = rng.choice([ticks // 2, ticks, 3 * ticks])
        kind = payload_type if rng.random() < 0.95 else rng.choice([13, 101, 18])
        payload = rng.randbytes(size * width)
        if rng.random() < 0.02:
            payload = rng.choice([b"", payload[:-1]])
        yield RtpPacket(kind, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, payload, marker=rng.random() < 0.1)
        number, timestamp = number + 1, timestamp + size


def through_a_network(packets: Iterator[RtpPacket], rng: random.Random) -> list[tuple[float, RtpPacket]]:
    """(when, packet): some lost, some doubled, some late, some too late."""
    out = []
    for at, packet in enumerate(packets):
        for _ in range(rng.choices([0, 1, 2], [3, 94, 3])[0]):
            out.append((at * 0.02 + (rng.uniform(0, 0.2) if rng.random() < 0.05 else 0.001), packet))
    return sorted(out, key=lambda pair: pair[0])


def dressed(packet: RtpPacket, rng: random.Random) -> bytes:
    """The packet's bytes, sometimes with an extension, a contributing source or padding."""
    data, way = packet.serialize(), rng.random()
    if way < 0.03:
        return b"\x90" + data[1:12] + bytes.fromhex("bede0001 10aa0000") + data[12:]
    if way < 0.06:
        return b"\x81" + data[1:12] + bytes(4) + data[12:]
    return b"\xa0" + data[1:] + b"\x00\x00\x03" if way < 0.09 else data


def seen(frames: list[AudioFrame]) -> list[tuple[int, int, bool, bytes]]:
    return [(f.timestamp, f.rate, f.lost, f.samples.tobytes()) for f in frames]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(8))
def test_the_short_way_gives_what_the_careful_way_gives(codec: str, seed: int) -> None:
    rng = random.Random(f"{codec} {seed}")
    width, ticks = (2 if codec.startswith("L16") else 1), (320 if codec.endswith("16000") else 160)
    careful = receiver(codec)
    short = CountingReceiver(careful._decoder, CODECS[codec])  # none of these codecs has a state
    for now, packet in through_a_network(sent(rng, CODECS[codec], width, ticks), rng):
        one = short.receive_datagram(dressed(packet, rng), now) + short.poll(now)
        other = careful.receive_packet(packet, now) + careful.poll(now)
        assert seen(one) == seen(other)
    assert seen(short.poll(1e9)) == seen(careful.poll(1e9))
    assert (short.stats, short.jitter.stats) == (careful.stats, careful.jitter.stats)
    assert short.position_s == careful.position_s
    assert short.short > 40, "the short way was hardly taken: this compares the careful way with itself"


def test_a_quiet_stream_takes_the_short_way_from_its_second_packet_on() -> None:
    stream = CountingReceiver(receiver()._decoder, 0)
    for n in range(50):
        stream.receive_datagram(RtpPacket(0, n, n * 160, SSRC, bytes(160)).serialize(), n * 0.02)
    assert stream.short == 49
