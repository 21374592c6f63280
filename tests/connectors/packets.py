"""Packets for tests: a G.711 stream by number."""

from __future__ import annotations

from connectors.codecs import make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket

SSRC = 0x5EED


def packet(number: int, *, size: int = 160, ssrc: int = SSRC, payload_type: int = 0, start: int = 0) -> RtpPacket:
    """The number-th packet of a PCMU stream; every byte of its payload is the number."""
    number &= 0xFFFFFFFF
    return RtpPacket(payload_type, (start + number) & 0xFFFF, (number * size) & 0xFFFFFFFF, ssrc, bytes([number & 0x7F]) * size)


def receiver(codec: str = "PCMU", **settings: float) -> RtpReceiver:
    spec = parse_codec(codec)
    return RtpReceiver(make_decoder(spec), spec.payload_type, **settings)  # type: ignore[arg-type]
