"""Packets for tests: a G.711 stream by number, and what was heard of it."""

from __future__ import annotations

from connectors.codecs import make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from engine.audio import AudioFrame
from engine.companding import MU_LAW

SSRC = 0x5EED


def packet(number: int, *, size: int = 160, ssrc: int = SSRC, payload_type: int = 0, start: int = 0) -> RtpPacket:
    """The number-th packet of a PCMU stream; every byte of its payload is the number."""
    number &= 0xFFFFFFFF
    return RtpPacket(payload_type, (start + number) & 0xFFFF, (number * size) & 0xFFFFFFFF, ssrc, bytes([number & 0x7F]) * size)


def receiver(codec: str = "PCMU", **settings: float) -> RtpReceiver:
    spec = parse_codec(codec)
    return RtpReceiver(make_decoder(spec), spec.payload_type, **settings)  # type: ignore[arg-type]


def feed(stream: RtpReceiver, numbers: list[int], *, start: int = 0, size: int = 160) -> list[AudioFrame]:
    """Each number at its time, polled in between."""
    frames = []
    for number in numbers:
        now = number * size / 8000
        frames += stream.receive_datagram(packet(number, size=size, start=start).serialize(), now)
        frames += stream.poll(now)
    return frames


def heard(frames: list[AudioFrame]) -> list[int]:
    """Which packet each frame is; -1 for lost, -2 for silence."""
    values = {int(MU_LAW[n]): n for n in range(127)}
    return [-1 if f.lost else values.get(int(f.samples[0]), -2) for f in frames]
